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
  uuid,
} from './provider-emulator.ts';

const MAX_TRANSACTIONS = 1000;

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

/** JPay Africa: collections and payouts that complete by themselves after the callback delay. */
export const jpay: ProviderEmulator = {
  does: 'has collections and payouts, which are completed after half a second; the callback goes to `callback_url`.',
  malformedAnswer: () => ({ status: 400, body: { detail: 'Invalid request' } }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    for (const kind of KINDS) addKind(app, context, kind);
    app.all('*', (c) => c.json({ detail: 'Not found.' }, 404));
    return app;
  },
};

function addKind(app: EmulatorApp, context: ApiContext, kind: Kind): void {
  const transactions = new LRUCache<string, Transaction>({ max: MAX_TRANSACTIONS });
  const show = (transaction: Transaction) => shown(transaction, context);
  app.post(`${kind.path}/initiate`, async (c) => {
    const body = await jsonBody(c);
    if (body === undefined) return c.json({ detail: 'Invalid request' }, 400);
    const problems = problemsOf(body, kind);
    if (Object.keys(problems).length > 0) return c.json(problems, 400);
    const transaction = { id: uuid(context.random), idField: kind.idField, body, createdAtMs: context.clock.now() };
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

function shown({ id, idField, body, createdAtMs }: Transaction, { clock, callbackDelayMs }: ApiContext): JsonObject {
  const completed = clock.now() >= createdAtMs + callbackDelayMs;
  return { ...body, [idField]: id, status: completed ? 'COMPLETED' : 'PENDING', created_at: isoTime(createdAtMs) };
}

function problemsOf(body: JsonObject, { required }: Kind): JsonObject {
  const missing = required.filter((name) => body[name] === undefined || body[name] === null || body[name] === '');
  const problems: Record<string, string[]> = Object.fromEntries(
    missing.map((name) => [name, ['This field is required.']]),
  );
  const wrong = (name: string, isRight: (value: unknown) => boolean, message: string) => {
    if (body[name] !== undefined && !missing.includes(name) && !isRight(body[name])) problems[name] = [message];
  };
  wrong(
    'amount',
    (value) => /^\d+(\.\d{1,2})?$/.test(String(value)) && Number(value) > 0,
    'A valid amount is required.',
  );
  wrong('payfrom', (value) => /^\+[1-9]\d{6,14}$/.test(String(value)), 'Enter a phone number in E.164 format.');
  return problems;
}
