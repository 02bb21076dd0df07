import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import { checkClock, originsIn, sentCredentials } from '../../src/commands/doctor/token-checks.ts';
import { formatSeconds } from '../../src/commands/doctor/finding.ts';
import type { RouteConfig } from '../../src/config/config.ts';
import { emulatedCredentials } from '../../src/emulators/emulated-provider.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  configOf,
  diagnosed,
  emulated,
  mpesaRoute,
  serve,
  serveSockets,
  tokens,
  containing,
} from './doctor-support.ts';

/** A route to M-Pesa whose two environments are these bases, all of them on loopback. */
function routeWithHosts(bases: { sandbox: string; production: string }, parts: Partial<RouteConfig> = {}): RouteConfig {
  const hosts = { sandbox: { api: bases.sandbox }, production: { api: bases.production } };
  const environment = parts.environment ?? 'production';
  const base = bases[environment];
  return mpesaRoute({ provider: { ...mpesa, hosts }, environment, upstream: base, authServer: base, ...parts });
}

async function atTokenEndpoint(listener: RequestListener, parts: Partial<RouteConfig> = {}) {
  const base = await serve(listener);
  return await diagnosed([mpesaRoute({ upstream: base, authServer: base, ...parts })]);
}

describe('credentials that a provider refuses', () => {
  const credentials = emulatedCredentials(mpesa);

  async function twoHosts() {
    const [sandbox, production] = [await emulated('mpesa'), await emulated('mpesa')];
    production.control({ token_endpoint: 'denied' });
    return { sandbox, production, bases: { sandbox: sandbox.apiUrl, production: production.apiUrl } };
  }

  it('in production and that its sandbox takes are sandbox credentials', async () => {
    const { sandbox, production, bases } = await twoHosts();
    const { code, check, printed } = await diagnosed([routeWithHosts(bases, { credentials })]);
    const token = check('token');
    expect(token).toMatchObject({ result: 'failed', fault: 'denied' });
    expect(token.saw).toContain('these are sandbox credentials on the production host');
    expect(token.remedy).toMatch(/^set `environment: sandbox` on the route, or use the production credentials/);
    expect([code, sandbox.stats().exchanges, production.stats().token_requests]).toEqual([4, 1, 1]);
    expect(printed).toContain('PRODUCTION');
    expect(printed).not.toMatch(/emulated-mpesa-consumer/);
  });

  it('in both are just wrong', async () => {
    const { sandbox, bases } = await twoHosts();
    sandbox.control({ token_endpoint: 'denied' });
    const { code, check } = await diagnosed([routeWithHosts(bases, { credentials })]);
    expect(check('token').saw).toMatch(/refused the credentials with 400 and said \{/);
    expect(check('token').remedy).toMatch(/^check `consumer_key` \(Consumer key of the app.*`wakala providers mpesa`/);
    expect([code, sandbox.stats().token_requests]).toEqual([4, 1]);
  });

  it('in the sandbox are never tried in production', async () => {
    const { sandbox, production, bases } = await twoHosts();
    sandbox.control({ token_endpoint: 'denied' });
    const { code, check } = await diagnosed([routeWithHosts(bases, { environment: 'sandbox', credentials })]);
    expect(check('token').remedy).toContain('production credentials on a sandbox host look just like this');
    expect([code, production.stats().token_requests]).toEqual([4, 0]);
  });

  it.each<[string, (bases: { sandbox: string; production: string }) => Partial<RouteConfig>]>([
    ['its API is a host of its own', ({ sandbox }) => ({ upstream: sandbox.replace('127.0.0.1', 'localhost') })],
    ['the token request names a whole URL', ({ production }) => ({ provider: elsewhere(production) })],
  ])('are not tried at the sandbox where %s', async (_, partsOf) => {
    const { sandbox, bases } = await twoHosts();
    const whole = routeWithHosts(bases, { credentials });
    const parts = partsOf(bases);
    const provider = { ...parts.provider, ...whole.provider, ...(parts.provider && { token: parts.provider.token }) };
    const { code } = await diagnosed([{ ...whole, ...parts, provider }]);
    expect([code, sandbox.stats().token_requests]).toEqual([4, 0]);
  });

  function elsewhere(base: string): RouteConfig['provider'] {
    if ('fixed' in mpesa.token) throw new Error('no exchange');
    const { request } = mpesa.token;
    return { ...mpesa, token: { ...mpesa.token, request: { ...request, path: base + request.path } } };
  }

  it('are named with where they come from, and never with what they are', () => {
    const text = [
      'routes:',
      '  /x/*:',
      '    credentials:',
      '      consumer_key: "${KEY:-canary-default}"',
      '      consumer_secret: ${file:/run/secrets/s}',
    ].join('\n');
    const origins = originsIn('proxy.config.yaml', text);
    expect(sentCredentials({ name: '/x/*', provider: mpesa }, origins)).toEqual([
      '`consumer_key` (from $KEY)',
      '`consumer_secret` (from the file /run/secrets/s)',
    ]);
    const literal = text.replace('"${KEY:-canary-default}"', () => '"$${canary"');
    expect(originsIn('a.yaml', literal)('/x/*', 'consumer_key')).toBe('a.yaml');
    expect(originsIn('a.yaml', text)('/x/*', 'value_1')).toBeUndefined();
  });
});

describe('a token endpoint', () => {
  it.each<[string, RequestListener, string, string]>([
    ['a page', (_, r) => r.end('<html>blocked</html>'), 'answered 200 with an HTML page', 'a firewall or a wrong host'],
    ['a page with 403', (_, r) => r.writeHead(403).end('<html>'), 'answered 403 with an HTML page', 'a firewall'],
    ['no JSON', (_, r) => r.end('t-canary'), 'answered 200 with something that is no JSON', 'token: {response'],
    ['no token', (_, r) => r.end('{"t":"t-canary"}'), 'without a token at `access_token`', 'token: {response'],
    [
      '500',
      (_, r) => r.writeHead(500).end('{"e":1}'),
      'answered 500; it said {"e":1}',
      "the trouble is the provider's",
    ],
    ['429', (_, r) => r.writeHead(429, { 'retry-after': '90' }).end(), '429 (come back in 1 min 30 s)', 'one Wakala'],
    ['404', (_, r) => r.writeHead(404).end('{}'), 'answered 404', 'path and method'],
    ['a redirect', (_, r) => r.writeHead(302, { location: '/' }).end(), 'answered 302', 'redirects are not followed'],
    ['nothing', (request) => request.socket.destroy(), 'could not be asked (ECONNRESET)', 'try again'],
  ])('that answers %s gave out no token: exit code 5', async (_, listener, saw, remedy) => {
    const { code, check, printed } = await atTokenEndpoint(listener);
    expect(check('token')).toMatchObject({ result: 'failed', fault: 'unreachable' });
    expect(check('token').saw).toContain(saw);
    expect(check('token').remedy).toContain(remedy);
    expect(check('lifetime').result).toBe('skipped');
    expect(code).toBe(5);
    expect(printed).not.toContain('canary');
  });

  it('that never answers is given up after 15 s', async () => {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<undefined>();
    const port = await serveSockets((socket) => void socket.once('data', () => asked.resolve(undefined)));
    const base = `http://127.0.0.1:${port}`;
    const found = diagnosed([mpesaRoute({ upstream: base, authServer: base })], { clock });
    await asked.promise;
    await clock.advance(15_000);
    const { code, check } = await found;
    expect(check('token').saw).toContain('did not answer within 15 s');
    expect(check('clock').result).toBe('skipped');
    expect(code).toBe(5);
  });

  it('that shows marks which steer a terminal shows question marks', async () => {
    const { check } = await atTokenEndpoint((_, r) => r.writeHead(401).end('{"e":"\u009b31m\u202e"}'));
    expect(check('token').saw).toMatch(/said \{"e":"\?31m\?"\}$/);
  });
});

describe('the lifetime of a token', () => {
  const answering = (fields: object) =>
    atTokenEndpoint((_, response) => response.end(JSON.stringify({ access_token: 't', ...fields })));

  it.each([
    ['60', 'ok', '1 min, as `expires_in` says; refreshed 12 s before its end'],
    [59, 'warning', '59 s, as `expires_in` says; refreshed 12 s before its end'],
    [3600, 'ok', '1 h, as `expires_in` says; refreshed 30 s before its end'],
  ])('of %s seconds gets: %s', async (expires_in, result, saw) => {
    const { code, check } = await answering({ expires_in });
    expect(check('lifetime')).toMatchObject({ result, saw });
    expect(code).toBe(0);
  });

  it('that nothing tells is a guess: a warning', async () => {
    const { code, check } = await answering({});
    expect(check('lifetime')).toMatchObject({
      result: 'warning',
      saw: containing('so 59 min 59 s is assumed'),
      remedy: containing('default_lifetime'),
    });
    expect(code).toBe(0);
  });

  it('may come from the token itself', async () => {
    const exp = Math.floor(Date.now() / 1000) + 900;
    const access_token = `e30.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.x`;
    expect((await answering({ access_token })).check('lifetime').saw).toMatch(/, as `exp` in the token itself says/);
  });
});

describe("this machine's clock", () => {
  it('that is ten minutes ahead is wrong: exit code 1, and says who is ahead', async () => {
    const { code, check } = await atTokenEndpoint(tokens(new Date(Date.now() - 600_000)));
    expect(check('clock')).toMatchObject({ result: 'failed', remedy: containing('NTP') });
    expect(check('clock').saw).toMatch(/^this machine's clock is 10 min( \d s)? ahead of the token endpoint's$/);
    expect(code).toBe(1);
  });

  it('is compared with a refusal too', async () => {
    const date = new Date(Date.now() + 600_000).toUTCString();
    const { code, check } = await atTokenEndpoint((_, response) => response.writeHead(401, { date }).end('{}'));
    expect(check('clock').saw).toMatch(/behind the token endpoint's$/);
    expect(code).toBe(4);
  });

  it.each([
    [0, 'ok'],
    [30_000, 'ok'],
    [-30_001, 'warning'],
    [300_000, 'warning'],
    [-300_001, 'failed'],
    [undefined, 'skipped'],
  ])('%s ms off gets: %s', (skewMs, result) => {
    expect(checkClock(skewMs).result).toBe(result);
  });
});

it.each([
  [40, '40 ms'],
  [949, '949 ms'],
  [950, '1 s'],
  [1500, '1.5 s'],
  [9949, '9.9 s'],
  [9950, '10 s'],
  [60_000, '1 min'],
  [3_605_000, '1 h'],
  [5_400_000, '1 h 30 min'],
  [366 * 86_400_000, '366 d'],
])('%d ms is spoken as %s', (ms, text) => {
  expect(formatSeconds(ms)).toBe(text);
});

it('a credential that only another part of the route sends is not blamed', () => {
  const route = {
    upstream: 'http://127.0.0.1:1',
    credentials: { key: 'k', api_version: 'v' },
    headers: { 'x-version': '{api_version}' },
    token: { request: { path: '/t', json: { key: '{key}' } }, response: { access_token: 'a' } },
  };
  const [custom] = configOf({ routes: { '/x/*': route } }).routes;
  expect(sentCredentials(custom!, () => undefined)).toEqual(['`key` (`key` under `credentials`)']);
});
