import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import {
  type ApiContext,
  type EmulatorApp,
  type EmulatorContext,
  type EmulatorEnv,
  IdempotentResponses,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  randomUuid,
} from './provider-emulator.ts';

const MAX_OBJECTS = 1000;

/** What can be created: the path, the first status and the required fields. */
const RESOURCES = [
  { path: '/v3/checkout', status: 'CREATED', required: ['amount'] },
  { path: '/v3/checkout/schooling', status: 'CREATED', required: ['amount'] },
  { path: '/v1/refund', status: 'PENDING', required: [] },
] as const;

/** Jeel Pay: checkouts and refunds with an `Idempotency-Key`, and a `tx_id` header on every response. */
export const jeel: ProviderEmulator = {
  summary:
    'has checkouts and refunds that can be created and read. Each response has the header `tx_id`. The same ' +
    '`Idempotency-Key` returns the same response.',
  // Jeel's sources disagree on the encoding.
  encodings: ['multipart', 'form'],
  malformedRequestResponse: () => ({ status: 400, body: { error: 'invalid_request' } }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const objects = new LRUCache<string, JsonObject>({ max: MAX_OBJECTS });
    app.use(async (c, next) => {
      c.header('tx_id', randomUuid(context.random));
      await next();
    });
    addResources(app, context, objects);
    const show = (c: EmulatorContext, key: string) => {
      const object = objects.peek(key);
      return object === undefined ? c.json(errorBody('not_found', 'Not found'), 404) : c.json(object);
    };
    app.get('/v3/checkout/:id', (c) => show(c, `/v3/checkout/${c.req.param('id')}`));
    app.get('/v1/refund/:id', (c) => show(c, `/v1/refund/${c.req.param('id')}`));
    app.get('/v1/refund', (c) => {
      const refunds = [...objects.entries()].filter(([key]) => key.startsWith('/v1/refund/'));
      return c.json({ data: refunds.map(([, refund]) => refund), total: refunds.length });
    });
    app.all('*', (c) => c.json(errorBody('not_found', 'Not found'), 404));
    return app;
  },
};

/** Created objects are stored under the path that reads them. */
function addResources(app: EmulatorApp, context: ApiContext, objects: LRUCache<string, JsonObject>): void {
  const responses = new IdempotentResponses<JsonObject>();
  for (const { path, status, required } of RESOURCES) {
    const create = (body: JsonObject): JsonObject => {
      const id = randomUuid(context.random);
      const object = newObject(id, path, { ...body, status }, context);
      objects.set(`${path.replace(/\/schooling$/, '')}/${id}`, object);
      return object;
    };
    app.post(path, async (c) => {
      const body = await jsonBody(c);
      if (body === undefined) return c.json(errorBody('bad_request', 'The body is not a JSON object'), 400);
      const missing = required.find((name) => body[name] === undefined);
      if (missing !== undefined) return c.json(errorBody('bad_request', 'Bad request', missing), 400);
      return c.json(responses.once(path, c.req.header('idempotency-key'), () => create(body)));
    });
  }
}

function newObject(id: string, path: string, fields: JsonObject, { clock }: ApiContext): JsonObject {
  const link = path.startsWith('/v3/checkout') ? { redirect_url: `https://checkout.jeel.invalid/${id}` } : {};
  return { ...fields, ...link, id, created_at: isoTime(clock.now()) };
}

function errorBody(id: string, message: string, field?: string): JsonObject {
  return { errors: [{ id, message, description: field === undefined ? message : `${field} is required` }] };
}
