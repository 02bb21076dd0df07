import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import {
  type ApiContext,
  type EmulatorApp,
  type EmulatorEnv,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  randomUuid,
} from './provider-emulator.ts';

const MAX_TRANSACTIONS = 1000;

/** A kind of transaction. */
interface Kind {
  readonly path: string;
  readonly idField: string;
  readonly required: readonly string[];
}

const KINDS: readonly Kind[] = [
  {
    path: '/payments/collections/checkouts',
    idField: 'checkout_id',
    required: ['payfrom', 'amount', 'ref_no', 'account_number', 'callback_url', 'app_code'],
  },
  { path: '/payments/payouts', idField: 'payout_id', required: ['amount', 'ref_no'] },
];

/** JPay Africa: collections and payouts that complete after the callback delay. */
export const jpay: ProviderEmulator = {
  summary:
    'has collections and payouts. They complete after half a second, and the callback is sent to `callback_url`.',
  malformedRequestResponse: () => ({ status: 400, body: { detail: 'Invalid request' } }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    for (const kind of KINDS) addKind(app, context, kind);
    app.get('/wallets/balance', (c) =>
      c.json({ collection_wallet_balance: '45000.00', payout_wallet_balance: '12000.00', total_balance: '57000.00' }),
    );
    app.all('*', (c) => c.json({ detail: 'Not found.' }, 404));
    return app;
  },
};

function addKind(app: EmulatorApp, context: ApiContext, kind: Kind): void {
  const transactions = new LRUCache<string, Transaction>({ max: MAX_TRANSACTIONS });
  const show = (transaction: Transaction) => transactionAsJson(transaction, context);
  app.post(`${kind.path}/initiate`, async (c) => {
    const body = await jsonBody(c);
    if (body === undefined) return c.json({ detail: 'Invalid request' }, 400);
    const errors = fieldErrors(body, kind);
    if (Object.keys(errors).length > 0) return c.json(errors, 400);
    const transaction = {
      id: randomUuid(context.random),
      idField: kind.idField,
      body,
      createdAtMs: context.clock.now(),
    };
    transactions.set(transaction.id, transaction);
    if (typeof body['callback_url'] === 'string') context.callbacks.send(body['callback_url'], () => show(transaction));
    return c.json(show(transaction));
  });
  app.get(kind.path, (c) => {
    const results = [...transactions.values()].map(show);
    return c.json({ count: results.length, next: null, previous: null, results });
  });
  app.get(`${kind.path}/:id`, (c) => {
    const transaction = transactions.peek(c.req.param('id'));
    return transaction === undefined ? c.json({ detail: 'Not found.' }, 404) : c.json(show(transaction));
  });
}

interface Transaction {
  readonly id: string;
  readonly idField: string;
  readonly body: JsonObject;
  readonly createdAtMs: number;
}

function transactionAsJson(
  { id, idField, body, createdAtMs }: Transaction,
  { clock, callbackDelayMs }: ApiContext,
): JsonObject {
  const completed = clock.now() >= createdAtMs + callbackDelayMs;
  return { ...body, [idField]: id, status: completed ? 'COMPLETED' : 'PENDING', created_at: isoTime(createdAtMs) };
}

function fieldErrors(body: JsonObject, { required }: Kind): JsonObject {
  const missing = required.filter((name) => body[name] === undefined || body[name] === null || body[name] === '');
  const errors: Record<string, string[]> = Object.fromEntries(
    missing.map((name) => [name, ['This field is required.']]),
  );
  const check = (name: string, isValid: (value: unknown) => boolean, message: string) => {
    if (body[name] !== undefined && !missing.includes(name) && !isValid(body[name])) errors[name] = [message];
  };
  check(
    'amount',
    (value) => /^\d+(\.\d{1,2})?$/.test(String(value)) && Number(value) > 0,
    'A valid amount is required.',
  );
  check('payfrom', (value) => /^\+[1-9]\d{6,14}$/.test(String(value)), 'Enter a phone number in E.164 format.');
  return errors;
}
