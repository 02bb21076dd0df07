import { createHmac } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { isRequested } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { routeToEmulator } from '../support/proxy-server.ts';
import {
  configOf,
  containing,
  diagnosed,
  emulated,
  matching,
  resultsOf,
  run,
  serve,
  serveSockets,
  tokens,
} from './doctor-support.ts';

const NAMES = providers.filter(({ token, hosts }) => isRequested(token) && hosts !== undefined).map(({ name }) => name);
const withCall = providers.filter(({ readOnlyCall }) => readOnlyCall !== undefined).map(({ name }) => name);

/** An API on loopback whose fixed key is `sk-canary-0001`, and the requests that it got. */
async function api(respond: RequestListener) {
  const requests: IncomingMessage[] = [];
  const url = await serve((request, response) => {
    requests.push(request);
    respond(request, response);
  });
  return { url, requests };
}

function fixedRoute(upstream: string, more: Record<string, unknown> = {}) {
  const { routes } = configOf({
    routes: { '/api/*': { provider: 'static', upstream, credentials: { token: 'sk-canary-0001' }, ...more } },
  });
  return routes[0]!;
}

/** A route to a provider that has a documented call, with an API that `respond` serves and a token endpoint. */
async function jpayRoute(respond: RequestListener, more: Record<string, unknown> = {}) {
  const { url, requests } = await api((request, response) => {
    if (request.url !== '/auth/app/token') respond(request, response);
    else response.end(JSON.stringify({ access: 'token-canary-0001', refresh: 'refresh-canary' }));
  });
  const credentials = { app_key: 'key-canary-0001', app_secret: 'secret-canary-0001' };
  const { routes } = configOf({ routes: { '/jpay/*': { provider: 'jpay', upstream: url, credentials, ...more } } });
  return { route: routes[0]!, requests: () => requests.filter(({ url }) => url !== '/auth/app/token') };
}

const json = (status: number, body: unknown) => (_: IncomingMessage, response: ServerResponse) => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};

