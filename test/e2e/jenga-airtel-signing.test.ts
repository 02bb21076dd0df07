import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { JENGA_CALLS, REMITTANCE, TRANSFER } from '../support/jenga-calls.ts';
import { expectProblem, type ProxyResponse, sendRequest } from '../support/proxy-client.ts';
import { startProxy, startProxyToEmulator } from '../support/proxy-server.ts';
import { json, RawUpstream, type UpstreamRequest } from '../support/upstream-raw.ts';

const JENGA_CLIENT = { api_key: 'key-1', merchant_code: '4469', consumer_secret: 'secret-1' };
const JENGA = { ...JENGA_CLIENT, private_key: EMULATED_PRIVATE_KEY };
const PIN = '2580';
const AIRTEL = {
  client_id: 'id-1',
  client_secret: 'secret-1',
  country: 'KE',
  currency: 'KES',
  pin: PIN,
  public_key: EMULATED_PUBLIC_KEY,
  message_signing: 'true',
};
const BALANCE = '/v3-apis/account-api/v3.0/accounts/balances/KE/1450160649886';

/** A call without any auth code. */
function call(port: number, name: string, target: string, body?: string): Promise<ProxyResponse> {
  const headers = { 'content-type': 'application/json' };
  return sendRequest(port, `/${name}${target}`, body === undefined ? {} : { body, headers });
}

/** A route to an upstream that records its requests. `sent`: the bytes of a call as they arrive there. */
async function startRecording(provider: 'jenga' | 'airtel', credentials: Record<string, string>, settings = {}) {
  const expiresIn = new Date(Date.now() + 900_000).toISOString();
  const issued = { accessToken: 'token-1', expiresIn, access_token: 'token-1', expires_in: '180' };
  const upstream = await RawUpstream.start(() => json(200, issued));
  const { port } = await startProxy({
    routes: { [`/${provider}/*`]: { provider, upstream: upstream.origin, credentials, ...settings } },
  });
  const sent = async (target: string, body?: string): Promise<UpstreamRequest> => {
    expect((await call(port, provider, target, body)).status).toBe(200);
    return upstream.requests.at(-1)!;
  };
  return { port, upstream, sent };
}

