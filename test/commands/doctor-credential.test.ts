import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import { formatSeconds } from '../../src/commands/doctor/check-result.ts';
import { checkClock, describeSent, originsIn } from '../../src/commands/doctor/token-checks.ts';
import type { RouteConfig } from '../../src/config/config.ts';
import { emulatedCredentials } from '../../src/emulators/emulated-provider.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  configOf,
  containing,
  diagnosed,
  emulated,
  mpesaRoute,
  serve,
  serveSockets,
  tokens,
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

  it('in production and that its sandbox accepts are sandbox credentials', async () => {
    const { sandbox, production, bases } = await twoHosts();
    const { code, check, printed } = await diagnosed([routeWithHosts(bases, { credentials })]);
    const token = check('token');
    expect(token).toMatchObject({ result: 'failed', failure: 'denied' });
    expect(token.what).toContain('its sandbox accepts them: they are sandbox credentials');
    expect(token.hint).toMatch(/^Set `environment: sandbox` on the route, or use the production credentials/);
    expect([code, sandbox.stats().exchanges, production.stats().token_requests]).toEqual([4, 1, 1]);
    expect(printed).toContain('PRODUCTION');
    expect(printed).not.toMatch(/emulated-mpesa-consumer/);
  });

  it('in both environments are wrong', async () => {
    const { sandbox, bases } = await twoHosts();
    sandbox.control({ token_endpoint: 'denied' });
    const { code, check } = await diagnosed([routeWithHosts(bases, { credentials })]);
    expect(check('token').what).toMatch(
      /refused the credentials at its production host [\d.:]+ \(HTTP 400\) and said \{/,
    );
    expect(check('token').hint).toMatch(/^Check `consumer_key` \(Consumer key of the app.*`wakala providers mpesa`/);
    expect([code, sandbox.stats().token_requests]).toEqual([4, 1]);
  });

  it('in the sandbox are never tried in production', async () => {
    const { sandbox, production, bases } = await twoHosts();
    sandbox.control({ token_endpoint: 'denied' });
    const { code, check } = await diagnosed([routeWithHosts(bases, { environment: 'sandbox', credentials })]);
    expect(check('token').hint).toContain('They may also be production credentials');
    expect([code, production.stats().token_requests]).toEqual([4, 0]);
  });

  it.each<[string, (bases: { sandbox: string; production: string }) => Partial<RouteConfig>]>([
    ['`upstream` is a custom host', ({ sandbox }) => ({ upstream: sandbox.replace('127.0.0.1', 'localhost') })],
    ['the token request has an absolute URL', ({ production }) => ({ provider: elsewhere(production) })],
  ])('are not tried at the sandbox if %s', async (_, partsOf) => {
    const { sandbox, bases } = await twoHosts();
    const whole = routeWithHosts(bases, { credentials });
    const parts = partsOf(bases);
    const provider = { ...parts.provider, ...whole.provider, ...(parts.provider && { token: parts.provider.token }) };
    const { code } = await diagnosed([{ ...whole, ...parts, provider }]);
    expect([code, sandbox.stats().token_requests]).toEqual([4, 0]);
  });

  function elsewhere(base: string): RouteConfig['provider'] {
    if (!('request' in mpesa.token)) throw new Error('no exchange');
    const { request } = mpesa.token;
    return { ...mpesa, token: { ...mpesa.token, request: { ...request, path: base + request.path } } };
  }

  it('are named with where they come from, without their values', () => {
    const text = [
      'routes:',
      '  /x/*:',
      '    credentials:',
      '      consumer_key: "${KEY:-canary-default}"',
      '      consumer_secret: ${file:/run/secrets/s}',
    ].join('\n');
    const origins = originsIn('proxy.config.yaml', text);
    expect(describeSent({ name: '/x/*', provider: mpesa }, origins)).toEqual([
      '`consumer_key` (from $KEY)',
      '`consumer_secret` (from the file /run/secrets/s)',
    ]);
    const literal = text.replace('"${KEY:-canary-default}"', () => '"$${canary"');
    expect(originsIn('a.yaml', literal)('/x/*', 'consumer_key')).toBe('a.yaml');
    expect(originsIn('a.yaml', text)('/x/*', 'value_1')).toBeUndefined();
  });
});

