import { createHmac, createVerify, generateKeyPairSync } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { freePort } from '../support/free-port.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { expectProblem, sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo, type Settings, type StartedProxy, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawClient, sendRaw } from '../support/raw-client.ts';
import { stallThreadPool } from '../support/stalled-thread-pool.ts';
import { chunk, json, RawUpstream, refusingFirstToken, reply, type UpstreamRequest } from '../support/upstream-raw.ts';
import { handshake, startWebSockets } from '../support/websocket.ts';

const HMAC_KEY = 'canary-hmac-key';
const PASSKEY = 'canary-passkey';
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Signs everything about a call, with values that are new for each request and each attempt. */
const HMAC_RULE = {
  calls: ['* /pay*'],
  values: {
    time: { now: 'epoch_ms' },
    nonce: { uuid: 'v4' },
    salt: { random: 8 },
    signature: {
      hmac_sha256: '{method} {host} {target} {time} {nonce} {salt} {access_token} {body}',
      key: '{hmac_key}',
    },
  },
  headers: { 'X-Time': '{time}', 'X-Nonce': '{nonce}', 'X-Salt': '{salt}', 'X-Signature': '{signature}' },
};

/** Inserts the password of an STK push. */
const PASSWORD_RULE = {
  calls: ['POST /pay*'],
  values: {
    time: { now: 'yyyyMMddHHmmss' },
    password: { text: '{json:code}{passkey}{time}', encoding: 'base64' },
  },
  json: { time: '{time}', password: '{password}' },
};

const RSA_RULE = {
  calls: ['* /pay*'],
  values: { signature: { rsa_sha256: '{method} {call_path}', key: '{private_key}' } },
  headers: { Signature: '{signature}' },
};

/** A route to the upstream with these rules. */
function signed(sign: readonly unknown[], settings: Settings = {}): Settings {
  return {
    credentials: { key: 'canary-api-key', hmac_key: HMAC_KEY, passkey: PASSKEY, private_key: PEM },
    sign,
    ...settings,
  };
}

function values(request: UpstreamRequest, ...names: string[]): string[] {
  return names.map((name) => request.values(name).join('|'));
}

/** Waits until this many requests of the first route are in flight. */
async function inFlight({ server }: StartedProxy, count: number): Promise<void> {
  while ((await server.snapshot()).routes[0]?.inFlight !== count) await setTimeout(5);
}

/** Disconnects, and waits until the proxy knows. The proxy needs an admin listener. */
async function leave(client: RawClient, { server }: StartedProxy): Promise<void> {
  client.socket.destroy();
  while (!(await server.records(0)).some(({ clientLeft }) => clientLeft)) await setTimeout(5);
}

/** Asserts that the signature of `HMAC_RULE` is right. */
function expectSigned(request: UpstreamRequest, host: string, token: string): void {
  const [time, nonce, salt, signature] = values(request, 'x-time', 'x-nonce', 'x-salt', 'x-signature');
  const text = [request.method, host, request.target, time, nonce, salt, token, request.body.toString('latin1')];
  const expected = createHmac('sha256', HMAC_KEY).update(text.join(' '), 'latin1').digest('base64');
  expect(signature).toBe(expected);
}

function isRsaSigned(request: UpstreamRequest, text: string): boolean {
  const [signature = ''] = request.values('signature');
  return createVerify('sha256').update(text).verify(publicKey, signature, 'base64');
}