/** Runs the openssl command in a folder with these files. */
function openssl(args: readonly string[], files: Readonly<Record<string, string | Buffer>>): Buffer {
  const folder = mkdtempSync(path.join(tmpdir(), 'wakala-openssl-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(folder, name), content);
  return execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
}

function fromBase64(text: string | undefined): Buffer {
  expect(text).toMatch(/^[A-Za-z0-9+/]+={0,2}$/);
  return Buffer.from(text ?? '', 'base64');
}

function decrypted(encrypted: Buffer): string {
  const args = ['pkeyutl', '-decrypt', '-inkey', 'key.pem', '-in', 'data', '-pkeyopt', 'rsa_padding_mode:pkcs1'];
  return openssl(args, { 'key.pem': EMULATED_PRIVATE_KEY, data: encrypted }).toString();
}

describe('Jenga', () => {
  it.each(JENGA_CALLS)('%s is accepted without a Signature of the app', async (target, body) => {
    const { proxy } = await startProxyToEmulator('jenga');
    const response = await call(proxy.port, 'jenga', target, body);
    expect([response.status, response.json()['status']]).toEqual([200, true]);
  });

  it('signs so that openssl verifies the bytes that were sent', async () => {
    const { sent } = await startRecording('jenga', JENGA);
    for (const [target, body, text] of JENGA_CALLS) {
      const request = await sent(target, body);
      expect([request.target, request.body.toString()]).toEqual([target, body ?? '']);
      const [signature] = request.values('signature');
      const args = ['dgst', '-sha256', '-verify', 'key.pem', '-signature', 'signature', 'text'];
      const files = { 'key.pem': EMULATED_PUBLIC_KEY, signature: fromBase64(signature), text };
      expect(openssl(args, files).toString()).toBe('Verified OK\n');
    }
  });

  it('replaces the Signature of the app, however it is spelled', async () => {
    const { port, upstream } = await startRecording('jenga', JENGA);
    await sendRequest(port, `/jenga${BALANCE}`, { headers: { SIGNATURE: 'forged' } });
    const [signature, ...more] = upstream.requests.at(-1)!.values('signature');
    expect([more, signature]).toEqual([[], expect.stringMatching(/^kXmYV1zxwtp99l3iTzdQ7lgJ.*GFpSkg==$/)]);
  });

  it('leaves the Signature of the app alone without a private key, and on other calls', async () => {
    const { private_key: key, ...others } = JENGA;
    const off = await startRecording('jenga', others);
    const on = await startRecording('jenga', { ...others, private_key: key });
    const headers = { signature: 'of-the-app' };
    await sendRequest(off.port, `/jenga${BALANCE}`, { headers });
    await sendRequest(on.port, '/jenga/v3-apis/v3.0/validate/identity', { headers });
    for (const { upstream } of [off, on]) expect(upstream.requests.at(-1)!.values('signature')).toEqual(['of-the-app']);
  });

  it('is refused by Jenga with another key', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const wrong = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const { emulator, proxy } = await startProxyToEmulator('jenga');
    const route = { provider: 'jenga', upstream: emulator.apiUrl, auth_server: emulator.authUrl };
    const credentials = Object.fromEntries([...emulator.credentials].map(([name, secret]) => [name, secret.reveal()]));
    const { port } = await startProxy({
      routes: { '/jenga/*': { ...route, credentials: { ...credentials, private_key: wrong } } },
    });
    expect((await call(proxy.port, 'jenga', BALANCE)).status).toBe(200);
    const refused = await call(port, 'jenga', BALANCE);
    expect([refused.status, refused.json()]).toEqual([
      400,
      { status: false, code: 900100, message: 'Invalid Signature' },
    ]);
  });

  it.each([
    ['without the amount', TRANSFER.replace('"amount":1000.00,', ''), 'transfer.amount'],
    ['with two amounts', TRANSFER.replace('"amount"', '"amount":1,"\\u0061mount"'), 'transfer.amount'],
    ['that is not JSON', 'amount=1000', 'JSON'],
  ])('a transfer %s is not sent', async (_, body, name) => {
    const { port, upstream } = await startRecording('jenga', JENGA);
    const response = await call(port, 'jenga', `${REMITTANCE}/sendmobile`, body);
    expectProblem(response, { status: 400, code: 'signature_impossible', outcome: 'not_sent' });
    expect(response.text).toContain(name);
    expect(upstream.requests.filter(({ target }) => target.includes('remittance'))).toEqual([]);
  });

  it('signs a balance path that reads like a transfer, unless `allow` closes it', async () => {
    const oracle = '/v3-apis/account-api/v3.0/accounts/balances/1450160649886/1000.00KES692494625798';
    const open = await startRecording('jenga', JENGA);
    const [signature] = (await open.sent(`${REMITTANCE}/internalBankTransfer`, TRANSFER)).values('signature');
    expect((await open.sent(oracle)).values('signature')).toEqual([signature]);
    const allow = [`POST ${REMITTANCE}/internalBankTransfer`];
    const closed = await startRecording('jenga', JENGA, { allow });
    expectProblem(await call(closed.port, 'jenga', oracle), { status: 403, code: 'path_refused' });
    expect(closed.upstream.requests).toEqual([]);
    expect((await closed.sent(`${REMITTANCE}/internalBankTransfer`, TRANSFER)).values('signature')).toEqual([
      signature,
    ]);
  });
});

describe('`wakala check` in production', () => {
  const problemsOf = (provider: string, credentials: Record<string, string>, settings = {}) => {
    const text = JSON.stringify({
      routes: { '/x/*': { provider, environment: 'production', credentials, ...settings } },
    });
    return validateConfig('proxy.config.yaml', { readFile: () => text, env: {} }).problems.map(
      ({ message }) => message,
    );
  };
  const { message_signing: flag, ...withPin } = AIRTEL;
  const { pin, ...withFlag } = AIRTEL;

  it.each([
    ['a private key', 'jenga', JENGA],
    ['a PIN', 'airtel', withPin],
  ])('asks for `allow` beside %s', (_, provider, credentials) => {
    expect(problemsOf(provider, credentials)).toEqual([expect.stringContaining('`allow`') as string]);
    expect(problemsOf(provider, credentials, { allow: ['POST /standard/v2/disbursements/'] })).toEqual([]);
  });

  it('asks for nothing without them', () => {
    expect(problemsOf('jenga', JENGA_CLIENT)).toEqual([]);
    expect(problemsOf('airtel', withFlag)).toEqual([]);
  });

  it.each([
    ['a PIN', { pin, public_key: '' }],
    ['message signing', { message_signing: flag, public_key: '' }],
  ])('says that %s needs the public key', (_, credentials) => {
    const { client_id, client_secret, country, currency } = AIRTEL;
    const all = { client_id, client_secret, country, currency, ...credentials };
    expect(problemsOf('airtel', all, { allow: ['POST /x'] })).toEqual([
      expect.stringContaining('`public_key` is missing') as string,
    ]);
  });
});

describe('Airtel Money', () => {
  const PAYOUT =
    '{"payee":{"msisdn":"730000001"}, "reference":"INV-1001","transaction":{"amount":1000.00,"id":"order-1"}}';

  it.each([
    ['/standard/v1/disbursements/', PAYOUT, 'TS'],
    ['/standard/v2/disbursements/', PAYOUT, 'TS'],
    ['/standard/v3/disbursements', PAYOUT, 'TS'],
    ['/standard/v2/cashin/', PAYOUT, 'TS'],
    ['/merchant/v1/payments/', '{"transaction":{"id":"order-1"}}', 'SUCCESS'],
    ['/merchant/v2/payments/', '{"transaction":{"id":"order-1"}}', 'SUCCESS'],
    ['/standard/v2/payments/refund', '{"transaction":{"airtel_money_id":"CI1"}}', 'SUCCESS'],
  ])('%s is accepted without a PIN or signature of the app', async (target, body, status) => {
    const { proxy } = await startProxyToEmulator('airtel');
    const response = await call(proxy.port, 'airtel', target, body);
    expect(response.json()).toMatchObject({ data: { transaction: { status } }, status: { success: true } });
  });

  it('sends a PIN and signs the body with it, as openssl decrypts them', async () => {
    const { sent } = await startRecording('airtel', AIRTEL);
    const { body, values } = await sent('/standard/v2/disbursements/', PAYOUT);
    const text = body.toString();
    const added = /^(.*),"pin":"([^"]+)"\}$/.exec(text);
    expect(`${added?.[1]}}`).toBe(PAYOUT);
    expect(decrypted(fromBase64(added?.[2]))).toBe(PIN);
    const keyAndIv = decrypted(fromBase64(values('x-key')[0]));
    expect(keyAndIv).toMatch(/^[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{22}==$/);
    const [key = '', iv = ''] = keyAndIv.split(':').map((part) => Buffer.from(part, 'base64').toString('hex'));
    const args = ['enc', '-d', '-aes-256-cbc', '-K', key, '-iv', iv, '-in', 'data'];
    expect(openssl(args, { data: fromBase64(values('x-signature')[0]) }).toString()).toBe(text);
  });

  it('uses another AES key for each call', async () => {
    const { sent } = await startRecording('airtel', AIRTEL);
    const keys = [await sent('/merchant/v2/payments/', '{}'), await sent('/merchant/v2/payments/', '{}')].map(
      ({ values }) => decrypted(fromBase64(values('x-key')[0])),
    );
    expect(keys[0]).not.toBe(keys[1]);
  });

  it('leaves the PIN of the app alone', async () => {
    const { sent } = await startRecording('airtel', AIRTEL);
    const own = PAYOUT.replace('{', '{"pin":"of-the-app",');
    expect((await sent('/standard/v2/disbursements/', own)).body.toString()).toBe(own);
  });

  it('signs nothing without `message_signing`, and keeps what the app sends', async () => {
    const { port, upstream } = await startRecording('airtel', { ...AIRTEL, message_signing: 'false' });
    const headers = { 'x-signature': 'of-the-app', 'x-key': 'of-the-app' };
    await sendRequest(port, '/airtel/merchant/v2/payments/', { body: '{}', headers });
    const { values } = upstream.requests.at(-1)!;
    expect([values('x-signature'), values('x-key')]).toEqual([['of-the-app'], ['of-the-app']]);
  });

  it('is refused with another PIN and with another key', async () => {
    const { emulator } = await startProxyToEmulator('airtel');
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const bare = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
    const known = Object.fromEntries([...emulator.credentials].map(([name, secret]) => [name, secret.reveal()]));
    const messages = [];
    for (const wrong of [{ pin: '0000' }, { public_key: bare, message_signing: 'false' }, { public_key: bare }]) {
      const credentials = { ...known, ...wrong };
      const route = { provider: 'airtel', upstream: emulator.apiUrl, auth_server: emulator.authUrl, credentials };
      const { port } = await startProxy({ routes: { '/airtel/*': route } });
      const response = await call(port, 'airtel', '/standard/v2/disbursements/', PAYOUT);
      messages.push((response.json()['status'] as { message: string }).message);
    }
    expect(messages).toEqual(['Incorrect Pin', 'Incorrect Encrypted Pin', 'Forbidden']);
  });
});
