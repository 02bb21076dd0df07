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
  randomUuid,
} from './provider-emulator.ts';

const MAX_OBJECTS = 1000;

/** Signs callbacks. The real provider signs with the API key of the application. */
export const KOPOKOPO_API_KEY = 'emulated-kopokopo-api-key';

/** What can be created: the path, Kopo Kopo's name for it and the required fields. */
const RESOURCES = [
  {
    path: '/api/v1/incoming_payments',
    type: 'incoming_payment',
    required: ['till_number', 'subscriber', 'amount.value'],
  },
  { path: '/api/v1/webhook_subscriptions', type: 'webhook_subscription', required: ['event_type', 'url'] },
] as const;

interface CreatedObject {
  readonly id: string;
  readonly body: JsonObject;
  readonly self: string;
  readonly createdAtMs: number;
}

/** Kopo Kopo: creating an object returns 201, no body and a `Location`. */
export const kopokopo: ProviderEmulator = {
  summary:
    'has incoming payments and webhook subscriptions. Creating one returns 201, an empty body and its URL in ' +
    '`Location`. A payment succeeds after half a second. The result is sent to `_links.callback_url`, signed in ' +
    `\`X-KopoKopo-Signature\` (HMAC-SHA256, hex) with \`${KOPOKOPO_API_KEY}\`.`,
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    for (const resource of RESOURCES) addResource(app, context, resource);
    app.all('*', (c) => c.json({ error_code: 404, error_message: 'Not Found' }, 404));
    return app;
  },
};

function addResource(
  app: EmulatorApp,
  context: ApiContext,
  { path, type, required }: (typeof RESOURCES)[number],
): void {
  const objects = new LRUCache<string, CreatedObject>({ max: MAX_OBJECTS });
  app.post(path, async (c) => {
    const body = await jsonBody(c);
    const missing = required.find((name) => valueAt(body, name) === undefined);
    if (body === undefined || missing !== undefined) {
      return c.json({ error_code: 400, error_message: `${missing ?? 'the body'} is missing` }, 400);
    }
    const id = randomUuid(context.random);
    const self = `${new URL(c.req.url).origin}${path}/${id}`;
    const created = { id, body, self, createdAtMs: context.clock.now() };
    objects.set(id, created);
    const url = callbackUrl(body);
    if (url !== undefined) context.callbacks.send(url, () => objectAsJson(created, type, context), signatureHeaders);
    return c.body(null, 201, { location: self });
  });
  app.get(`${path}/:id`, (c) => {
    const created = objects.peek(c.req.param('id') ?? '');
    if (created === undefined) return c.json({ error_code: 404, error_message: 'Not Found' }, 404);
    return c.json(objectAsJson(created, type, context));
  });
}

function objectAsJson({ id, body, self, createdAtMs }: CreatedObject, type: string, context: ApiContext): JsonObject {
  if (type !== 'incoming_payment') return { data: { id, type, attributes: body } };
  const isComplete = context.clock.now() >= createdAtMs + context.callbackDelayMs;
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
        status: isComplete ? 'Success' : 'Pending',
        event: { type: 'Incoming Payment Request', resource: isComplete ? resource : null, errors: null },
        metadata: body['metadata'] ?? null,
        _links: { callback_url: callbackUrl(body) ?? null, self },
      },
    },
  };
}

function callbackUrl(body: JsonObject): string | undefined {
  const url = valueAt(body, '_links.callback_url');
  return typeof url === 'string' ? url : undefined;
}

function signatureHeaders(body: Buffer): Record<string, string> {
  return { 'x-kopokopo-signature': createHmac('sha256', KOPOKOPO_API_KEY).update(body).digest('hex') };
}
