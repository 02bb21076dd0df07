import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { snapBi } from '../../src/providers/snap-bi.ts';
import { vodacomMpesa } from '../../src/providers/vodacom-mpesa.ts';
import { expectProblem, sendJson, sendRequest } from '../support/proxy-client.ts';
import { SteppedClock } from '../support/proxy-clock.ts';
import { routeToEmulator, type Settings, startProxy, startProxyToEmulator } from '../support/proxy-server.ts';
import { json, RawUpstream, reply, type Script, type UpstreamRequest } from '../support/upstream-raw.ts';

let folder: string;
const inFolder = (name: string) => path.join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wakala-signing-'));
  writeFileSync(inFolder('private.pem'), EMULATED_PRIVATE_KEY);
  writeFileSync(inFolder('public.pem'), EMULATED_PUBLIC_KEY);
});
afterAll(() => rmSync(folder, { recursive: true }));

function openssl(args: readonly string[], input: string | Buffer): string {
  return execFileSync('openssl', args, { input, stdio: ['pipe', 'pipe', 'ignore'] }).toString();
}

/** `2026-01-01T19:00:00+07:00`, by the date command. */
function jakartaTimeAt(timeMs: number): string {
  const seconds = `@${Math.floor(timeMs / 1000)}`;
  return execFileSync('date', ['-d', seconds, '+%Y-%m-%dT%H:%M:%S+07:00'], { env: { TZ: 'WIB-7' } })
    .toString()
    .trim();
}

/** A route of this provider to raw upstreams, one for tokens. They send no `Date`: their clock is that of the proxy. */
async function start(provider: string, settings: Settings, login: Script, api: Script, basePath = '') {
  const [auth, upstream] = [await RawUpstream.start(login), await RawUpstream.start(api)];
  const clock = new SteppedClock();
  const route = { provider, upstream: upstream.origin + basePath, auth_server: auth.origin, ...settings };
  const proxy = await startProxy({ routes: { '/p/*': route } }, clock);
  return { auth, upstream, clock, port: proxy.port, logText: () => proxy.logText() };
}

const OK: Script = () => reply(200, '{}');

/** The first response, then 200. */
function once(first: string | Buffer, before: () => void = () => undefined): Script {
  let calls = 0;
  return () => {
    calls += 1;
    if (calls > 1) return reply(200, '{}');
    before();
    return first;
  };
}

describe('Vodacom M-Pesa', () => {
  const C2B = vodacomMpesa.samples.call.path;
  const credentials = { api_key: 'canary-api-key', public_key: EMULATED_PUBLIC_KEY, market: 'vodacomTZN' };

  function startVodacom(api: Script) {
    let sessions = 0;
    const login: Script = () =>
      json(200, { output_ResponseCode: 'INS-0', output_SessionID: `canary-session-${++sessions}` });
    return start('vodacom-mpesa', { credentials }, login, api);
  }

  /** The decrypted value of the `Authorization` header, of which there must be one. */
  function sealed(request: UpstreamRequest | undefined): string {
    const [value = '', ...more] = request?.values('authorization') ?? [];
    expect([value.startsWith('Bearer '), more]).toEqual([true, []]);
    const args = ['pkeyutl', '-decrypt', '-inkey', inFolder('private.pem'), '-pkeyopt', 'rsa_padding_mode:pkcs1'];
    return openssl(args, Buffer.from(value.slice('Bearer '.length), 'base64'));
  }

  it('gets the encrypted API key, then the encrypted session, encrypted anew for each call', async () => {
    const { auth, upstream, port, logText } = await startVodacom(OK);
    const body = '{"input_Amount": "1000" }';
    for (let calls = 0; calls < 2; calls++) {
      const headers = {
        authorization: 'Bearer own',
        'content-type': 'application/json',
      };
      expect((await sendRequest(port, `/p${C2B}`, { headers, body })).status).toBe(200);
    }
    expect(auth.requests.map(({ method, target }) => `${method} ${target}`)).toEqual([
      'GET /ipg/v2/vodacomTZN/getSession/',
    ]);
    expect([sealed(auth.requests[0]), auth.requests[0]?.values('origin')]).toEqual(['canary-api-key', ['*']]);
    expect(upstream.requests.map(sealed)).toEqual(['canary-session-1', 'canary-session-1']);
    expect(upstream.requests.map((request) => request.values('origin'))).toEqual([['*'], ['*']]);
    expect(new Set(upstream.requests.map((request) => request.values('authorization')[0])).size).toBe(2);
    expect(upstream.requests.map((request) => request.body.toString())).toEqual([body, body]);
    for (const secret of ['canary', ...upstream.requests.flatMap((request) => request.values('authorization'))]) {
      expect(logText()).not.toContain(secret);
    }
  });

  it('gets the new session in the second attempt', async () => {
    const { upstream, port } = await startVodacom(once(json(401, { output_ResponseCode: 'INS-2' })));
    const response = await sendJson(port, `/p${C2B}`, { input_Amount: '1000' });
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(upstream.requests.map(sealed)).toEqual(['canary-session-1', 'canary-session-2']);
  });

  it('gets a payment that failed once, although its status is 401', async () => {
    const failed = { output_ResponseCode: 'INS-6', output_ResponseDesc: 'Transaction Failed' };
    const { auth, upstream, port } = await startVodacom(() => json(401, failed));
    const response = await sendJson(port, `/p${C2B}`, { input_Amount: '1000' });
    expect([response.status, response.json()]).toEqual([401, failed]);
    expect([auth.requests.length, upstream.requests.length]).toEqual([1, 1]);
  });

  it('accepts the public key as the portal shows it, and refuses another one', async () => {
    const { emulator } = await startProxyToEmulator('vodacom-mpesa');
    const bare = EMULATED_PUBLIC_KEY.replace(/-----[^-]+-----|\n/g, '');
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
    const statuses = [bare, other.toString()].map(async (key) => {
      const route = routeToEmulator(emulator);
      const changed = { ...(route['credentials'] as object), public_key: key };
      const proxy = await startProxy({ routes: { '/p/*': { ...route, credentials: changed } } });
      return sendJson(proxy.port, `/p${C2B}`, vodacomMpesa.samples.call.json!);
    });
    const [accepted, refused] = await Promise.all(statuses);
    expect(accepted?.status).toBe(201);
    expectProblem(refused!, { status: 502, code: 'token_denied', outcome: 'not_sent' });
  });
});

