import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { type Settings, startProxyTo } from '../support/proxy-server.ts';
import { json, RawUpstream, reply, type UpstreamRequest } from '../support/upstream-raw.ts';

const TOKEN = 'token-from-the-server';
const JSON_TOKEN = Buffer.from(JSON.stringify({ access_token: TOKEN, expires_in: 3600 }));

/** The path of the token endpoint in these tests. The one of `RawUpstream` has a fixed response. */
const LOGIN = '/login';

/** A proxy to an API whose token endpoint sends this response. */
async function start(response: Buffer | ((request: UpstreamRequest) => Buffer), token: Settings = {}) {
  const respond = typeof response === 'function' ? response : () => response;
  const upstream = await RawUpstream.start((request) =>
    request.target.startsWith(LOGIN) ? respond(request) : reply(200, 'paid'),
  );
  const request = { path: LOGIN, json: { key: '{key}' } };
  const fields = { access_token: 'access_token', expires_in: 'expires_in' };
  const proxy = await startProxyTo(upstream, { token: { request, response: fields, ...token } });
  const call = () => sendRequest(proxy.port, '/api/pay');
  return { upstream, proxy, call };
}

const authorizations = (upstream: RawUpstream) =>
  upstream.requests.filter(({ target }) => target === '/pay').map((request) => request.values('authorization'));

