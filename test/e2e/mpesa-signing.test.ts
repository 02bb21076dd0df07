import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { sampleBody } from '../../src/providers/provider.ts';
import { expectProblem, sendJson, sendRequest } from '../support/proxy-client.ts';
import { ShiftedClock, SteppedClock } from '../support/proxy-clock.ts';
import { routeToEmulator, startProxy, startProxyToEmulator } from '../support/proxy-server.ts';
import { json, RawUpstream, reply, type Script } from '../support/upstream-raw.ts';

const PUSH = '/mpesa/stkpush/v1/processrequest';
const QUERY = '/mpesa/stkpushquery/v1/query';
const B2C = '/mpesa/b2c/v3/paymentrequest';

/** What the app knows: short code, amount, phone number. */
const push = mpesa.samples.call.json!;

const command = {
  OriginatorConversationID: 'order-1',
  CommandID: 'BusinessPayment',
  Amount: 10,
  PartyA: '600000',
  PartyB: '254700000001',
  ReceiverParty: '600000',
  IdentifierType: '4',
  TransactionID: 'ABCDE12345',
  AccountReference: 'PRN-1',
  Remarks: 'test',
  QueueTimeOutURL: 'http://127.0.0.1:1/timeout',
  ResultURL: 'http://127.0.0.1:1/result',
};

const COMMANDS = [
  '/mpesa/b2c/v1/paymentrequest',
  B2C,
  '/mpesa/b2pochi/v1/paymentrequest',
  '/mpesa/b2b/v1/paymentrequest',
  '/mpesa/b2b/v1/remittax',
  '/mpesa/reversal/v1/request',
  '/mpesa/accountbalance/v1/query',
  '/mpesa/transactionstatus/v1/query',
];

let folder: string;
let privateKey: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'wakala-mpesa-'));
  privateKey = path.join(folder, 'private.pem');
  writeFileSync(privateKey, EMULATED_PRIVATE_KEY);
});
afterAll(() => rmSync(folder, { recursive: true }));

function openssl(args: readonly string[], input: string | Buffer): string {
  return execFileSync('openssl', args, { input }).toString();
}

function passwordFor(shortCode: string, timestamp: string): string {
  return openssl(['base64', '-A'], `${shortCode}canary-passkey${timestamp}`);
}

function decrypted(credential: string): string {
  const args = ['pkeyutl', '-decrypt', '-inkey', privateKey, '-pkeyopt', 'rsa_padding_mode:pkcs1'];
  return openssl(args, Buffer.from(credential, 'base64'));
}

/** `yyyyMMddHHmmss` in Nairobi, by the date command. */
function timestampAt(timeMs: number): string {
  const seconds = `@${Math.floor(timeMs / 1000)}`;
  return execFileSync('date', ['-d', seconds, '+%Y%m%d%H%M%S'], { env: { TZ: 'EAT-3' } })
    .toString()
    .trim();
}

describe('an app that knows only short code, amount and phone number', () => {
  it('pushes and queries', async () => {
    const clock = new ShiftedClock();
    const { emulator, proxy } = await startProxyToEmulator('mpesa', {}, clock);
    const pushed = await sendJson(proxy.port, `/mpesa${PUSH}`, push);
    expect([pushed.status, pushed.json()['ResponseCode'], pushed.header('x-emulated-reason')]).toEqual([
      200,
      '0',
      undefined,
    ]);
    clock.shiftMs += 1000;
    const query = { BusinessShortCode: '174379', CheckoutRequestID: pushed.json()['CheckoutRequestID'] };
    const queried = await sendJson(proxy.port, `/mpesa${QUERY}`, query);
    expect(queried.json()).toMatchObject({ ResultCode: '0' });
    expect(emulator.stats()).toMatchObject({ api_calls: 2, refused: 0 });
    expect(proxy.logText()).not.toContain('emulated-mpesa-passkey');
  });

  it.each(COMMANDS)('calls %s', async (target) => {
    const { proxy } = await startProxyToEmulator('mpesa');
    const response = await sendJson(proxy.port, `/mpesa${target}`, command);
    expect([response.status, response.json()['ResponseCode'], response.header('x-emulated-reason')]).toEqual([
      200,
      '0',
      undefined,
    ]);
  });

  it('gets a new password with a second attempt', async () => {
    const { emulator, proxy } = await startProxyToEmulator('mpesa');
    await sendJson(proxy.port, `/mpesa${PUSH}`, push);
    emulator.control({ refuse_next_calls: 1 });
    const response = await sendJson(proxy.port, `/mpesa${PUSH}`, push);
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
  });
});

