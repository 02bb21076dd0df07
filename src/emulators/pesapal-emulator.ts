import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import {
  type ApiContext,
  type EmulatorEnv,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  textOf,
  uuid,
} from './provider-emulator.ts';

const MAX_OBJECTS = 1000;
const NEEDED = ['id', 'currency', 'amount', 'description', 'callback_url', 'notification_id'];

interface Order {
  readonly body: JsonObject;
  readonly trackingId: string;
  readonly createdAtMs: number;
}

/** Pesapal: addresses for notifications, orders and their status. Errors of calls come in a 200, as Pesapal's do. */
export const pesapal: ProviderEmulator = {
  does:
    'has `RegisterIPN`, `GetIpnList`, `SubmitOrderRequest` (its `notification_id` must be registered) and ' +
    '`GetTransactionStatus`. An order is paid after half a second, and the notification goes to the registered ' +
    'address. Errors come in a 200.',
  malformedAnswer: (reason) => ({ status: 200, body: failed('invalid_request', reason) }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const addresses = new LRUCache<string, JsonObject>({ max: MAX_OBJECTS });
    const orders = new LRUCache<string, Order>({ max: MAX_OBJECTS });
    app.post('/api/URLSetup/RegisterIPN', async (c) => {
      const body = await jsonBody(c);
      if (body === undefined || !URL.canParse(textOf(body, 'url'))) return c.json(failed('invalid_url', 'Invalid URL'));
      const address = registered(body, context);
      addresses.set(textOf(address, 'ipn_id'), address);
      return c.json(address);
    });
    app.get('/api/URLSetup/GetIpnList', (c) => c.json([...addresses.values()]));
    app.post('/api/Transactions/SubmitOrderRequest', async (c) => {
      const body = (await jsonBody(c)) ?? {};
      const missing = NEEDED.find((name) => textOf(body, name) === '');
      if (missing !== undefined) return c.json(failed('invalid_request', `${missing} is required`));
      const address = addresses.peek(textOf(body, 'notification_id'));
      if (address === undefined) return c.json(failed('invalid_notification_id', 'Invalid IPN URL ID'));
      const order = { body, trackingId: uuid(context.random), createdAtMs: context.clock.now() };
      orders.set(order.trackingId, order);
      context.callbacks.send(textOf(address, 'url'), () => notification(order));
      return c.json(submitted(order));
    });
    app.get('/api/Transactions/GetTransactionStatus', (c) => {
      const order = orders.peek(c.req.query('orderTrackingId') ?? '');
      return c.json(
        order === undefined ? failed('payment_details_not_found', 'Pending Payment') : shown(order, context),
      );
    });
    app.all('*', (c) => c.json({ message: 'No HTTP resource was found that matches the request URI' }, 404));
    return app;
  },
};

function registered(body: JsonObject, { random, clock }: ApiContext): JsonObject {
  const method = textOf(body, 'ipn_notification_type') || 'GET';
  return {
    url: textOf(body, 'url'),
    created_date: isoTime(clock.now()),
    ipn_id: uuid(random),
    notification_type: method === 'POST' ? 1 : 0,
    ipn_notification_type_description: method,
    ipn_status: 1,
    ipn_status_description: 'Active',
    error: null,
    status: '200',
  };
}

function submitted({ body, trackingId }: Order): JsonObject {
  return {
    order_tracking_id: trackingId,
    merchant_reference: textOf(body, 'id'),
    redirect_url: `https://pesapal.invalid/iframe?OrderTrackingId=${trackingId}`,
    error: null,
    status: '200',
  };
}

function notification({ body, trackingId }: Order): JsonObject {
  return {
    OrderNotificationType: 'IPNCHANGE',
    OrderTrackingId: trackingId,
    OrderMerchantReference: textOf(body, 'id'),
  };
}

function shown({ body, createdAtMs }: Order, { clock, callbackDelayMs }: ApiContext): JsonObject {
  const paid = clock.now() >= createdAtMs + callbackDelayMs;
  return {
    payment_method: paid ? 'MpesaKE' : '',
    amount: Number(body['amount']),
    created_date: isoTime(createdAtMs),
    confirmation_code: paid ? 'EMULATED01' : '',
    payment_status_description: paid ? 'Completed' : 'INVALID',
    status_code: paid ? 1 : 0,
    merchant_reference: textOf(body, 'id'),
    currency: textOf(body, 'currency'),
    error: null,
    status: '200',
    message: 'Request processed successfully',
  };
}

function failed(code: string, message: string): JsonObject {
  return { error: { error_type: 'api_error', code, message }, status: '500' };
}
