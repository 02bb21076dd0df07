import { createHmac } from 'node:crypto';
import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import { webhookUrlControl } from './controls.ts';
import {
  type ApiContext,
  type EmulatorContext,
  type EmulatorEnv,
  fieldText,
  IdempotentResponses,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  randomUuid,
} from './provider-emulator.ts';

const MAX_TRANSACTIONS = 1000;

/** Signs webhooks. The real provider shows its secret in the dashboard. */
export const PAYPACK_WEBHOOK_SECRET = 'emulated-paypack-webhook-secret';

/** Paypack: cash-in and cash-out that succeed after the callback delay, with a signed webhook. */
export const paypack: ProviderEmulator = {
  summary:
    'has cash-in, cash-out, events and the merchant. A payment succeeds after half a second, and a signed webhook is ' +
    'sent to the URL in the switch `webhook_url`. The same `Idempotency-Key` returns the same response.',
  // Paypack's client libraries send the token without a scheme.
  acceptsBareToken: true,
  malformedRequestResponse: (reason) => ({ status: 400, body: errorBody(400, reason) }),
  controls: { webhook_url: webhookUrlControl },
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const transactions = new Transactions(context);
    const responses = new IdempotentResponses<JsonObject>();
    for (const kind of ['CASHIN', 'CASHOUT'] as const) {
      const path = `/transactions/${kind.toLowerCase()}`;
      app.post(path, async (c) => {
        const body = await jsonBody(c);
        const error = requestError(body);
        if (body === undefined || error !== undefined) return c.json(errorBody(400, error ?? 'invalid body'), 400);
        const mode = c.req.header('x-webhook-mode');
        return c.json(responses.once(path, idempotencyKey(c), () => transactions.add(kind, body, mode)));
      });
    }
    app.get('/transactions/find/:ref', (c) => {
      const found = transactions.find(c.req.param('ref'));
      return found === undefined ? c.json(errorBody(404, 'transaction not found'), 404) : c.json(found);
    });
    app.get('/transactions/list', (c) => c.json(page(c, 'transactions', transactions.list())));
    app.get('/events/transactions', (c) => c.json(page(c, 'transactions', transactions.events())));
    app.get('/merchants/me', (c) =>
      c.json({ id: 'emulated-merchant', name: 'Emulated Merchant', mode: c.req.header('x-webhook-mode') ?? null }),
    );
    app.all('*', (c) => c.json(errorBody(404, 'not found'), 404));
    return app;
  },
};

interface Transaction {
  readonly ref: string;
  readonly kind: 'CASHIN' | 'CASHOUT';
  readonly amount: number;
  readonly client: string;
  /** `X-Webhook-Mode` of the request that created it. */
  readonly mode: string | undefined;
  readonly createdAtMs: number;
  readonly createdEventId: string;
  readonly processedEventId: string;
}

/** The transactions and their events, in memory. */
class Transactions {
  readonly #context: ApiContext;
  readonly #transactions = new LRUCache<string, Transaction>({ max: MAX_TRANSACTIONS });

  constructor(context: ApiContext) {
    this.#context = context;
  }

  add(kind: Transaction['kind'], body: JsonObject, mode: string | undefined): JsonObject {
    const { random, clock, callbacks, switches } = this.#context;
    const transaction: Transaction = {
      ref: randomUuid(random),
      kind,
      amount: Number(body['amount']),
      client: fieldText(body, 'number'),
      mode,
      createdAtMs: clock.now(),
      createdEventId: randomUuid(random),
      processedEventId: randomUuid(random),
    };
    this.#transactions.set(transaction.ref, transaction);
    if (switches.webhookUrl !== undefined) {
      callbacks.send(switches.webhookUrl, () => this.#processedEvent(transaction), signatureHeaders);
    }
    const { ref, amount, createdAtMs } = transaction;
    return { ref, status: 'pending', amount, provider: networkOf(transaction), kind, created_at: isoTime(createdAtMs) };
  }

  find(ref: string): JsonObject | undefined {
    const transaction = this.#transactions.peek(ref);
    return transaction && this.#asJson(transaction);
  }

  /** Newest first. */
  list(): JsonObject[] {
    return [...this.#transactions.values()].map((transaction) => this.#asJson(transaction));
  }

  events(): JsonObject[] {
    return [...this.#transactions.values()].flatMap((transaction) => [
      ...(this.#isProcessed(transaction) ? [this.#processedEvent(transaction)] : []),
      this.#event('transaction:created', transaction.createdEventId, transaction, 'pending'),
    ]);
  }

  #isProcessed({ createdAtMs }: Transaction): boolean {
    return this.#context.clock.now() >= createdAtMs + this.#context.callbackDelayMs;
  }

  #processedEvent(transaction: Transaction): JsonObject {
    return this.#event('transaction:processed', transaction.processedEventId, transaction, 'successful');
  }

  #event(kind: string, id: string, transaction: Transaction, status: string): JsonObject {
    const { createdAtMs, mode } = transaction;
    return {
      event_id: id,
      event_kind: kind,
      created_at: isoTime(createdAtMs),
      webhook_mode: mode ?? null,
      data: { ...this.#asJson(transaction), status },
    };
  }

  #asJson(transaction: Transaction): JsonObject {
    const { ref, kind, amount, client, createdAtMs } = transaction;
    return {
      ref,
      kind,
      amount,
      client,
      fee: 0,
      merchant: 'emulated-merchant',
      provider: networkOf(transaction),
      status: this.#isProcessed(transaction) ? 'successful' : 'pending',
      created_at: isoTime(createdAtMs),
    };
  }
}

/** Of Rwandan mobile numbers, 072 and 073 belong to Airtel. */
function networkOf({ client }: Transaction): string {
  return /^(?:\+?250)?0?7[23]/.test(client) ? 'airtel' : 'mtn';
}

function signatureHeaders(body: Buffer): Record<string, string> {
  return { 'x-paypack-signature': createHmac('sha256', PAYPACK_WEBHOOK_SECRET).update(body).digest('base64') };
}

function idempotencyKey(c: EmulatorContext): string | undefined {
  return c.req.header('idempotency-key') ?? c.req.query('Idempotency-Key') ?? c.req.query('idempotency-key');
}

function requestError(body: JsonObject | undefined): string | undefined {
  if (body === undefined) return 'invalid body';
  if (typeof body['amount'] !== 'number' || !(body['amount'] > 0)) return 'invalid amount';
  if (!/^(?:\+?250)?0?7\d{8}$/.test(fieldText(body, 'number'))) return 'invalid phone number';
  return undefined;
}

function page(c: EmulatorContext, name: string, all: readonly JsonObject[]): JsonObject {
  const limit = Number(c.req.query('limit') ?? 20) || 20;
  const offset = Number(c.req.query('offset') ?? 0) || 0;
  return { total: all.length, limit, offset, [name]: all.slice(offset, offset + limit) };
}

function errorBody(status: number, message: string): JsonObject {
  return { status, message };
}
