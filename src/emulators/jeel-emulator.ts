import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import {
  type ApiContext,
  type EmulatorApp,
  type EmulatorContext,
  type EmulatorEnv,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  Replies,
  uuid,
} from './provider-emulator.ts';

const MAX_OBJECTS = 1000;

/** What can be created: where, what its state begins as, and which fields it cannot do without. */
const CREATIONS = [
  { path: '/v3/checkout', status: 'CREATED', required: ['amount'] },
  { path: '/v3/checkout/schooling', status: 'CREATED', required: ['amount'] },
  { path: '/v1/refund', status: 'PENDING', required: [] },
] as const;

/** Jeel Pay: checkouts and refunds, an `Idempotency-Key` on each, and a `tx_id` header on every answer. */
export const jeel: ProviderEmulator = {
  does: 'has checkouts and refunds: what is made can be got. Each answer has a `tx_id`; the same `Idempotency-Key` gets the same answer.',
  // The sources disagree on which of the two it is.
  encodings: ['multipart', 'form'],
  malformedAnswer: () => ({ status: 400, body: { error: 'invalid_request' } }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const objects = new LRUCache<string, JsonObject>({ max: MAX_OBJECTS });
    app.use(async (c, next) => {
      c.header('tx_id', uuid(context.random));
      await next();
    });
    addCreations(app, context, objects);
    const show = (c: EmulatorContext, key: string) => {
      const object = objects.peek(key);
      return object === undefined ? c.json(failed('not_found', 'Not found'), 404) : c.json(object);
    };
    app.get('/v3/checkout/:id', (c) => show(c, `/v3/checkout/${c.req.param('id')}`));
    app.get('/v1/refund/:id', (c) => show(c, `/v1/refund/${c.req.param('id')}`));
    app.get('/v1/refund', (c) => {
      const refunds = [...objects.entries()].filter(([key]) => key.startsWith('/v1/refund/'));
      return c.json({ data: refunds.map(([, refund]) => refund), total: refunds.length });
    });
    app.all('*', (c) => c.json(failed('not_found', 'Not found'), 404));
    return app;
  },
};

/** What is made is kept under the path it can be asked for. */
function addCreations(app: EmulatorApp, context: ApiContext, objects: LRUCache<string, JsonObject>): void {
  const replies = new Replies<JsonObject>();
  for (const { path, status, required } of CREATIONS) {
    const create = (body: JsonObject): JsonObject => {
      const id = uuid(context.random);
      const made = created(id, path, { ...body, status }, context);
      objects.set(`${path.replace(/\/schooling$/, '')}/${id}`, made);
      return made;
    };
    app.post(path, async (c) => {
      const body = await jsonBody(c);
      if (body === undefined) return c.json(failed('bad_request', 'The body is not a JSON object'), 400);
      const missing = required.find((name) => body[name] === undefined);
      if (missing !== undefined) return c.json(failed('bad_request', 'Bad request', missing), 400);
      return c.json(replies.once(path, c.req.header('idempotency-key'), () => create(body)));
    });
  }
}

function created(id: string, path: string, fields: JsonObject, { clock }: ApiContext): JsonObject {
  const link = path.startsWith('/v3/checkout') ? { redirect_url: `https://checkout.jeel.invalid/${id}` } : {};
  return { ...fields, ...link, id, created_at: isoTime(clock.now()) };
}

function failed(id: string, message: string, field?: string): JsonObject {
  return { errors: [{ id, message, description: field === undefined ? message : `${field} is required` }] };
}
