import { createHash, createHmac, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EMULATED_PRIVATE_KEY } from '../../src/emulators/emulated-keys.ts';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { snapBi } from '../../src/providers/snap-bi.ts';
import { emulate, type Reply, send } from './support.ts';

const CLIENT = 'emulated-snap-bi-client-id';
const BALANCE = '/v1.0/balance-inquiry';
const TRANSFER = {
  partnerReferenceNo: '1',
  amount: { value: '10000.00', currency: 'IDR' },
  beneficiaryAccountNo: '2',
  sourceAccountNo: '3',
  transactionDate: '2026-01-01T19:00:00+07:00',
};

const timestampAt = (timeMs: number) => `${new Date(timeMs + 7 * 3_600_000).toISOString().slice(0, 19)}+07:00`;

type Changes = Readonly<Record<string, string | undefined>>;

function headersOf(values: Changes): Headers {
  const given = Object.entries(values).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  );
  return new Headers(given);
}

function requestToken(emulator: Emulator, nowMs: number, changes: Changes = {}): Promise<Reply> {
  const timestamp = timestampAt(nowMs);
  const headers = headersOf({
    'content-type': 'application/json',
    'x-client-key': CLIENT,
    'x-timestamp': timestamp,
    'x-signature': sign('sha256', Buffer.from(`${CLIENT}|${timestamp}`), EMULATED_PRIVATE_KEY).toString('base64'),
    ...changes,
  });
  const body = '{"grantType":"client_credentials"}';
  return send(`${emulator.apiUrl}/v1.0/access-token/b2b`, { method: 'POST', headers, body });
}

async function start() {
  const { emulator, clock } = await emulate(snapBi);
  const token = String((await requestToken(emulator, clock.now())).json['accessToken']);
  const call = (path: string, json: object, changes: Changes = {}, timeMs = clock.now()) => {
    const digest = createHash('sha256').update(JSON.stringify(json)).digest('hex');
    const timestamp = timestampAt(timeMs);
    const text = `POST:${path}:${token}:${digest}:${timestamp}`;
    const headers = headersOf({
      authorization: `Bearer ${token}`,
      'x-timestamp': timestamp,
      'x-signature': createHmac('sha512', 'emulated-snap-bi-client-secret').update(text).digest('base64'),
      'x-partner-id': 'emulated-snap-bi-partner-id',
      'x-external-id': '1',
      'channel-id': '95051',
      ...changes,
    });
    // Not minified: only the digest is.
    return send(emulator.apiUrl + path, { method: 'POST', headers, body: JSON.stringify(json, null, 2) });
  };
  return { clock, call };
}

describe('the token endpoint of SNAP', () => {
  it.each([
    ['without X-TIMESTAMP', { 'x-timestamp': undefined }, 400, '4007302', 'Invalid mandatory field [X-TIMESTAMP]'],
    ['without X-SIGNATURE', { 'x-signature': undefined }, 400, '4007302', 'Invalid mandatory field [X-SIGNATURE]'],
    ['with a wrong client', { 'x-client-key': 'other' }, 401, '4017300', 'Unauthorized. [Unknown client]'],
    ['with a wrong signature', { 'x-signature': 'b3du' }, 401, '4017300', 'Unauthorized. [Signature]'],
    ['with the time of another', { 'x-timestamp': timestampAt(0) }, 401, '4017300', 'Unauthorized. [Signature]'],
  ])('refuses a request %s', async (_, changes, status, responseCode, responseMessage) => {
    const { emulator, clock } = await emulate(snapBi);
    const response = await requestToken(emulator, clock.now(), changes);
    expect([response.status, response.json]).toEqual([status, { responseCode, responseMessage }]);
    expect(emulator.stats()).toMatchObject({ exchanges: 0, denied: 1 });
  });

  it.each([
    [5, 200],
    [-5, 200],
    [6, 401],
    [-6, 401],
  ])('accepts times up to five minutes off: %d minutes get %d', async (minutes, status) => {
    const { emulator, clock } = await emulate(snapBi);
    const timeMs = Math.floor(clock.now() / 1000) * 1000 + minutes * 60_000;
    // The clock of this test stands on a whole second.
    expect((await requestToken(emulator, timeMs)).status).toBe(status);
  });
});

describe('the API of SNAP', () => {
  it.each([
    [BALANCE, { accountNo: '2' }, '2001100'],
    ['/v1.0/account-inquiry-internal', { beneficiaryAccountNo: '2' }, '2001500'],
    ['/v1.0/transfer-intrabank', TRANSFER, '2001700'],
  ])('accepts %s', async (path, json, responseCode) => {
    const { call } = await start();
    const response = await call(path, json);
    expect([response.status, response.json['responseCode']]).toEqual([200, responseCode]);
    expect(response.json).toMatchObject(json);
  });

  it.each([
    [{ 'x-external-id': undefined }, 400, '4001102', 'Invalid Mandatory Field {X-EXTERNAL-ID}'],
    [{ 'channel-id': undefined }, 400, '4001102', 'Invalid Mandatory Field {CHANNEL-ID}'],
    [{ 'x-signature': undefined }, 400, '4001102', 'Invalid Mandatory Field {X-SIGNATURE}'],
    [{ 'x-external-id': '1'.repeat(37) }, 400, '4001101', 'Invalid Field Format {X-EXTERNAL-ID}'],
    [{ 'x-partner-id': 'other' }, 401, '4011100', 'Unauthorized. [Unknown client]'],
    [{ 'x-signature': 'b3du' }, 401, '4011100', 'Unauthorized. [Signature]'],
    [{ 'x-timestamp': timestampAt(0) }, 401, '4011100', 'Unauthorized. [Signature]'],
    [{ authorization: 'Bearer other' }, 401, '4011101', 'Invalid Token (B2B)'],
  ])('refuses a call with %j', async (changes, status, responseCode, responseMessage) => {
    const { call } = await start();
    const response = await call(BALANCE, { accountNo: '2' }, changes);
    expect([response.status, response.json]).toEqual([status, { responseCode, responseMessage }]);
    expect(response.headers.get('x-emulated-reason')).not.toBeNull();
  });

  it('refuses an old time that is signed', async () => {
    const { clock, call } = await start();
    const response = await call(BALANCE, { accountNo: '2' }, {}, clock.now() - 6 * 60_000);
    expect([response.status, response.headers.get('x-emulated-reason')]).toEqual([
      401,
      'X-TIMESTAMP is more than five minutes off',
    ]);
  });

  it('refuses a body without a mandatory field', async () => {
    const { call } = await start();
    expect((await call(BALANCE, {})).json).toEqual({
      responseCode: '4001102',
      responseMessage: 'Invalid Mandatory Field {accountNo}',
    });
  });

  it('names the service of the call in its codes', async () => {
    const { call } = await start();
    const response = await call('/v1.0/transfer-intrabank', TRANSFER, { authorization: 'Bearer other' });
    expect(response.json['responseCode']).toBe('4011701');
  });
});