describe('a signed request', () => {
  it('is signed as it goes out, with the base path, the token in the query and the configured Host', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const settings = signed([HMAC_RULE], { token_query: 'key', host_header: 'pay.example.com' });
    const proxy = await startProxyTo(
      { origin: `${upstream.origin}/base` },
      { ...settings, auth_server: upstream.origin },
    );
    const response = await sendRequest(proxy.port, '/api/pay/%C3%A9?b=2&key=mine&a=%2f', { body: 'ü\x00\xff' });
    expect([response.status, response.text]).toEqual([200, 'paid']);
    const request = await upstream.request();
    expect(request.target).toBe(`/base/pay/%C3%A9?b=2&a=%2f&key=${upstream.tokens[0]}`);
    expect(values(request, 'host')).toEqual(['pay.example.com']);
    expectSigned(request, 'pay.example.com', upstream.tokens[0]!);
  });

  it('is signed anew for the second attempt: with new time and token, and the same uuid and random bytes', async () => {
    const clock = new ManualClock();
    const refusing = refusingFirstToken(() => reply(200, 'paid'));
    const upstream = await RawUpstream.start(async (request) => {
      await clock.advance(1500);
      return refusing(request);
    });
    const proxy = await startProxyTo(upstream, signed([HMAC_RULE]), clock);
    const body = '{"amount":1}';
    const response = await sendRequest(proxy.port, '/api/pay', { body });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    const [first, second] = upstream.requests;
    const host = `127.0.0.1:${upstream.port}`;
    expectSigned(first!, host, upstream.tokens[0]!);
    expectSigned(second!, host, upstream.tokens[1]!);
    expect(upstream.tokens[1]).not.toBe(upstream.tokens[0]);
    expect(Number(values(second!, 'x-time')) - Number(values(first!, 'x-time'))).toBeGreaterThanOrEqual(1500);
    expect(values(second!, 'x-nonce', 'x-salt')).toEqual(values(first!, 'x-nonce', 'x-salt'));
    expect(values(first!, 'x-nonce', 'x-salt')).toEqual([
      expect.stringMatching(/^[\da-f]{8}-[\da-f]{4}-4[\da-f-]{21}$/),
      expect.stringMatching(/^[\da-f]{16}$/),
    ]);
    const next = await sendRequest(proxy.port, '/api/pay', { body });
    expect(next.status).toBe(200);
    expect(values(upstream.requests[2]!, 'x-nonce')).not.toEqual(values(first!, 'x-nonce'));
  });

  it('starts the second attempt from the body of the app, not from the signed one', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1, 12));
    const refusing = refusingFirstToken(() => reply(200, 'paid'));
    const upstream = await RawUpstream.start(async (request) => {
      await clock.advance(2000);
      return refusing(request);
    });
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE]), clock);
    await sendRequest(proxy.port, '/api/pay', { body: '{"code": 174379}' });
    const passwordAt = (time: string) => Buffer.from(`174379${PASSKEY}${time}`).toString('base64');
    const bodies = upstream.requests.map((request) => request.body.toString());
    expect(bodies).toHaveLength(2);
    const times = bodies.map((body) => (JSON.parse(body) as { time: string }).time);
    expect(times[1]).not.toBe(times[0]);
    expect(bodies).toEqual(times.map((time) => `{"code": 174379,"time":"${time}","password":"${passwordAt(time)}"}`));
  });

  it('has the time of the provider, as its token responses say it', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1, 12));
    const upstream = await RawUpstream.start(({ target }) =>
      target === '/login'
        ? json(200, { access_token: 'real-token' }, 'date: Thu, 01 Jan 2026 15:00:00 GMT')
        : reply(200),
    );
    const token = { request: { path: '/login' }, response: { access_token: 'access_token' } };
    const proxy = await startProxyTo(upstream, { ...signed([HMAC_RULE]), token }, clock);
    await sendRequest(proxy.port, '/api/pay');
    const [time] = values(upstream.requests[1]!, 'x-time');
    expect(new Date(Number(time)).toISOString()).toMatch(/^2026-01-01T15:00:00/);
  });

  it('keeps every other byte of a changed body, and gets its new length', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1, 12));
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE]), clock);
    const before = ' \r\n{"code" : "1" ,\t"amount":1.00,"note":"a\\u00e9\\/é ü","n":{"password":1e400}';
    const after = ' }\n';
    const password = Buffer.from(`1${PASSKEY}20260101120000`).toString('base64');
    const expected = `${before},"time":"20260101120000","password":"${password}"${after}`;
    await sendRequest(proxy.port, '/api/pay', { body: before + after });
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/pay HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
    const bytes = Buffer.from(before + after);
    client.send(Buffer.concat([chunk(bytes.subarray(0, 9)), chunk(bytes.subarray(9)), chunk('')]));
    expect((await client.nextResponse()).status).toBe(200);
    for (const request of upstream.requests) {
      expect(request.body.toString()).toBe(expected);
      expect(values(request, 'content-length', 'transfer-encoding')).toEqual([String(Buffer.byteLength(expected)), '']);
    }
    expect(upstream.requests).toHaveLength(2);
  });

  it('is left alone where the app sends all members itself', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE]));
    const body = '{ "password":"mine", "time":"then" }';
    await sendRequest(proxy.port, '/api/pay', { body });
    expect((await upstream.request()).body.toString()).toBe(body);
  });

  it('is unchanged where no rule applies to the call', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE, HMAC_RULE]));
    await sendRequest(proxy.port, '/api/balance', { body: 'no JSON', headers: { 'x-signature': 'mine' } });
    const request = await upstream.request();
    expect([request.body.toString(), ...values(request, 'x-signature', 'x-nonce')]).toEqual(['no JSON', 'mine', '']);
  });

  it('has no signature of the app beside its own, in no spelling', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([HMAC_RULE]));
    const lines = [
      'X-Signature: one',
      'x-signature: two',
      'X_Signature: three',
      'x_SIGNATURE: four',
      'X-Signature : five',
    ];
    for (const connection of ['close', 'close, x-signature', 'x_signature, close']) {
      const head = ['POST /api/pay HTTP/1.1', 'Host: localhost', `Connection: ${connection}`, ...lines.slice(0, 4)];
      const response = await sendRaw(proxy.port, `${head.join('\r\n')}\r\nContent-Length: 2\r\n\r\n{}`);
      expect(response.status).toBe(200);
    }
    expect(upstream.requests).toHaveLength(3);
    for (const request of upstream.requests) {
      expectSigned(request, `127.0.0.1:${upstream.port}`, upstream.tokens[0]!);
      expect(upstream.received.toString('latin1')).not.toMatch(/one|two|three|four/);
    }
  });

  it('has no digest of the body that the app sent, if the body was changed', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE]));
    const headers = { Digest: 'sha-256=a', 'Content-Digest': 'sha-256=:b:', 'content-md5': 'c', 'X-Kept': '1' };
    await sendRequest(proxy.port, '/api/pay', { headers, body: '{"code":1}' });
    await sendRequest(proxy.port, '/api/pay', { headers, body: '{"time":"1","password":"2"}' });
    const names = ['digest', 'content-digest', 'content-md5', 'x-kept'];
    expect(upstream.requests.map((request) => values(request, ...names))).toEqual([
      ['', '', '', '1'],
      ['sha-256=a', 'sha-256=:b:', 'c', '1'],
    ]);
  });

  it('has no header that replaces its method or path', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([HMAC_RULE]));
    const headers = { 'X-HTTP-Method-Override': 'DELETE', 'X-Method-Override': 'PUT', 'X-Original-URL': '/transfer' };
    await sendRequest(proxy.port, '/api/pay', { headers });
    const request = await upstream.request();
    expect(values(request, 'x-http-method-override', 'x-method-override', 'x-original-url')).toEqual(['', '', '']);
  });

  it('may be a WebSocket handshake', async () => {
    const rule = { ...RSA_RULE, calls: ['GET /feed'] };
    const { client, handshakes } = await startWebSockets(
      undefined,
      signed([rule], { credentials: { key: 'canary-api-key', private_key: PEM } }),
    );
    client.send(handshake('/ws/feed', 'Signature: mine', 'signature: mine'));
    expect((await client.nextResponse()).status).toBe(101);
    const { signature } = handshakes[0]!.headers;
    const verify = createVerify('sha256').update('GET /feed');
    expect(verify.verify(publicKey, String(signature), 'base64')).toBe(true);
  });

  it('may follow another on the same connection before that has its response', async () => {
    const upstream = await RawUpstream.start((request) => reply(200, request.target));
    const proxy = await startProxyTo(upstream, signed([RSA_RULE]));
    const client = await RawClient.open(proxy.port);
    const paths = ['pay/1', 'other', 'pay/2', 'pay/3'];
    client.send(paths.map((path) => `GET /api/${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(''));
    for (const path of paths) expect((await client.nextResponse()).body.toString()).toBe(`/${path}`);
    const payments = upstream.requests.filter(({ target }) => target !== '/other');
    expect(payments.map((request) => isRsaSigned(request, `GET ${request.target}`))).toEqual([true, true, true]);
  });

  it('is signed by each worker', async () => {
    const upstream = await RawUpstream.start(() => reply(200), { oneToken: true });
    const route = routeTo(upstream, signed([HMAC_RULE]));
    const file = configFile({
      listen: '127.0.0.1:0',
      admin: `127.0.0.1:${await freePort()}`,
      workers: 2,
      routes: { '/api/*': route },
    });
    const cli = new CliProcess(['serve', '-c', file]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    const bodies = Array.from({ length: 20 }, (_, i) => `{"amount":${i}}`);
    const responses = await Promise.all(bodies.map((body) => sendRequest(Number(port), '/api/pay', { body })));
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    for (const request of upstream.requests) expectSigned(request, `127.0.0.1:${upstream.port}`, upstream.tokens[0]!);
    expect(new Set(upstream.requests.map((request) => values(request, 'x-nonce')[0])).size).toBe(20);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });
});

describe('a request that cannot be signed', () => {
  it.each([
    ['no body', undefined, {}, 'body'],
    ['no JSON', 'code=1', {}, 'body'],
    ['no object', '[]', {}, 'body'],
    ['not UTF-8', Buffer.from('7b22636f6465223a22ff227d', 'hex'), {}, 'body'],
    ['a missing member', '{}', {}, 'code'],
    ['an object', '{"code":{"secret-value":1}}', {}, 'code'],
    ['null', '{"code":null}', {}, 'code'],
    ['a member that occurs twice', '{"code":"secret-value","c\\u006fde":"2"}', {}, 'code'],
    ['a Content-Encoding', '{"code":1}', { 'content-encoding': 'gzip' }, 'ontent-'],
  ])('is refused and not sent: %s', async (_, body, headers, named) => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE]));
    const response = await sendRequest(proxy.port, '/api/pay', { method: 'POST', body: body ?? '', headers });
    expectProblem(response, { status: 400, code: 'signature_impossible', outcome: 'not_sent' });
    expect(response.json()['detail']).toContain(named);
    expect(response.text + proxy.logText()).not.toContain('secret-value');
    expect(upstream.requests).toEqual([]);
  });

  it('is refused with 413 above replay_limit, without a 100 and before the body arrives', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([PASSWORD_RULE], { replay_limit: 64 }));
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/pay HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 65\r\n\r\n');
    const refused = await client.nextResponse();
    expectProblem(refused, { status: 413, code: 'body_too_large', outcome: 'not_sent' });
    expect(refused.json()['detail']).toMatch(/64 bytes.*replay_limit.*whole body/);
    const exact = `{"code":1${' '.repeat(54)}}`;
    expect((await sendRequest(proxy.port, '/api/pay', { body: exact })).status).toBe(200);
    // A rule that does not need the body does not hold it.
    expect((await sendRequest(proxy.port, '/api/other', { body: 'x'.repeat(1000) })).status).toBe(200);
    expect(upstream.requests).toHaveLength(2);
  });

  it('streams a longer body if no rule of the call needs it', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const proxy = await startProxyTo(upstream, signed([RSA_RULE], { replay_limit: 64 }));
    const body = 'x'.repeat(100_000);
    expect((await sendRequest(proxy.port, '/api/pay', { body })).status).toBe(200);
    const request = await upstream.request();
    expect([request.body.toString(), isRsaSigned(request, 'POST /pay')]).toEqual([body, true]);
  });

  it('says of a second attempt that the first one was refused', async () => {
    const upstream = await RawUpstream.start(() => {
      upstream.delayTokensMs = 300;
      return json(401, { error: 'dead' });
    });
    const proxy = await startProxyTo(upstream, signed([RSA_RULE], { timeout: '1s' }));
    const asking = sendRequest(proxy.port, '/api/pay', { body: '{}' });
    await upstream.request();
    const release = stallThreadPool();
    const response = await asking;
    release();
    expectProblem(response, { status: 503, code: 'overloaded', outcome: 'not_sent' });
    expect(response.json()['detail']).toMatch(/not signed within 1 s.*second attempt.*status 401/);
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('while a request is signed', () => {
  async function startStalled(settings: Settings = {}) {
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const routes = { '/api/*': routeTo(upstream, signed([RSA_RULE], settings)) };
    const admin = `127.0.0.1:${await freePort()}`;
    const proxy = await startProxy({ admin, routes });
    expect((await sendRequest(proxy.port, '/api/other')).status).toBe(200);
    return { upstream, proxy, admin, release: stallThreadPool() };
  }

  it('the timeout of the route gives 503, and nothing is sent', async () => {
    const { upstream, proxy } = await startStalled({ timeout: '300ms' });
    const response = await sendRequest(proxy.port, '/api/pay');
    expectProblem(response, { status: 503, code: 'overloaded', outcome: 'not_sent' });
    expect(response.header('retry-after')).toMatch(/^\d+$/);
    expect(upstream.requests).toHaveLength(1);
  });

  it('nothing is sent for a client that disconnects', async () => {
    const { upstream, proxy, release } = await startStalled();
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/pay HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}');
    await inFlight(proxy, 1);
    await leave(client, proxy);
    release();
    await inFlight(proxy, 0);
    expect((await sendRequest(proxy.port, '/api/pay')).status).toBe(200);
    expect(upstream.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
  });

  it('max_concurrency counts it until its signature is done, also if the client disconnected', async () => {
    const { upstream, proxy, release } = await startStalled({ max_concurrency: 2 });
    const client = await RawClient.open(proxy.port);
    client.send('GET /api/pay/1 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const second = sendRequest(proxy.port, '/api/pay/2');
    await inFlight(proxy, 2);
    await leave(client, proxy);
    const refused = await sendRequest(proxy.port, '/api/pay/3');
    expectProblem(refused, { status: 503, code: 'overloaded', outcome: 'not_sent' });
    release();
    expect((await second).status).toBe(200);
    await inFlight(proxy, 0);
    expect((await sendRequest(proxy.port, '/api/pay/4')).status).toBe(200);
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/other', '/pay/2', '/pay/4']);
  });

  it('a stop of the proxy waits for it', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const routes = { '/api/*': routeTo(upstream, signed([RSA_RULE])) };
    const proxy = await startProxy({ drain_timeout: '10s', routes });
    await sendRequest(proxy.port, '/api/other');
    const release = stallThreadPool();
    const asking = sendRequest(proxy.port, '/api/pay');
    await inFlight(proxy, 1);
    const drained = proxy.server.drain();
    release();
    expect([(await asking).text, await drained]).toEqual(['paid', true]);
    expect(isRsaSigned(upstream.requests[1]!, 'GET /pay')).toBe(true);
  });

  it('a new configuration applies from the next request on', async () => {
    const { upstream, proxy, admin, release } = await startStalled();
    const asking = sendRequest(proxy.port, '/api/pay');
    await inFlight(proxy, 1);
    const other = await RawUpstream.start(() => reply(200, 'other'));
    const written = { listen: '127.0.0.1:0', admin, routes: { '/api/*': routeTo(other) } };
    const readFile = () => JSON.stringify(written);
    proxy.server.apply(loadConfig('proxy.config.yaml', { readFile, env: {} }).config);
    const next = await sendRequest(proxy.port, '/api/pay');
    release();
    expect([next.text, (await asking).text]).toEqual(['other', 'paid']);
    expect(isRsaSigned(upstream.requests[1]!, 'GET /pay')).toBe(true);
    expect(values(other.requests[0]!, 'signature')).toEqual(['']);
  });
});

describe('a route with token: none', () => {
  const route = (upstream: RawUpstream, settings: Settings) => ({
    upstream: upstream.origin,
    credentials: { hmac_key: HMAC_KEY },
    token: 'none',
    ...settings,
  });

  it('sends no token and asks for none, and a 401 passes', async () => {
    const upstream = await RawUpstream.start(() => json(401, { error: 'signature' }, 'wakala-token: cached'));
    const proxy = await startProxy({ routes: { '/api/*': route(upstream, {}) } });
    const response = await sendRequest(proxy.port, '/api/x', { headers: { authorization: 'Bearer mine' } });
    expect([response.status, response.json()]).toEqual([401, { error: 'signature' }]);
    expect(response.header('wakala-token')).toBeUndefined();
    expect(values(upstream.requests[0]!, 'authorization')).toEqual(['']);
    expect([upstream.tokens, upstream.requests.length]).toEqual([[], 1]);
  });

  it('may set Authorization by a rule, which replaces that of the app', async () => {
    const upstream = await RawUpstream.start(() => reply(200));
    const sign = [
      {
        calls: ['* /*'],
        values: { signature: { hmac_sha256: '{method} {target} {body}', key: '{hmac_key}' } },
        headers: { Authorization: 'V2-HMAC-SHA256, Signature: {signature}' },
      },
    ];
    const proxy = await startProxy({ routes: { '/api/*': route(upstream, { sign }) } });
    const headers = { authorization: 'Bearer mine', 'author-ization': 'x', Author_ization: 'y' };
    await sendRequest(proxy.port, '/api/x?a=1', { headers, body: 'b' });
    const signature = createHmac('sha256', HMAC_KEY).update('POST /x?a=1 b').digest('base64');
    expect(values(upstream.requests[0]!, 'authorization', 'author-ization', 'author_ization')).toEqual([
      `V2-HMAC-SHA256, Signature: ${signature}`,
      '',
      '',
    ]);
  });
});

describe('token.header_value', () => {
  const hmac = (token: string) => createHmac('sha256', HMAC_KEY).update(token).digest('hex');

  it('is sent after the scheme instead of the token, on both attempts', async () => {
    const upstream = await RawUpstream.start(refusingFirstToken(() => reply(200)));
    const computed = { hmac_sha256: '{access_token}', key: '{hmac_key}', encoding: 'hex' };
    const route = routeTo(upstream, { credentials: { key: 'canary-api-key', hmac_key: HMAC_KEY } });
    const token = { ...(route['token'] as object), header_value: computed };
    const proxy = await startProxy({ routes: { '/api/*': { ...route, token } } });
    const response = await sendRequest(proxy.port, '/api/pay', { headers: { authorization: 'Bearer mine' } });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(upstream.requests.map((request) => values(request, 'authorization'))).toEqual(
      upstream.tokens.map((issued) => [`Bearer ${hmac(issued)}`]),
    );
  });
});
