import { createHmac } from 'node:crypto';
import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import { type JsonObject, valueAt } from '../json.ts';
import {
  type ApiContext,
  type EmulatorApp,
  type EmulatorEnv,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  uuid,
} from './provider-emulator.ts';

const MAX_OBJECTS = 1000;

/** What callbacks are signed with; the real one is the application's API key. */
export const KOPOKOPO_API_KEY = 'emulated-kopokopo-api-key';

/** What can be made: where, which fields it cannot do without, and what Kopo Kopo calls it. */
const CREATIONS = [
  {
    path: '/api/v1/incoming_payments',
    type: 'incoming_payment',
    needed: ['till_number', 'subscriber', 'amount.value'],
  },
  { path: '/api/v1/webhook_subscriptions', type: 'webhook_subscription', needed: ['event_type', 'url'] },
] as const;

interface Made {
  readonly id: string;
  readonly body: JsonObject;
  readonly self: string;
  readonly createdAtMs: number;
}

/** Kopo Kopo: what is made is answered with 201, no body and a `Location`. */
export const kopokopo: ProviderEmulator = {
  does:
    'has incoming payments and webhook subscriptions: 201 with an empty body and a `Location`, where they can be got. A ' +
    'payment succeeds after half a second, and the result goes to `_links.callback_url`, signed in ' +
    `\`X-KopoKopo-Signature\` (HMAC-SHA256, hex) with \`${KOPOKOPO_API_KEY}\`.`,
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    for (const creation of CREATIONS) addCreation(app, context, creation);
    app.all('*', (c) => c.json({ error_code: 404, error_message: 'Not Found' }, 404));
    return app;
  },
};

function addCreation(app: EmulatorApp, context: ApiContext, { path, type, needed }: (typeof CREATIONS)[number]): void {
  const all = new LRUCache<string, Made>({ max: MAX_OBJECTS });
  app.post(path, async (c) => {
    const body = await jsonBody(c);
    const missing = needed.find((name) => valueAt(body, name) === undefined);
    if (body === undefined || missing !== undefined) {
      return c.json({ error_code: 400, error_message: `${missing ?? 'the body'} is missing` }, 400);
    }
    const id = uuid(context.random);
    const self = `${new URL(c.req.url).origin}${path}/${id}`;
    const made = { id, body, self, createdAtMs: context.clock.now() };
    all.set(id, made);
    const callback = callbackOf(body);
    if (callback !== undefined) context.callbacks.send(callback, () => shown(made, type, context), signature);
    return c.body(null, 201, { location: self });
  });
  app.get(`${path}/:id`, (c) => {
    const made = all.peek(c.req.param('id') ?? '');
    if (made === undefined) return c.json({ error_code: 404, error_message: 'Not Found' }, 404);
    return c.json(shown(made, type, context));
  });
}

function shown({ id, body, self, createdAtMs }: Made, type: string, context: ApiContext): JsonObject {
  if (type !== 'incoming_payment') return { data: { id, type, attributes: body } };
  const done = context.clock.now() >= createdAtMs + context.callbackDelayMs;
  const resource = {
    amount: String(valueAt(body, 'amount.value')),
    currency: String(valueAt(body, 'amount.currency')),
    status: 'Received',
    sender_phone_number: String(valueAt(body, 'subscriber.phone_number')),
    till_number: body['till_number'] ?? null,
    origination_time: isoTime(createdAtMs),
  };
  return {
    data: {
      id,
      type,
      attributes: {
        initiation_time: isoTime(createdAtMs),
        status: done ? 'Success' : 'Pending',
        event: { type: 'Incoming Payment Request', resource: done ? resource : null, errors: null },
        metadata: body['metadata'] ?? null,
        _links: { callback_url: callbackOf(body) ?? null, self },
      },
    },
  };
}

function callbackOf(body: JsonObject): string | undefined {
  const url = valueAt(body, '_links.callback_url');
  return typeof url === 'string' ? url : undefined;
}

function signature(body: Buffer): Record<string, string> {
  return { 'x-kopokopo-signature': createHmac('sha256', KOPOKOPO_API_KEY).update(body).digest('hex') };
}
