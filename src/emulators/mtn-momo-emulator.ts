import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import { emulatedCredentials } from './emulated-provider.ts';
import {
  type ApiContext,
  type EmulatedResponse,
  type EmulatorApp,
  type EmulatorContext,
  type EmulatorEnv,
  jsonBody,
  type ProviderEmulator,
  randomDigits,
  sendJson,
} from './provider-emulator.ts';

const MAX_PAYMENTS = 1000;
const KEY_HEADER = 'ocp-apim-subscription-key';

/** The payment operations: the path and the field of the other party. */
const OPERATIONS = [
  { path: '/collection/v1_0/requesttopay', party: 'payer' },
  { path: '/collection/v1_0/requesttowithdraw', party: 'payer' },
  { path: '/disbursement/v1_0/transfer', party: 'payee' },
  { path: '/disbursement/v1_0/deposit', party: 'payee' },
  { path: '/remittance/v1_0/transfer', party: 'payee' },
] as const;
type Operation = (typeof OPERATIONS)[number];

/** Test numbers of the real sandbox and their outcomes. A payment with any other number succeeds. */
const SANDBOX_OUTCOMES: ReadonlyMap<string, JsonObject> = new Map([
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

/** MTN MoMo: a payment gets 202 and an empty body. The client chooses the reference and reads the status with it. */
export const mtnMomo: ProviderEmulator = {
  summary:
    'has `requesttopay`, `requesttowithdraw`, `transfer` and `deposit` of the three products (202, then the status by ' +
    '`X-Reference-Id`), the balance and the check of a number. A payment is pending for half a second. The test ' +
    'numbers 46733123450 to 46733123454 fail as in the real sandbox, and EUR is the only currency. The callback is sent ' +
    'to `X-Callback-Url`. A call with a wrong subscription key gets 401.',
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const key = emulatedCredentials(context.provider).get('subscription_key')?.reveal();
    app.use(async (c, next) => (c.req.header(KEY_HEADER) === key ? next() : sendJson(c, WRONG_KEY)));
    for (const operation of OPERATIONS) addOperation(app, context, operation);
    for (const product of ['collection', 'disbursement', 'remittance']) {
      app.get(`/${product}/v1_0/account/balance`, (c) => c.json({ availableBalance: '1000', currency: 'EUR' }));
      app.get(`/${product}/v1_0/accountholder/:type/:id/active`, (c) => c.json({ result: true }));
    }
    app.all('*', (c) => c.json({ statusCode: 404, message: 'Resource not found' }, 404));
    return app;
  },
};

const WRONG_KEY: EmulatedResponse = {
  status: 401,
  body: { statusCode: 401, message: 'Access denied due to invalid subscription key.' },
};

function addOperation(app: EmulatorApp, context: ApiContext, operation: Operation): void {
  const payments = new LRUCache<string, Payment>({ max: MAX_PAYMENTS });
  app.post(operation.path, async (c) => {
    const id = c.req.header('x-reference-id') ?? '';
    const body = await jsonBody(c);
    const error = requestError(c, body, id, operation) ?? (payments.has(id) ? DUPLICATE : undefined);
    if (body === undefined || error !== undefined)
      return sendJson(c, error ?? errorResponse(400, 'BAD_REQUEST', 'no JSON'));
    const payment = {
      body,
      partyId: partyOf(body, operation),
      transactionId: randomDigits(context.random, 10),
      createdAtMs: context.clock.now(),
    };
    payments.set(id, payment);
    const callbackUrl = c.req.header('x-callback-url');
    if (callbackUrl !== undefined) context.callbacks.send(callbackUrl, () => paymentAsJson(payment, context));
    return c.body(null, 202);
  });
  app.get(`${operation.path}/:id`, (c) => {
    const payment = payments.peek(c.req.param('id') ?? '');
    if (payment === undefined)
      return sendJson(c, errorResponse(404, 'RESOURCE_NOT_FOUND', 'Requested resource was not found.'));
    return c.json(paymentAsJson(payment, context));
  });
}

const DUPLICATE = errorResponse(409, 'RESOURCE_ALREADY_EXIST', 'Duplicated reference id. Creation of resource failed.');

function requestError(
  c: EmulatorContext,
  body: JsonObject | undefined,
  id: string,
  operation: Operation,
): EmulatedResponse | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(id)) {
    return errorResponse(400, 'BAD_REQUEST', 'X-Reference-Id must be a UUID of version 4');
  }
  if (c.req.header('x-target-environment') === undefined) {
    return errorResponse(400, 'BAD_REQUEST', 'X-Target-Environment is missing');
  }
  if (body === undefined || !(Number(body['amount']) > 0) || partyOf(body, operation) === '') {
    return errorResponse(400, 'BAD_REQUEST', `amount, currency and ${operation.party} are required`);
  }
  return body['currency'] === 'EUR' ? undefined : errorResponse(500, 'INVALID_CURRENCY', 'Currency not supported.');
}

function partyOf(body: JsonObject, { party }: Operation): string {
  const value = body[party];
  const id = typeof value === 'object' && value !== null && 'partyId' in value ? value['partyId'] : '';
  return typeof id === 'string' || typeof id === 'number' ? String(id) : '';
}

function paymentAsJson(
  { body, partyId, transactionId, createdAtMs }: Payment,
  { clock, callbackDelayMs }: ApiContext,
): JsonObject {
  if (clock.now() < createdAtMs + callbackDelayMs) return { ...body, status: 'PENDING' };
  return {
    ...body,
    ...(SANDBOX_OUTCOMES.get(partyId) ?? { financialTransactionId: transactionId, status: 'SUCCESSFUL' }),
  };
}

function errorResponse(status: number, code: string, message: string): EmulatedResponse {
  return { status, body: { code, message } };
}
