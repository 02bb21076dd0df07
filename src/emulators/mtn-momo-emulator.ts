import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import { emulatedCredentials } from './emulated-provider.ts';
import {
  type Answer,
  type ApiContext,
  digits,
  type EmulatorApp,
  type EmulatorContext,
  type EmulatorEnv,
  jsonBody,
  type ProviderEmulator,
  send,
} from './provider-emulator.ts';

const MAX_PAYMENTS = 1000;
const KEY_HEADER = 'ocp-apim-subscription-key';

/** Where money moves: each is a path, and who is at the other end. */
const OPERATIONS = [
  { path: '/collection/v1_0/requesttopay', party: 'payer' },
  { path: '/collection/v1_0/requesttowithdraw', party: 'payer' },
  { path: '/disbursement/v1_0/transfer', party: 'payee' },
  { path: '/disbursement/v1_0/deposit', party: 'payee' },
  { path: '/remittance/v1_0/transfer', party: 'payee' },
] as const;
type Operation = (typeof OPERATIONS)[number];

/** Numbers of the real sandbox with an end of their own; any other succeeds. */
const ENDS: ReadonlyMap<string, JsonObject> = new Map([
  ['46733123450', { status: 'FAILED', reason: 'INTERNAL_PROCESSING_ERROR' }],
  ['46733123451', { status: 'FAILED', reason: 'APPROVAL_REJECTED' }],
  ['46733123452', { status: 'FAILED', reason: 'EXPIRED' }],
  ['46733123454', { status: 'PENDING' }],
]);

interface Payment {
  readonly body: JsonObject;
  readonly partyId: string;
  readonly transactionId: string;
  readonly createdAtMs: number;
}

/** MTN MoMo: payments are accepted with 202 and an empty body, and asked for by the reference that the client made. */
export const mtnMomo: ProviderEmulator = {
  does:
    'has `requesttopay`, `requesttowithdraw`, `transfer` and `deposit` of the three products (202, then the status by ' +
    '`X-Reference-Id`), the balance and the check of a number. A payment is pending for half a second; the test ' +
    'numbers 46733123450 to 46733123454 fail as in the real sandbox, where the only currency is EUR. A callback goes ' +
    'to `X-Callback-Url`. Calls without the right subscription key get 401.',
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const key = emulatedCredentials(context.provider).get('subscription_key')?.reveal();
    app.use(async (c, next) => (c.req.header(KEY_HEADER) === key ? next() : send(c, WRONG_KEY)));
    for (const operation of OPERATIONS) addOperation(app, context, operation);
    for (const product of ['collection', 'disbursement', 'remittance']) {
      app.get(`/${product}/v1_0/account/balance`, (c) => c.json({ availableBalance: '1000', currency: 'EUR' }));
      app.get(`/${product}/v1_0/accountholder/:type/:id/active`, (c) => c.json({ result: true }));
    }
    app.all('*', (c) => c.json({ statusCode: 404, message: 'Resource not found' }, 404));
    return app;
  },
};

const WRONG_KEY: Answer = {
  status: 401,
  body: { statusCode: 401, message: 'Access denied due to invalid subscription key.' },
};

function addOperation(app: EmulatorApp, context: ApiContext, operation: Operation): void {
  const payments = new LRUCache<string, Payment>({ max: MAX_PAYMENTS });
  app.post(operation.path, async (c) => {
    const id = c.req.header('x-reference-id') ?? '';
    const body = await jsonBody(c);
    const problem = problemOf(c, body, id, operation) ?? (payments.has(id) ? DUPLICATE : undefined);
    if (body === undefined || problem !== undefined) return send(c, problem ?? failed(400, 'BAD_REQUEST', 'no JSON'));
    const payment = {
      body,
      partyId: partyOf(body, operation),
      transactionId: digits(context.random, 10),
      createdAtMs: context.clock.now(),
    };
    payments.set(id, payment);
    const callback = c.req.header('x-callback-url');
    if (callback !== undefined) context.callbacks.send(callback, () => shown(payment, context));
    return c.body(null, 202);
  });
  app.get(`${operation.path}/:id`, (c) => {
    const payment = payments.peek(c.req.param('id') ?? '');
    if (payment === undefined) return send(c, failed(404, 'RESOURCE_NOT_FOUND', 'Requested resource was not found.'));
    return c.json(shown(payment, context));
  });
}

const DUPLICATE = failed(409, 'RESOURCE_ALREADY_EXIST', 'Duplicated reference id. Creation of resource failed.');

function problemOf(
  c: EmulatorContext,
  body: JsonObject | undefined,
  id: string,
  operation: Operation,
): Answer | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(id)) {
    return failed(400, 'BAD_REQUEST', 'X-Reference-Id must be a UUID of version 4');
  }
  if (c.req.header('x-target-environment') === undefined) {
    return failed(400, 'BAD_REQUEST', 'X-Target-Environment is missing');
  }
  if (body === undefined || !(Number(body['amount']) > 0) || partyOf(body, operation) === '') {
    return failed(400, 'BAD_REQUEST', `amount, currency and ${operation.party} are needed`);
  }
  return body['currency'] === 'EUR' ? undefined : failed(500, 'INVALID_CURRENCY', 'Currency not supported.');
}

function partyOf(body: JsonObject, { party }: Operation): string {
  const value = body[party];
  const id = typeof value === 'object' && value !== null && 'partyId' in value ? value['partyId'] : '';
  return typeof id === 'string' || typeof id === 'number' ? String(id) : '';
}

function shown(
  { body, partyId, transactionId, createdAtMs }: Payment,
  { clock, callbackDelayMs }: ApiContext,
): JsonObject {
  if (clock.now() < createdAtMs + callbackDelayMs) return { ...body, status: 'PENDING' };
  return {
    ...body,
    ...(ENDS.get(partyId) ?? { financialTransactionId: transactionId, status: 'SUCCESSFUL' }),
  };
}

function failed(status: number, code: string, message: string): Answer {
  return { status, body: { code, message } };
}