describe('wrong values', () => {
  it('of the app are refused by M-Pesa', async () => {
    const { proxy } = await startProxyToEmulator('mpesa');
    const own = {
      ...push,
      Timestamp: '20260101120000',
      Password: openssl(['base64', '-A'], '174379wrong20260101120000'),
    };
    const response = await sendJson(proxy.port, `/mpesa${PUSH}`, own);
    expect([response.status, response.json()['errorMessage']]).toEqual([500, 'Wrong credentials']);
  });

  it.each([
    ['passkey', PUSH, push, 'Password'],
    ['initiator', B2C, command, 'InitiatorName'],
    ['initiator_password', B2C, command, 'SecurityCredential'],
  ] as const)('of the credential %s are refused by M-Pesa', async (name, target, body, member) => {
    const { emulator } = await startProxyToEmulator('mpesa');
    const route = routeToEmulator(emulator);
    const credentials = { ...(route['credentials'] as object), [name]: 'wrong' };
    const proxy = await startProxy({ routes: { '/mpesa/*': { ...route, credentials } } });
    const response = await sendJson(proxy.port, `/mpesa${target}`, body);
    expect(response.header('x-emulated-reason')).toMatch(new RegExp(`^${member} is not`));
  });
});

it('an app that sends its own password needs no passkey here', async () => {
  const { emulator } = await startProxyToEmulator('mpesa');
  const { consumer_key, consumer_secret } = routeToEmulator(emulator)['credentials'] as Record<string, string>;
  const route = routeToEmulator(emulator, { credentials: { consumer_key, consumer_secret } });
  const proxy = await startProxy({ routes: { '/mpesa/*': route } });
  expect((await sendJson(proxy.port, `/mpesa${PUSH}`, sampleBody({ samples: mpesa.samples }))).status).toBe(200);
  const without = await sendJson(proxy.port, `/mpesa${PUSH}`, push);
  expect([without.status, without.json()['errorMessage']]).toEqual([400, 'Bad Request - Invalid Password']);
});