describe('doctor --call', () => {
  it.each(withCall)('sends the documented call of %s, and its emulator accepts the token', async (name) => {
    const emulator = await emulated(name);
    const settings = { routes: { '/api/*': routeToEmulator(emulator) } };
    const ran = await run(settings, { call: true });
    expect(ran.stdout).toMatch(
      /ok {7}call {9}GET http:\/\/127\.0\.0\.1:\d+\/\S+ got HTTP 200 in .*: the provider accepts/,
    );
    expect([ran.code, emulator.stats().api_calls, emulator.stats().refused]).toEqual([0, 1, 0]);
  });

  it.each(NAMES)('sends one request to the emulator of %s, which does not refuse the token', async (name) => {
    const emulator = await emulated(name);
    const settings = { routes: { '/api/*': routeToEmulator(emulator) } };
    const ran = await run(settings, { call: true, json: true });
    expect(resultsOf(ran, '/api/*')['call']).toBe('ok');
    expect([emulator.stats().api_calls, emulator.stats().refused]).toEqual([1, 0]);
  });

  it('is not sent without the option, and says what it would send', async () => {
    const { route, requests } = await jpayRoute(json(200, {}));
    const { check, code } = await diagnosed([route]);
    expect(check('call')).toMatchObject({
      result: 'skipped',
      what: `not tried; \`wakala doctor --call\` sends GET ${route.upstream}/wallets/balance`,
    });
    expect([code, requests().length]).toEqual([0, 0]);
  });

  it('sends a GET with the token and the headers of the route, and no body', async () => {
    const { route, requests } = await jpayRoute(json(200, {}), { headers: { 'x-tenant': 'shop' } });
    await diagnosed([route], { call: true });
    expect(requests()).toHaveLength(1);
    expect(requests()[0]).toMatchObject({
      method: 'GET',
      url: '/wallets/balance',
      headers: { authorization: 'Bearer token-canary-0001', 'x-tenant': 'shop', 'user-agent': 'wakala-doctor' },
    });
    expect(requests()[0]!.headers).not.toHaveProperty('content-length');
  });

  it('sends the base URL of a provider without a documented call', async () => {
    const { url, requests } = await api(json(200, {}));
    const { check } = await diagnosed([fixedRoute(`${url}/v1`)], { call: true });
    expect(requests.map((request) => `${request.method} ${request.url}`)).toEqual(['GET /v1']);
    expect(requests[0]!.headers['authorization']).toBe('Bearer sk-canary-0001');
    expect(check('call')).toMatchObject({ result: 'ok', what: containing('the provider does not refuse the token') });
  });

  it.each([
    [200, 'ok', 0, 'the provider accepts the token'],
    [204, 'ok', 0, 'the provider accepts the token'],
    [301, 'warning', 0, 'it redirects to https://other.example/, so it is not certain'],
    [400, 'warning', 0, 'as far as can be told, the token is accepted, but not the call and said {"detail":"no"}.'],
    [401, 'failed', 4, 'the provider does not accept the token and said {"detail":"no"}.'],
    [403, 'warning', 0, 'as far as can be told, the token is accepted, but not the call'],
    [404, 'warning', 0, 'as far as can be told, the token is accepted, but not the call'],
    [429, 'warning', 0, 'as far as can be told, the token is accepted, but not the call'],
    [500, 'warning', 0, 'the provider fails, so it is not certain'],
  ])('of a documented call with the response %i is: %s', async (status, result, code, what) => {
    const { route } = await jpayRoute((request, response) => {
      response.setHeader('location', 'https://other.example/');
      json(status, { detail: 'no' })(request, response);
    });
    const found = await diagnosed([route], { call: true });
    expect(found.check('call')).toMatchObject({ result, what: containing(`got HTTP ${status} in `) });
    expect(found.check('call').what).toContain(what);
    expect(found.code).toBe(code);
  });

  it.each([
    [401, 'failed', 4],
    [403, 'ok', 0],
    [404, 'ok', 0],
    [405, 'ok', 0],
    [429, 'warning', 0],
    [500, 'warning', 0],
  ])('of the base URL with the response %i is: %s', async (status, result, code) => {
    const { url } = await api(json(status, {}));
    const found = await diagnosed([fixedRoute(url)], { call: true });
    expect([found.check('call').result, found.code]).toEqual([result, code]);
  });

  it('applies the dead-token rules, also to a compressed body', async () => {
    const emulator = await emulated('mpesa');
    emulator.control({ refuse_next_calls: 1 });
    const ran = await run({ routes: { '/mpesa/*': routeToEmulator(emulator) } }, { call: true });
    expect(ran.stdout).toMatch(
      /FAILED {3}call .* HTTP 404 in .*: the provider does not accept the token and said \{.*404\.001\.03/,
    );
    expect(ran.code).toBe(4);
    const { url } = await api((_, response) => {
      const body = gzipSync(JSON.stringify({ error: { code: 'DEAD' } }));
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(body);
    });
    const route = fixedRoute(url);
    const provider = { ...route.provider, deadToken: [{ status: 200, body: { 'error.code': 'DEAD' } }] };
    const { check } = await diagnosed([{ ...route, provider }], { call: true });
    expect(check('call')).toMatchObject({ failure: 'denied', what: containing('and said {"error":{"code":"DEAD"}}.') });
  });

  it('never prints a secret that the provider sends back', async () => {
    const echo: RequestListener = ({ headers }, response) => {
      response.writeHead(401, { 'content-type': 'text/plain' }).end(`bad ${headers['authorization']} key-canary-0001`);
    };
    const { route } = await jpayRoute(echo);
    const { printed } = await diagnosed([route], { call: true });
    expect(printed).toContain('and said bad Bearer [redacted]');
    expect(printed).not.toContain('canary');
    const { url } = await api(({ headers }, response) => {
      response.writeHead(302, { location: `/login?next=${headers['authorization']?.slice(7)}` }).end();
    });
    expect((await diagnosed([fixedRoute(url)], { call: true })).printed).not.toContain('canary');
  });

  it('does not print the beginning of a token that the provider quotes', async () => {
    const { url } = await api(({ headers }, response) => {
      response.writeHead(401, { 'content-type': 'text/plain' }).end(`${headers['authorization']?.slice(0, 50)}...`);
    });
    const token = `sk-canary-${'0123456789'.repeat(8)}`;
    const { printed } = await diagnosed([fixedRoute(url, { credentials: { token } })], { call: true });
    expect(printed).toContain('and said Bearer [redacted]');
    expect(printed).not.toContain('canary');
  });

  it('is not sent if `allow` does not permit it', async () => {
    const { route, requests } = await jpayRoute(json(200, {}), { allow: ['POST /payments/*'] });
    const { check } = await diagnosed([route], { call: true });
    expect(check('call')).toMatchObject({
      result: 'skipped',
      what: `\`allow\` of the route does not permit GET ${route.upstream}/wallets/balance: not sent`,
    });
    expect(requests()).toHaveLength(0);
    const permitted = await jpayRoute(json(200, {}), { allow: ['GET /wallets/*'] });
    expect((await diagnosed([permitted.route], { call: true })).check('call').result).toBe('ok');
  });

  it('is not sent to a token endpoint, also of another route', async () => {
    const { url, requests } = await api(tokens());
    const { routes } = configOf({
      routes: {
        '/mpesa/*': { provider: 'mpesa', upstream: url, credentials: { consumer_key: 'k', consumer_secret: 's' } },
        '/token/*': {
          provider: 'static',
          upstream: `${url}/oauth/v1/generate`,
          credentials: { token: 'sk-canary-0001' },
        },
      },
    });
    const { check } = await diagnosed(routes, { call: true });
    expect(check('call', 1)).toMatchObject({ result: 'skipped', what: containing('is a token endpoint') });
    expect(requests.filter((request) => request.url?.startsWith('/oauth'))).toHaveLength(1);
  });

  it('is sent with what `sign` computes, and prints none of it', async () => {
    const sign = [
      {
        calls: ['GET /*'],
        values: { s: { hmac_sha256: '{method} {path}', key: '{token}' } },
        headers: { 'X-Signature': '{s}' },
      },
    ];
    const expected = createHmac('sha256', 'sk-canary-0001').update('GET /').digest('base64');
    const { url, requests } = await api((request, response) => json(401, request.headers)(request, response));
    const { check, printed } = await diagnosed([fixedRoute(url, { sign })], { call: true });
    expect(requests.map(({ headers }) => headers['x-signature'])).toEqual([expected]);
    expect(check('call')).toMatchObject({
      result: 'failed',
      what: containing('does not accept the token or the signature'),
    });
    expect(printed).not.toContain(expected);

    const unsignable = [{ ...sign[0]!, values: { s: { text: '{header:x-missing}' } } }];
    const refused = await diagnosed([fixedRoute(url, { sign: unsignable })], { call: true });
    expect(refused.check('call')).toMatchObject({ result: 'failed', what: containing('was not sent: ') });
    expect(requests).toHaveLength(1);
  });

  it('is skipped without a token', async () => {
    const emulator = await emulated('jpay');
    emulator.control({ token_endpoint: 'denied' });
    const ran = await run({ routes: { '/jpay/*': routeToEmulator(emulator) } }, { call: true });
    expect(ran.stdout).toContain('skipped  call         there is no token');
    expect([ran.code, emulator.stats().api_calls]).toEqual([4, 0]);
  });

  it('names a timeout, a broken connection and a response that is not HTTP, with exit code 5', async () => {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<undefined>();
    const { url } = await api(() => asked.resolve(undefined));
    const slow = diagnosed([fixedRoute(url, { timeout: '20s' })], { call: true, clock });
    await asked.promise;
    await clock.advance(20_000);
    expect((await slow).check('call')).toMatchObject({
      result: 'failed',
      what: matching(/^GET http:\S+: \S+ took the request but did not respond within 20 s\.$/),
      hint: containing('`timeout`'),
    });
    expect((await slow).code).toBe(5);
    const closing = await serveSockets((socket) => socket.once('data', () => socket.end()));
    const closed = await diagnosed([fixedRoute(`http://127.0.0.1:${closing}`)], { call: true });
    expect(closed.check('call')).toMatchObject({
      failure: 'unreachable',
      what: containing('closed the connection before it responded'),
    });
    const talking = await serveSockets((socket) => socket.once('data', () => socket.end('220 mail.example\r\n')));
    const other = await diagnosed([fixedRoute(`http://127.0.0.1:${talking}`)], { call: true });
    expect(other.check('call')).toMatchObject({ failure: 'unreachable', what: containing('is not valid HTTP') });
  });

  it('names the client certificate that nginx asks for in a response', async () => {
    const { url } = await api((_, response) => {
      response.writeHead(400, { 'content-type': 'text/html' });
      response.end('<center>No required SSL certificate was sent</center>');
    });
    expect((await diagnosed([fixedRoute(url)], { call: true })).check('call')).toMatchObject({
      result: 'failed',
      failure: 'unreachable',
      what: containing('the server demands a client certificate'),
      hint: 'Set `tls.cert` and `tls.key` on the route.',
    });
  });

  it('names the client certificate that nginx does not accept', async () => {
    const { url } = await api((_, response) => {
      response.writeHead(400, { 'content-type': 'text/html' });
      response.end('<center>The SSL certificate error</center>');
    });
    expect((await diagnosed([fixedRoute(url)], { call: true })).check('call')).toMatchObject({
      result: 'failed',
      failure: 'unreachable',
      what: containing('the server does not accept the client certificate'),
    });
  });

  it.each([
    [401, 'client_unauthorized', 'failed', 4],
    [403, 'client_forbidden', 'failed', 4],
    [502, 'token_denied', 'failed', 4],
    [508, 'loop_detected', 'failed', 1],
    [503, 'token_unavailable', 'warning', 0],
    [403, 'path_refused', 'ok', 0],
  ])('says what another Wakala says with %d `%s`', async (status, code, result, exitCode) => {
    const problem = { type: `urn:wakala:error:${code}`, status, detail: 'Do this.', code };
    const { url } = await api(json(status, problem));
    const credentials = { token: 'sk-canary-0001' };
    const settings = { routes: { '/api/*': { provider: 'static', upstream: url, credentials } } };
    const ran = await run(settings, { call: true });
    expect(ran.code).toBe(exitCode);
    expect(ran.stdout).toMatch(new RegExp(`${result.slice(0, 4)}\\w*\\s+call`, 'i'));
    if (result !== 'ok')
      expect(ran.stdout).toMatch(new RegExp(`another Wakala responded with \`${code}\`[^]*It says: Do this.`));
  });
});
