import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import {
  type ApiContext,
  type EmulatorEnv,
  fieldText,
  isoTime,
  jsonBody,
  type ProviderEmulator,
  randomUuid,
} from './provider-emulator.ts';

const MAX_OBJECTS = 1000;
const REQUIRED = ['id', 'currency', 'amount', 'description', 'callback_url', 'notification_id'];

interface Order {
  readonly body: JsonObject;
  readonly trackingId: string;
  readonly createdAtMs: number;
}

/** Pesapal: notification URLs, orders and their status. Like the real API, errors have status 200. */
export const pesapal: ProviderEmulator = {
  summary:
    'has `RegisterIPN`, `GetIpnList`, `SubmitOrderRequest` (its `notification_id` must be registered) and ' +
    '`GetTransactionStatus`. An order is paid after half a second, and the notification is sent to the registered ' +
    'URL. Errors have status 200.',
  malformedRequestResponse: (reason) => ({ status: 200, body: errorBody('invalid_request', reason) }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    const notificationUrls = new LRUCache<string, JsonObject>({ max: MAX_OBJECTS });
    const orders = new LRUCache<string, Order>({ max: MAX_OBJECTS });
    app.post('/api/URLSetup/RegisterIPN', async (c) => {
      const body = await jsonBody(c);
      if (body === undefined || !URL.canParse(fieldText(body, 'url')))
        return c.json(errorBody('invalid_url', 'Invalid URL'));
      const registration = newRegistration(body, context);
      notificationUrls.set(fieldText(registration, 'ipn_id'), registration);
      return c.json(registration);
    });
    app.get('/api/URLSetup/GetIpnList', (c) => c.json([...notificationUrls.values()]));
    app.post('/api/Transactions/SubmitOrderRequest', async (c) => {
      const body = (await jsonBody(c)) ?? {};
      const missing = REQUIRED.find((name) => fieldText(body, name) === '');
      if (missing !== undefined) return c.json(errorBody('invalid_request', `${missing} is required`));
      const registration = notificationUrls.peek(fieldText(body, 'notification_id'));
      if (registration === undefined) return c.json(errorBody('invalid_notification_id', 'Invalid IPN URL ID'));
      const order = { body, trackingId: randomUuid(context.random), createdAtMs: context.clock.now() };
      orders.set(order.trackingId, order);
      context.callbacks.send(fieldText(registration, 'url'), () => notification(order));
      return c.json(submittedOrder(order));
    });
    app.get('/api/Transactions/GetTransactionStatus', (c) => {
      const order = orders.peek(c.req.query('orderTrackingId') ?? '');
      return c.json(
        order === undefined ? errorBody('payment_details_not_found', 'Pending Payment') : orderStatus(order, context),
      );
    });
    app.all('*', (c) => c.json({ message: 'No HTTP resource was found that matches the request URI' }, 404));
    return app;
  },
};

function newRegistration(body: JsonObject, { random, clock }: ApiContext): JsonObject {
  const method = fieldText(body, 'ipn_notification_type') || 'GET';
  return {
    url: fieldText(body, 'url'),
    created_date: isoTime(clock.now()),
    ipn_id: randomUuid(random),
    notification_type: method === 'POST' ? 1 : 0,
    ipn_notification_type_description: method,
    ipn_status: 1,
    ipn_status_description: 'Active',
    error: null,
    status: '200',
  };
}

function submittedOrder({ body, trackingId }: Order): JsonObject {
  return {
    order_tracking_id: trackingId,
    merchant_reference: fieldText(body, 'id'),
    redirect_url: `https://pesapal.invalid/iframe?OrderTrackingId=${trackingId}`,
    error: null,
    status: '200',
  };
}

function notification({ body, trackingId }: Order): JsonObject {
  return {
    OrderNotificationType: 'IPNCHANGE',
    OrderTrackingId: trackingId,
    OrderMerchantReference: fieldText(body, 'id'),
  };
}

function orderStatus({ body, createdAtMs }: Order, { clock, callbackDelayMs }: ApiContext): JsonObject {
  const isPaid = clock.now() >= createdAtMs + callbackDelayMs;
  return {
    payment_method: isPaid ? 'MpesaKE' : '',
    amount: Number(body['amount']),
    created_date: isoTime(createdAtMs),
    confirmation_code: isPaid ? 'EMULATED01' : '',
    payment_status_description: isPaid ? 'Completed' : 'INVALID',
    status_code: isPaid ? 1 : 0,
    merchant_reference: fieldText(body, 'id'),
    currency: fieldText(body, 'currency'),
    error: null,
    status: '200',
    message: 'Request processed successfully',
  };
}

function errorBody(code: string, message: string): JsonObject {
  return { error: { error_type: 'api_error', code, message }, status: '500' };
}