describe('the body that M-Pesa gets', () => {
  const OK: Script = () => reply(200, '{}');

  async function start(script: Script, clock = new SteppedClock()) {
    const upstream = await RawUpstream.start(script);
    let tokens = 0;
    // Without a `Date`, so that the clock of the proxy is the provider's.
    const login = await RawUpstream.start(() => json(200, { access_token: `token-${++tokens}`, expires_in: '3599' }));
    const credentials = {
      consumer_key: 'k',
      consumer_secret: 's',
      passkey: 'canary-passkey',
      initiator: 'shop-api',
      initiator_password: 'canary "pässword"',
      certificate: EMULATED_PUBLIC_KEY,
    };
    const route = { provider: 'mpesa', upstream: upstream.origin, auth_server: login.origin, credentials };
    const { port, logText } = await startProxy({ routes: { '/mpesa/*': route } }, clock);
    const send = (target: string, body: string) =>
      sendRequest(port, `/mpesa${target}`, { headers: { 'content-type': 'application/json' }, body });
    const bodies = () => upstream.requests.map(({ body }) => body.toString());
    return { clock, upstream, send, bodies, logText };
  }

  it.each([
    ['174379', '{"BusinessShortCode": 174379, "Amount":1.00,"PartyA":"254700000001" }', ' }'],
    ['0174379', '{\n\t"BusinessShortCode" : "0174379"\n}', '\n}'],
    ['174379', '{"Amount":1e2,"n":{"Password":"other"},"BusinessShortCode":"174379"}', '}'],
  ])('is that of the app with Timestamp and Password at its end', async (shortCode, body, end) => {
    const { clock, send, bodies } = await start(OK);
    expect((await send(PUSH, body)).status).toBe(200);
    const timestamp = timestampAt(clock.now());
    const added = `,"Timestamp":"${timestamp}","Password":"${passwordFor(shortCode, timestamp)}"`;
    expect(bodies()).toEqual([body.slice(0, -end.length) + added + end]);
  });

  it.each([
    [PUSH, '{"Password":"b3du", "BusinessShortCode":"1","Timestamp" : "20200101000000"}'],
    [QUERY, '{"Password":"b3du","Timestamp":0,"BusinessShortCode":["x"]}'],
    [B2C, '{"SecurityCredential":"b3du","Amount": 1.0, "InitiatorName":"other"}'],
    ['/mpesa/reversal/v1/request', '{"SecurityCredential":"b3du","Initiator":"other" }'],
    ['/mpesa/c2b/v1/registerurl', '{"ShortCode":"600000"}'],
  ])('of %s stays byte for byte if the app sends all members itself', async (target, body) => {
    const { send, bodies } = await start(OK);
    expect((await send(target, body)).status).toBe(200);
    expect(bodies()).toEqual([body]);
  });

  it('has its own members where the app sends null and an empty string', async () => {
    const { clock, send, bodies } = await start(OK);
    await send(QUERY, '{"Password":"","Timestamp":null,"BusinessShortCode":"174379"}');
    const timestamp = timestampAt(clock.now());
    const password = passwordFor('174379', timestamp);
    expect(bodies()).toEqual([`{"Password":"${password}","Timestamp":"${timestamp}","BusinessShortCode":"174379"}`]);
  });

  it('has the other member replaced if the app sends only one', async () => {
    const { clock, send, bodies } = await start(OK);
    await send(PUSH, '{"Timestamp":"20200101000000","BusinessShortCode":"174379"}');
    await send(QUERY, '{"Password": "b3du" ,"BusinessShortCode":"174379"}');
    const timestamp = timestampAt(clock.now());
    const password = passwordFor('174379', timestamp);
    expect(bodies()).toEqual([
      `{"Timestamp":"${timestamp}","BusinessShortCode":"174379","Password":"${password}"}`,
      `{"Password": "${password}" ,"BusinessShortCode":"174379","Timestamp":"${timestamp}"}`,
    ]);
  });

  it.each(COMMANDS)('of %s has the initiator and its encrypted password', async (target) => {
    const { send, bodies, logText } = await start(OK);
    expect((await send(target, '{"Amount":1.00,"Initiator_":1}')).status).toBe(200);
    const name = /b2c|b2pochi/.test(target) ? 'InitiatorName' : 'Initiator';
    const pattern = new RegExp(
      `^\\{"Amount":1\\.00,"Initiator_":1,"${name}":"shop-api","SecurityCredential":"([\\w+/]{342}==)"\\}$`,
    );
    const [body = ''] = bodies();
    expect(body).toMatch(pattern);
    expect(decrypted(pattern.exec(body)?.[1] ?? '')).toBe('canary "pässword"');
    expect(logText()).not.toContain('canary');
  });

  it('has a new Timestamp in the second attempt', async () => {
    const clock = new SteppedClock();
    const dead = { requestId: '1', errorCode: '404.001.03', errorMessage: 'Invalid Access Token' };
    let calls = 0;
    const { send, bodies } = await start(() => {
      calls += 1;
      if (calls > 1) return reply(200, '{}');
      clock.shiftMs += 5000;
      return json(404, dead);
    }, clock);
    const before = timestampAt(clock.now());
    expect((await send(PUSH, '{"BusinessShortCode":"174379"}')).header('wakala-token')).toBe('replayed');
    const after = timestampAt(clock.now());
    expect(bodies()).toEqual(
      [before, after].map(
        (at) => `{"BusinessShortCode":"174379","Timestamp":"${at}","Password":"${passwordFor('174379', at)}"}`,
      ),
    );
  });

  it.each([
    ['no short code', '{"Amount":1}'],
    ['no object', '[]'],
    ['two short codes', '{"BusinessShortCode":"1","Business\\u0053hortCode":"2"}'],
  ])('is not sent with %s', async (_, body) => {
    const { upstream, send } = await start(OK);
    const response = await send(PUSH, body);
    expectProblem(response, { status: 400, code: 'signature_impossible', outcome: 'not_sent' });
    expect(response.text).not.toContain('canary');
    expect(upstream.requests).toEqual([]);
  });
});