describe('a token response', () => {
  it.each([
    ['gzip', gzipSync(JSON_TOKEN)],
    ['br', brotliCompressSync(JSON_TOKEN)],
    ['zstd', zstdCompressSync(JSON_TOKEN)],
    ['gzip, br', brotliCompressSync(gzipSync(JSON_TOKEN))],
  ])('with Content-Encoding %s is decoded, although none was asked for', async (coding, body) => {
    const { upstream, call } = await start(reply(200, body, `content-encoding: ${coding}`));
    expect((await call()).status).toBe(200);
    expect(upstream.requests[0]?.values('accept-encoding')).toEqual(['identity']);
    expect(authorizations(upstream)).toEqual([[`Bearer ${TOKEN}`]]);
  });

  it('in UTF-16 is read', async () => {
    const body = Buffer.from(`\ufeff${JSON_TOKEN.toString()}`, 'utf16le');
    const { upstream, call } = await start(reply(200, body, 'content-type: application/json'));
    expect((await call()).status).toBe(200);
    expect(authorizations(upstream)).toEqual([[`Bearer ${TOKEN}`]]);
  });

  it.each([
    ['that is truncated', gzipSync(JSON_TOKEN).subarray(0, -4), 'gzip', 'is not valid gzip'],
    ['that expands to 20 MB', gzipSync(Buffer.alloc(20_000_000)), 'gzip', 'is too long after decoding'],
    ['with an unknown coding', JSON_TOKEN, 'dcb', 'has a Content-Encoding that Wakala does not know (dcb)'],
  ])('%s says so in the log', async (_, body, coding, problem) => {
    const { proxy, call } = await start(reply(200, body, `content-encoding: ${coding}`));
    expectProblem(await call(), { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
    const line = await proxy.logged('token_exchange_failed');
    expect(line['error']).toContain(`HTTP 200 with a body that ${problem}`);
    expect(line['hint']).toContain('without compression');
    expect(proxy.logText()).not.toContain(TOKEN);
  });

  it('that refuses the credentials is decoded for the log, and redacted', async () => {
    const said = gzipSync(JSON.stringify({ error: 'unknown key canary-api-key' }));
    const { proxy, call } = await start(reply(401, said, 'content-encoding: gzip'));
    expectProblem(await call(), { status: 502, code: 'token_denied' });
    const line = await proxy.logged('token_exchange_failed');
    expect(line['provider_said']).toBe('{"error":"unknown key [redacted]"}');
  });

  it('that refuses the credentials does so too if it cannot be decoded', async () => {
    const { proxy, call } = await start(reply(401, 'xx', 'content-encoding: gzip'));
    expectProblem(await call(), { status: 502, code: 'token_denied' });
    expect(await proxy.logged('token_exchange_failed')).not.toHaveProperty('provider_said');
  });
});

it('a token request can be a PUT with nested JSON and another Content-Type', async () => {
  const json200 = json(200, { access_token: TOKEN });
  const { upstream, proxy, call } = await start(json200, {
    request: {
      ...{ method: 'PUT', path: LOGIN, headers: { 'Content-Type': 'application/vnd.api+json' } },
      json: { auth: { key: '{key}' }, ttl: 3600 },
    },
  });
  expect((await call()).status).toBe(200);
  const [request] = upstream.requests;
  expect([request?.method, request?.values('content-type')]).toEqual(['PUT', ['application/vnd.api+json']]);
  expect(JSON.parse(String(request?.body))).toEqual({ auth: { key: 'canary-api-key' }, ttl: 3600 });
  expect((await sendRequest(proxy.port, `/api${LOGIN}`, { method: 'PUT' })).text).toContain('access_token');
});

describe('the format of a token response', () => {
  it.each([
    ['form-encoded', `access_token=${TOKEN}&expires_in=3600`, 'application/x-www-form-urlencoded', {}],
    ['plain text', `${TOKEN}\n`, 'text/plain', { response: { format: 'text' } }],
    ['a JSON string', JSON.stringify(TOKEN), 'application/json', { response: { format: 'text' } }],
  ])('can be %s', async (_, body, type, token) => {
    const { upstream, call } = await start(reply(200, body, `content-type: ${type}`), token);
    expect((await call()).status).toBe(200);
    expect(authorizations(upstream)).toEqual([[`Bearer ${TOKEN}`]]);
  });
});

describe('a token endpoint that redirects', () => {
  it('is not followed, and the log says what to write', async () => {
    const { upstream, proxy, call } = await start((request) =>
      request.target === LOGIN
        ? reply(301, '<html>Moved</html>', `location: ${LOGIN}/?key=canary-api-key`, 'content-type: text/html')
        : json(200, { access_token: TOKEN }),
    );
    const response = await call();
    expectProblem(response, { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
    expect(response.text).not.toContain(`${LOGIN}/`);
    const location = `${upstream.origin}${LOGIN}/`;
    const line = await proxy.logged('token_exchange_failed');
    expect(line).toMatchObject({ status: 301, location });
    expect(line['hint']).toContain(`Set \`token.request.url\` to ${location}. Or set \`path\` there to`);
    expect(upstream.requests).toHaveLength(1);
    expect(proxy.logText()).not.toContain('canary-api-key');
  });
});

describe('a response whose body says that the token is dead', () => {
  const DEAD = { dead_token: [{ status: 400, body: { code: 'dead' } }] };
  const dead = Buffer.from('{"code":"dead"}');

  /** An API that sends `refusal` to the first token. */
  async function startApi(refusal: Buffer) {
    let isFirst = true;
    let number = 0;
    const upstream = await RawUpstream.start((request) => {
      if (request.target === LOGIN) return json(200, { access_token: `${TOKEN}-${(number += 1)}` });
      if (!isFirst) return reply(200, 'paid');
      isFirst = false;
      return refusal;
    });
    const token = { request: { path: LOGIN }, response: { access_token: 'access_token' }, ...DEAD };
    const proxy = await startProxyTo(upstream, { token, credentials: {} });
    return { proxy, call: () => sendRequest(proxy.port, '/api/pay') };
  }

  it.each([
    ['in zstd', zstdCompressSync(dead), 'content-encoding: zstd'],
    ['in br after gzip', brotliCompressSync(gzipSync(dead)), 'content-encoding: gzip, br'],
    [
      'in two Content-Encoding lines',
      brotliCompressSync(gzipSync(dead)),
      'content-encoding: gzip\r\ncontent-encoding: br',
    ],
    ['with a byte-order mark', Buffer.from('\ufeff{"code":"dead"}'), 'content-type: application/json'],
  ])('%s gets another token', async (_, body, line) => {
    const { proxy, call } = await startApi(reply(400, body, line));
    const response = await call();
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(proxy.logText()).not.toContain('response_not_inspected');
  });

  it.each([
    ['in an unknown coding', dead, 'dcb', 'unknown_coding'],
    ['that is not what its coding says', dead, 'gzip', 'broken'],
    ['that expands to 20 MB', gzipSync(Buffer.alloc(20_000_000)), 'gzip', 'too_long'],
    ['of more than 16 KiB', Buffer.alloc(20_000, ' '), 'identity', 'too_long'],
  ])('%s is passed on with one warning', async (_, body, coding, problem) => {
    const { proxy, call } = await startApi(reply(400, body, `content-encoding: ${coding}`));
    const response = await call();
    expect([response.status, response.body]).toEqual([400, body]);
    expect(await proxy.logged('response_not_inspected')).toMatchObject({ level: 'warn', route: '/api/*', problem });
    await call();
    expect(proxy.log.filter((line) => line['event'] === 'response_not_inspected')).toHaveLength(1);
  });

  it('that is not JSON is normal and has no warning', async () => {
    const { proxy, call } = await startApi(reply(400, '<h1>Bad request</h1>'));
    expect((await call()).status).toBe(400);
    expect(proxy.logText()).not.toContain('response_not_inspected');
  });
});
