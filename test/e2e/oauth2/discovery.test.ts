import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { metadataUrls } from '../../../src/tokens/discovery.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { refusalOf } from '../../support/token-fakes.ts';
import {
  mockServer,
  oidcProvider,
  type ReceivedRequest,
  type ScriptedResponse,
  scriptedServer,
  SECRET,
} from './servers.ts';
import { createFetcher } from './token-fetcher.ts';

const OAUTH = '/.well-known/oauth-authorization-server';
const OPENID = '/.well-known/openid-configuration';

/** An issuer with these responses at its metadata locations, and a token endpoint at `/token`. */
function issuerWith(responses: Readonly<Record<string, (origin: string) => ScriptedResponse>>) {
  return scriptedServer(({ path }, origin): ScriptedResponse => {
    if (path === '/token') return { json: { access_token: 'token-1', expires_in: 3600 } };
    return responses[path]?.(origin) ?? { status: 404, text: 'not here' };
  });
}

const good = (origin: string) => ({ json: { issuer: origin, token_endpoint: `${origin}/token` } });
const pathsOf = (arrived: readonly ReceivedRequest[]) => arrived.map(({ path }) => path);

describe('an issuer', () => {
  it.each([
    ['https://login.example', [OAUTH, OPENID]],
    ['https://login.example/', [OAUTH, OPENID]],
    ['https://login.example/tenants/1', [`${OAUTH}/tenants/1`, `/tenants/1${OPENID}`]],
    ['https://login.example/tenants/1/', [`${OAUTH}/tenants/1`, `/tenants/1${OPENID}`]],
    ['https://login.example:8443/a', [`${OAUTH}/a`, `/a${OPENID}`]],
  ])('%s has its metadata at %j', (issuer, paths) => {
    const { origin } = new URL(issuer);
    expect(metadataUrls(issuer)).toEqual(paths.map((path) => `${origin}${path}`));
  });

  it('with OAuth 2.0 metadata (RFC 8414) gets one metadata request, and its token endpoint is used', async () => {
    const { issuer, endpoint } = await oidcProvider({ client_secret: SECRET });
    const { fetcher, sent } = createFetcher({ issuer });
    await fetcher.fetch(undefined);
    expect(sent.map(({ url }) => url)).toEqual([`${issuer}${OAUTH}`, endpoint]);
  });

  it('with only OpenID Connect metadata is found at the second location', async () => {
    const { issuer } = await mockServer();
    const { fetcher, sent } = createFetcher({ issuer });
    await fetcher.fetch(undefined);
    expect(sent.map(({ url }) => url)).toEqual([`${issuer}${OAUTH}`, `${issuer}${OPENID}`, `${issuer}/token`]);
  });

  it('with a path has its metadata where RFC 8414 inserts it', async () => {
    const { origin, arrived } = await issuerWith({
      [`${OAUTH}/tenants/1`]: (here) => ({ json: { issuer: `${here}/tenants/1`, token_endpoint: `${here}/token` } }),
    });
    await createFetcher({ issuer: `${origin}/tenants/1` }).fetcher.fetch(undefined);
    expect(pathsOf(arrived)).toEqual([`${OAUTH}/tenants/1`, '/token']);
  });

  it('may have a trailing slash in its name', async () => {
    const { origin } = await issuerWith({
      [OAUTH]: (here) => ({ json: { issuer: `${here}/`, token_endpoint: `${here}/token` } }),
    });
    await createFetcher({ issuer: `${origin}/` }).fetcher.fetch(undefined);
    const refusal = await refusalOf(createFetcher({ issuer: origin }).fetcher.fetch(undefined));
    expect(refusal.message).toContain(`${OAUTH} belongs to another issuer: its \`issuer\` ends with \`/\``);
  });

  it('gets no credentials', async () => {
    const { origin, arrived } = await issuerWith({ [OAUTH]: good });
    await createFetcher({ issuer: origin }).fetcher.fetch(undefined);
    expect(arrived[0]?.headers).not.toHaveProperty('authorization');
    expect(arrived[0]?.form).toEqual([]);
  });
});

