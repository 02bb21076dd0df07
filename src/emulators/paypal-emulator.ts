import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import type { Random } from './issuer.ts';
import {
  type ApiContext,
  type EmulatedResponse,
  type EmulatorContext,
  type EmulatorEnv,
  fieldText,
  IdempotentResponses,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  sendJson,
} from './provider-emulator.ts';

const MAX_ORDERS = 1000;
const ORDERS = '/v2/checkout/orders';
const ID_LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ123456789';

interface Order {
  readonly id: string;
  readonly intent: string;
  readonly units: readonly JsonObject[];
  readonly createdAtMs: number;
  captureId: string | undefined;
}

const EVENT_TYPES = [
  { name: 'PAYMENT.CAPTURE.COMPLETED', description: 'A payment capture completes.', status: 'ENABLED' },
];

/** PayPal: orders and their capture. The buyer approves an order after the callback delay. */
export const paypal: ProviderEmulator = {
  summary:
    'has orders: create (201, with `links`), show and capture. The buyer approves after half a second. A capture before ' +
    'that gets 422 with `ORDER_NOT_APPROVED`. The same `PayPal-Request-Id` returns the same order.',
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const orders = new LRUCache<string, Order>({ max: MAX_ORDERS });
    const responses = new IdempotentResponses<{ id: string }>();
    app.post(ORDERS, async (c) => {
      const body = await jsonBody(c);
      const units = unitsOf(body);
      if (body === undefined || units.length === 0) return sendJson(c, INVALID);
      const { id } = responses.once(ORDERS, c.req.header('paypal-request-id'), () => {
        const order = newOrder(fieldText(body, 'intent'), units, context);
        orders.set(order.id, order);
        return { id: order.id };
      });
      const order = orders.peek(id);
      return order === undefined ? sendJson(c, NOT_FOUND) : c.json(createdOrderAsJson(c, order, context), 201);
    });
    app.get('/v1/notifications/webhooks-event-types', (c) => c.json({ event_types: EVENT_TYPES }));
    app.get(`${ORDERS}/:id`, (c) => {
      const order = orders.peek(c.req.param('id'));
      return order === undefined ? sendJson(c, NOT_FOUND) : c.json(orderAsJson(c, order, context));
    });
    app.post(`${ORDERS}/:id/capture`, (c) => {
      const order = orders.peek(c.req.param('id'));
      if (order === undefined) return sendJson(c, NOT_FOUND);
      if (order.captureId !== undefined) return sendJson(c, unprocessable('ORDER_ALREADY_CAPTURED'));
      if (statusOf(order, context) !== 'APPROVED') return sendJson(c, unprocessable('ORDER_NOT_APPROVED'));
      order.captureId = paypalId(context.random);
      return c.json(orderAsJson(c, order, context), 201);
    });
    app.all('*', (c) => sendJson(c, NOT_FOUND));
    return app;
  },
};

function unitsOf(body: JsonObject | undefined): JsonObject[] {
  const units: unknown = body?.['purchase_units'];
  return Array.isArray(units) ? units.filter((unit): unit is JsonObject => typeof unit === 'object') : [];
}

function newOrder(intent: string, units: readonly JsonObject[], { random, clock }: ApiContext): Order {
  return { id: paypalId(random), intent, units, createdAtMs: clock.now(), captureId: undefined };
}

/** 17 letters and digits, like PayPal's own IDs. */
function paypalId(random: Random): string {
  return [...random(17)].map((byte) => ID_LETTERS[byte % ID_LETTERS.length]).join('');
}

function statusOf({ createdAtMs, captureId }: Order, { clock, callbackDelayMs }: ApiContext): string {
  if (captureId !== undefined) return 'COMPLETED';
  return clock.now() >= createdAtMs + callbackDelayMs ? 'APPROVED' : 'CREATED';
}

/** The minimal response to a new order, unless the client prefers the full representation (RFC 7240). */
function createdOrderAsJson(c: EmulatorContext, order: Order, context: ApiContext): JsonObject {
  if (c.req.header('prefer')?.includes('return=representation') === true) return orderAsJson(c, order, context);
  return { id: order.id, status: statusOf(order, context), links: linksOf(c, order) };
}

function orderAsJson(c: EmulatorContext, order: Order, context: ApiContext): JsonObject {
  const { id, intent, units, createdAtMs, captureId } = order;
  const captures = [{ id: captureId ?? '', status: 'COMPLETED', final_capture: true }];
  return {
    id,
    intent,
    status: statusOf(order, context),
    purchase_units: captureId === undefined ? units : units.map((unit) => ({ ...unit, payments: { captures } })),
    create_time: isoTime(createdAtMs),
    links: linksOf(c, order),
  };
}

function linksOf(c: EmulatorContext, { id }: Order): JsonObject[] {
  const self = `${new URL(c.req.url).origin}${ORDERS}/${id}`;
  return [
    { href: self, rel: 'self', method: 'GET' },
    { href: `https://www.paypal.invalid/checkoutnow?token=${id}`, rel: 'approve', method: 'GET' },
    { href: `${self}/capture`, rel: 'capture', method: 'POST' },
  ];
}

const NOT_FOUND: EmulatedResponse = {
  status: 404,
  body: {
    name: 'RESOURCE_NOT_FOUND',
    message: 'The specified resource does not exist.',
    details: [{ issue: 'INVALID_RESOURCE_ID' }],
  },
};

const INVALID: EmulatedResponse = {
  status: 400,
  body: {
    name: 'INVALID_REQUEST',
    message: 'Request is not well-formed, syntactically incorrect, or violates schema.',
    details: [{ field: '/purchase_units', issue: 'MISSING_REQUIRED_PARAMETER' }],
  },
};

function unprocessable(issue: string): EmulatedResponse {
  const message = 'The requested action could not be performed, semantically incorrect, or failed business validation.';
  return { status: 422, body: { name: 'UNPROCESSABLE_ENTITY', message, details: [{ issue }] } };
}