describe('SNAP', () => {
  const BALANCE = snapBi.samples.call.path;
  const BODY =
    '{\n  "partnerReferenceNo": "2020102900000000000001",\n  "amount": {"value": "10000.00"},\n  "note": "a b\\"  ü"\n}';
  const MINIFIED = '{"partnerReferenceNo":"2020102900000000000001","amount":{"value":"10000.00"},"note":"a b\\"  ü"}';
  const credentials = {
    client_id: 'shop-1',
    client_secret: 'canary-secret',
    private_key: EMULATED_PRIVATE_KEY,
    partner_id: 'partner-1',
    channel_id: '95051',
  };
  const headers = { 'content-type': 'application/json', 'x-external-id': '100000001' };

  function startSnap(api: Script, settings: Settings = {}, basePath = '/openapi') {
    let tokens = 0;
    const login: Script = () => json(200, { accessToken: `canary-token-${++tokens}`, expiresIn: '900' });
    return start('snap-bi', { credentials, ...settings }, login, api, basePath);
  }

  /** The signature of a call, by openssl. */
  function signatureOf(method: string, target: string, token: string, minified: string, timestamp: string): string {
    const [digest] = openssl(['dgst', '-sha256', '-r'], minified).split(' ');
    const text = `${method}:${target}:${token}:${digest ?? ''}:${timestamp}`;
    const bytes = execFileSync('openssl', ['dgst', '-sha512', '-hmac', 'canary-secret', '-binary'], { input: text });
    return bytes.toString('base64');
  }

  const signed = (request: UpstreamRequest) =>
    ['x-timestamp', 'x-signature', 'x-external-id', 'x-partner-id', 'channel-id'].flatMap((name) =>
      request.values(name),
    );

  it('gets a signed token request', async () => {
    const { auth, port, clock } = await startSnap(OK);
    await sendRequest(port, `/p${BALANCE}`, { headers, body: BODY });
    const [request] = auth.requests;
    const timestamp = jakartaTimeAt(clock.now());
    expect([request?.method, request?.target, request?.body.toString()]).toEqual([
      'POST',
      '/v1.0/access-token/b2b',
      '{"grantType":"client_credentials"}',
    ]);
    expect(['x-client-key', 'x-timestamp', 'content-type'].flatMap((name) => request?.values(name) ?? [])).toEqual([
      'shop-1',
      timestamp,
      'application/json',
    ]);
    writeFileSync(inFolder('signature'), Buffer.from(request?.values('x-signature')[0] ?? '', 'base64'));
    const args = ['dgst', '-sha256', '-verify', inFolder('public.pem'), '-signature', inFolder('signature')];
    expect(openssl(args, `shop-1|${timestamp}`)).toBe('Verified OK\n');
  });

  it('gets each call signed over the minified body, and the body as the app sent it', async () => {
    const { upstream, port, clock, logText } = await startSnap(OK);
    const own = { ...headers, 'x-timestamp': '2020-01-01T00:00:00+07:00', 'X-Signature': 'own' };
    expect((await sendRequest(port, `/p${BALANCE}`, { headers: own, body: BODY })).status).toBe(200);
    const timestamp = jakartaTimeAt(clock.now());
    const signature = signatureOf('POST', `/openapi${BALANCE}`, 'canary-token-1', MINIFIED, timestamp);
    expect(upstream.requests.map(signed)).toEqual([[timestamp, signature, '100000001', 'partner-1', '95051']]);
    expect(upstream.requests[0]?.values('authorization')).toEqual(['Bearer canary-token-1']);
    expect(upstream.requests[0]?.body.toString()).toBe(BODY);
    expect(logText()).not.toContain(signature);
    expect(logText()).not.toContain('canary');
  });

  it.each(['Invalid Token (B2B)', 'Invalid token (B2B)'])(
    'gets new token, time and signature after %s, and the same X-EXTERNAL-ID',
    async (responseMessage) => {
      const dead = json(401, { responseCode: '4011101', responseMessage });
      const started = await startSnap(once(dead, () => (started.clock.shiftMs += 2000)));
      const { upstream, port, clock } = started;
      const times = [clock.now(), clock.now() + 2000].map(jakartaTimeAt);
      const own = { ...headers, 'channel-id': '95231', 'x-partner-id': '12345' };
      const response = await sendRequest(port, `/p${BALANCE}`, { headers: own, body: BODY });
      expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
      expect(upstream.requests.map(signed)).toEqual(
        times.map((timestamp, index) => [
          timestamp,
          signatureOf('POST', `/openapi${BALANCE}`, `canary-token-${index + 1}`, MINIFIED, timestamp),
          '100000001',
          '12345',
          '95231',
        ]),
      );
    },
  );

  it('gets a call with a wrong signature only once, although its status is 401', async () => {
    const wrong = { responseCode: '4011100', responseMessage: 'Unauthorized. [Signature]' };
    const { auth, upstream, port } = await startSnap(() => json(401, wrong));
    const response = await sendRequest(port, `/p${BALANCE}`, { headers, body: BODY });
    expect([response.status, response.json()]).toEqual([401, wrong]);
    expect([auth.requests.length, upstream.requests.length]).toEqual([1, 1]);
  });

  it('gets the query signed as it is sent, and an empty body as an empty text', async () => {
    const { upstream, port, clock } = await startSnap(OK, {}, '');
    await sendRequest(port, '/p/v1.0/x?a=1&b=%20', { headers: { 'x-external-id': '2' } });
    const timestamp = jakartaTimeAt(clock.now());
    const signature = signatureOf('GET', '/v1.0/x?a=1&b=%20', 'canary-token-1', '', timestamp);
    expect(upstream.requests[0]?.values('x-signature')).toEqual([signature]);
  });

  it('gets the token request at the path of the bank', async () => {
    const token = { request: { path: '/authorization/v1/access-token/b2b' } };
    const { auth, port } = await startSnap(OK, { token });
    expect((await sendRequest(port, `/p${BALANCE}`, { headers, body: BODY })).status).toBe(200);
    expect(auth.requests.map(({ target }) => target)).toEqual(['/authorization/v1/access-token/b2b']);
    expect(auth.requests[0]?.values('x-signature')).toHaveLength(1);
  });

  it('accepts calls of an app without auth code', async () => {
    const { emulator, proxy } = await startProxyToEmulator('snap-bi');
    const call = () =>
      sendJson(proxy.port, `/snap-bi${BALANCE}`, snapBi.samples.call.json!, snapBi.samples.call.headers);
    expect((await call()).json()).toMatchObject({ responseCode: '2001100', responseMessage: 'Successful' });
    emulator.control({ expire_tokens: true });
    const again = await call();
    expect([again.status, again.header('wakala-token')]).toEqual([200, 'replayed']);
    const without = await sendJson(proxy.port, `/snap-bi${BALANCE}`, snapBi.samples.call.json!);
    expect(without.json()).toEqual({
      responseCode: '4001102',
      responseMessage: 'Invalid Mandatory Field {X-EXTERNAL-ID}',
    });
  });

  it('refuses a wrong client secret in calls, and another private key in token requests', async () => {
    const { emulator } = await startProxyToEmulator('snap-bi');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const other = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const send = async (changes: object) => {
      const route = routeToEmulator(emulator);
      const changed = { ...(route['credentials'] as object), ...changes };
      const proxy = await startProxy({ routes: { '/p/*': { ...route, credentials: changed } } });
      return sendJson(proxy.port, `/p${BALANCE}`, snapBi.samples.call.json!, snapBi.samples.call.headers);
    };
    const response = await send({ client_secret: 'wrong' });
    expect([response.status, response.json()['responseCode'], response.header('wakala-token')]).toEqual([
      401,
      '4011100',
      'fetched',
    ]);
    expectProblem(await send({ private_key: other }), { status: 502, code: 'token_denied', outcome: 'not_sent' });
  });
});