describe('a token endpoint', () => {
  it.each<[string, RequestListener, what: string, hint: string]>([
    ['a page', (_, r) => r.end('<html>blocked</html>'), 'a web page instead of a token (HTTP 200)', 'in a browser'],
    [
      'a page with 403',
      (_, r) => r.writeHead(403).end('<html>'),
      'a web page instead of a token (HTTP 403)',
      'firewall',
    ],
    ['no JSON', (_, r) => r.end('t-canary'), 'something that is not JSON', '`token.response`'],
    ['no token', (_, r) => r.end('{"t":"t-canary"}'), 'HTTP 200, but without a token', '`access_token`'],
    ['500', (_, r) => r.writeHead(500).end('{"e":1}'), ', which said {"e":1}.', 'The provider is failing'],
    [
      '429',
      (_, r) => r.writeHead(429, { 'retry-after': '90' }).end(),
      '(HTTP 429). It allows the next request in 1 min 30 s.',
      'other copies of Wakala',
    ],
    ['404', (_, r) => r.writeHead(404).end('{}'), 'HTTP 404', 'path and method'],
    ['a redirect', (_, r) => r.writeHead(302, { location: '/' }).end(), 'HTTP 302', 'does not follow redirects'],
    ['nothing', (request) => request.socket.destroy(), 'closed the connection before it responded', 'every time'],
  ])('that responds with %s sends no token: exit code 5', async (_, listener, what, hint) => {
    const { code, check, printed } = await atTokenEndpoint(listener);
    expect(check('token')).toMatchObject({ result: 'failed', failure: 'unreachable' });
    expect(check('token').what).toContain(what);
    expect(check('token').hint).toContain(hint);
    expect(check('lifetime').result).toBe('skipped');
    expect(code).toBe(5);
    expect(printed).not.toContain('canary');
  });

  it('that redirects to another path is shown with the address to configure', async () => {
    const { check } = await atTokenEndpoint((request, r) => {
      r.writeHead(301, { location: `http://${request.headers.host}/oauth/v1/generate/?secret=canary` }).end();
    });
    expect(check('token').what).toMatch(
      /redirects to http:\/\/127\.0\.0\.1:\d+\/oauth\/v1\/generate\/ \(HTTP 301\)\.$/,
    );
    expect(check('token').hint).toMatch(
      /Set `token\.request\.url` to http:\/\/\S+\/generate\/\. Or set `path` there to the part of it that follows `auth_server`\.$/,
    );
  });

  it('that never responds is given up after 15 s', async () => {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<undefined>();
    const port = await serveSockets((socket) => void socket.once('data', () => asked.resolve(undefined)));
    const base = `http://127.0.0.1:${port}`;
    const found = diagnosed([mpesaRoute({ upstream: base, authServer: base })], { clock });
    await asked.promise;
    await clock.advance(15_000);
    const { code, check } = await found;
    expect(check('token').what).toContain('did not respond within 15 s');
    expect(check('clock').result).toBe('skipped');
    expect(code).toBe(5);
  });

  it('that sends terminal control characters gets question marks instead', async () => {
    const { check } = await atTokenEndpoint((_, r) => r.writeHead(401).end('{"e":"\u009b31m\u202e"}'));
    expect(check('token').what).toMatch(/said \{"e":"\?31m\?"\}\.$/);
  });
});

describe('the lifetime of a token', () => {
  const respondingWith = (fields: object) =>
    atTokenEndpoint((_, response) => response.end(JSON.stringify({ access_token: 't', ...fields })));

  it.each([
    ['60', 'ok', '1 min (from `expires_in`), refreshed 12 s before it ends'],
    [59, 'warning', '59 s (from `expires_in`), refreshed 12 s before it ends.'],
    [3600, 'ok', '1 h (from `expires_in`), refreshed 30 s before it ends'],
  ])('of %s seconds gets: %s', async (expires_in, result, what) => {
    const { code, check } = await respondingWith({ expires_in });
    expect(check('lifetime')).toMatchObject({ result, what });
    expect(code).toBe(0);
  });

  it('that the response does not have is assumed, with a warning', async () => {
    const { code, check } = await respondingWith({});
    expect(check('lifetime')).toMatchObject({
      result: 'warning',
      what: containing('Wakala assumes 59 min 59 s'),
      hint: containing('default_lifetime'),
    });
    expect(code).toBe(0);
  });

  it.each([
    [0, '`expires_in` is 0. Wakala uses it for 59 min 59 s (from `default_lifetime`)'],
    ['-1', '`expires_in` is -1. '],
  ])(
    'that has passed already (%j) is replaced, with a warning that names field and value',
    async (expires_in, what) => {
      const { code, check } = await respondingWith({ expires_in });
      expect(check('lifetime')).toMatchObject({
        result: 'warning',
        what: containing(what),
        hint: containing('`token.response`'),
      });
      expect(code).toBe(0);
    },
  );

  it('may come from the token itself', async () => {
    const exp = Math.floor(Date.now() / 1000) + 900;
    const access_token = `e30.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.x`;
    expect((await respondingWith({ access_token })).check('lifetime').what).toContain('from `exp` in the token itself');
  });
});

describe("this machine's clock", () => {
  it('that is ten minutes ahead is a failure: exit code 1', async () => {
    const { code, check } = await atTokenEndpoint(tokens(new Date(Date.now() - 600_000)));
    expect(check('clock')).toMatchObject({ result: 'failed', hint: containing('NTP') });
    expect(check('clock').what).toMatch(
      /^The clock of this machine is (10 min \d|9 min 59) s ahead of that of 127\.0\.0\.1:\d+\.$/,
    );
    expect(code).toBe(1);
  });

  it('is also compared if the credentials were refused', async () => {
    const date = new Date(Date.now() + 600_000).toUTCString();
    const { code, check } = await atTokenEndpoint((_, response) => response.writeHead(401, { date }).end('{}'));
    expect(check('clock').what).toMatch(/ behind that of 127\.0\.0\.1:\d+\.$/);
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
    expect(checkClock(skewMs, 'auth.example.com').result).toBe(result);
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
])('%d ms is formatted as %s', (ms, text) => {
  expect(formatSeconds(ms)).toBe(text);
});

it('a credential that the token request does not send is not listed', () => {
  const route = {
    upstream: 'http://127.0.0.1:1',
    credentials: { key: 'k', api_version: 'v' },
    headers: { 'x-version': '{api_version}' },
    token: { request: { path: '/t', json: { key: '{key}' } }, response: { access_token: 'a' } },
  };
  const [custom] = configOf({ routes: { '/x/*': route } }).routes;
  expect(describeSent(custom!, () => undefined)).toEqual(['`key` (`key` under `credentials`)']);
});