describe('metadata', () => {
  const at = (response: (origin: string) => ScriptedResponse) => ({ [OAUTH]: response });
  const naming = (endpoint: unknown) => at((issuer) => ({ json: { issuer, token_endpoint: endpoint } }));

  it.each([
    [
      'of another issuer',
      at(() => ({ json: { issuer: 'https://evil.example', token_endpoint: 'https://evil.example/' } })),
      'belongs to another issuer',
    ],
    ['that names no issuer', at((origin) => ({ json: { token_endpoint: `${origin}/token` } })), 'it has no `issuer`'],
    ['that is no JSON', at(() => ({ text: '<html>' })), 'it has no `issuer`'],
    ['that is a list', at(() => ({ json: [] })), 'it has no `issuer`'],
    ['that is not there', {}, 'responded with HTTP 404'],
    ['that fails', at(() => ({ status: 500, json: {} })), 'responded with HTTP 500'],
    [
      'that is elsewhere',
      at((origin) => ({ status: 302, headers: { location: `${origin}/moved` }, json: {} })),
      'redirects to http://127.0.0.1:',
    ],
    ['without a token endpoint', naming(undefined), 'names no `token_endpoint`'],
    ['with a token endpoint that is no text', naming({}), 'names no `token_endpoint`'],
    ['with a token endpoint that is no URL', naming('/token'), 'names a `token_endpoint` that is not a plain URL'],
    ['with a token endpoint of another scheme', naming('file:///etc/passwd'), 'that is not a plain URL'],
    ['with a password in its token endpoint', naming('https://a:b@login.example/'), 'that is not a plain URL'],
    ['with a token endpoint without TLS', naming('http://login.example/token'), 'names a `token_endpoint` without TLS'],
    ['with a token endpoint at a metadata service', naming('https://169.254.169.254/token'), 'link-local'],
  ] as const)('%s is not used: token_unavailable, with an explanation', async (_, responses, reason) => {
    const { origin, arrived } = await issuerWith(responses);
    const { fetcher, log } = createFetcher({ issuer: origin });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_unavailable');
    expect(refusal.message).toContain(' names no usable token endpoint (');
    expect(refusal.message).toContain(`${OAUTH} `);
    expect(refusal.message).toContain(reason);
    // Only both locations: no redirect is followed, and no token is requested.
    expect(pathsOf(arrived)).toEqual([OAUTH, OPENID]);
    expect(log.lines).toMatchObject([
      { level: 'warn', event: 'token_exchange_failed', fields: { issuer: origin, error: refusal.message } },
    ]);
  });

  it('at the second location is used if the first cannot be used', async () => {
    const { origin } = await issuerWith({
      [OAUTH]: () => ({ json: { issuer: 'https://else.example' } }),
      [OPENID]: good,
    });
    expect((await createFetcher({ issuer: origin }).fetcher.fetch(undefined)).accessToken.reveal()).toBe('token-1');
  });

  it('of more than 64 KiB is not read', async () => {
    const { origin } = await issuerWith({
      [OAUTH]: (issuer) => ({ json: { issuer, token_endpoint: `${issuer}/token`, padding: 'x'.repeat(64 * 1024) } }),
    });
    const refusal = await refusalOf(createFetcher({ issuer: origin }).fetcher.fetch(undefined));
    expect(refusal).toMatchObject({ code: 'token_unavailable' });
    expect(refusal.message).toContain('RESPONSE_TOO_LONG at ');
  });

  it('with Retry-After is not requested earlier', async () => {
    const { origin } = await issuerWith(at(() => ({ status: 429, headers: { 'retry-after': '17' }, json: {} })));
    expect((await refusalOf(createFetcher({ issuer: origin }).fetcher.fetch(undefined))).retryAfterS).toBe(17);
  });

  it('of an unreachable issuer is a token_unavailable', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const refusal = await refusalOf(createFetcher({ issuer: `http://127.0.0.1:${port}` }).fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_unavailable');
    expect(refusal.message).toContain('ECONNREFUSED at ');
  });
});

describe('cached metadata', () => {
  it('is used for one hour', async () => {
    const clock = new ManualClock();
    const { origin, arrived } = await issuerWith({ [OAUTH]: good });
    const { fetcher } = createFetcher({ issuer: origin }, {}, clock);
    await fetcher.fetch(undefined);
    await clock.advance(3_600_000 - 1);
    await fetcher.fetch(undefined);
    expect(pathsOf(arrived)).toEqual([OAUTH, '/token', '/token']);
    await clock.advance(1);
    await fetcher.fetch(undefined);
    expect(pathsOf(arrived).slice(3)).toEqual([OAUTH, '/token']);
  });

  it('is used while new metadata cannot be fetched, which is retried a minute later', async () => {
    const clock = new ManualClock();
    let down = false;
    const { origin, arrived } = await issuerWith({
      [OAUTH]: (here) => (down ? { status: 503, json: {} } : good(here)),
    });
    const { fetcher } = createFetcher({ issuer: origin }, {}, clock);
    await fetcher.fetch(undefined);
    down = true;
    await clock.advance(3_600_000);
    await fetcher.fetch(undefined);
    await clock.advance(60_000 - 1);
    await fetcher.fetch(undefined);
    expect(pathsOf(arrived)).toEqual([OAUTH, '/token', OAUTH, OPENID, '/token', '/token']);
    await clock.advance(1);
    await fetcher.fetch(undefined);
    expect(pathsOf(arrived).slice(6)).toEqual([OAUTH, OPENID, '/token']);
  });

  it('is dropped once the token endpoint is gone', async () => {
    let moved = false;
    const { origin, arrived } = await scriptedServer(({ path }, here): ScriptedResponse => {
      if (path === OAUTH) return { json: { issuer: here, token_endpoint: moved ? `${here}/new` : `${here}/old` } };
      return path === (moved ? '/new' : '/old') ? { json: { access_token: 't' } } : { status: 404, json: {} };
    });
    const { fetcher } = createFetcher({ issuer: origin });
    await fetcher.fetch(undefined);
    moved = true;
    await refusalOf(fetcher.fetch(undefined));
    await fetcher.fetch(undefined);
    expect(pathsOf(arrived)).toEqual([OAUTH, '/old', '/old', OAUTH, '/new']);
  });
});
