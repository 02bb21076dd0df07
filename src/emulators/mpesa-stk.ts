import { LRUCache } from 'lru-cache';
import type { JsonObject } from '../json.ts';
import { type Answer, type EmulatorApp, jsonBody, send, textOf } from './http.ts';
import { digits, eastAfricaStamp } from './ids.ts';
import { darajaError, invalidField, receipt } from './mpesa-fields.ts';
import type { ApiContext } from './special.ts';

const MAX_PUSHES = 1000;
const DONE = 'The service request is processed successfully.';
const LOGIN_FIELDS = ['BusinessShortCode', 'Password', 'Timestamp'];
const PUSH_FIELDS = [
  ...LOGIN_FIELDS,
  'TransactionType',
  'Amount',
  'PartyA',
  'PartyB',
  'PhoneNumber',
  'CallBackURL',
  'AccountReference',
  'TransactionDesc',
];

interface Push {
  readonly merchantRequestId: string;
  readonly checkoutRequestId: string;
  readonly completesAtMs: number;
}

/** The payment prompt on the customer's phone (STK push), always paid after the callback delay, and its query. */
export function addStkPush(app: EmulatorApp, context: ApiContext): void {
  const pushes = new LRUCache<string, Push>({ max: MAX_PUSHES });
  app.post('/mpesa/stkpush/v1/processrequest', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const refusal = refusalOf(body, PUSH_FIELDS, context);
    if (refusal !== undefined) return send(c, refusal);
    const push = newPush(context);
    pushes.set(push.checkoutRequestId, push);
    context.callbacks.send(textOf(body, 'CallBackURL'), () => paidCallback(push, body, context));
    return c.json({
      MerchantRequestID: push.merchantRequestId,
      CheckoutRequestID: push.checkoutRequestId,
      ResponseCode: '0',
      ResponseDescription: 'Success. Request accepted for processing',
      CustomerMessage: 'Success. Request accepted for processing',
    });
  });
  app.post('/mpesa/stkpushquery/v1/query', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const refusal = refusalOf(body, [...LOGIN_FIELDS, 'CheckoutRequestID'], context);
    return send(c, refusal ?? outcomeOf(pushes.peek(textOf(body, 'CheckoutRequestID')), context));
  });
}

function newPush({ clock, random, callbackDelayMs }: ApiContext): Push {
  return {
    merchantRequestId: `${digits(random, 5)}-${digits(random, 8)}-1`,
    checkoutRequestId: `ws_CO_${eastAfricaStamp(clock.now())}${digits(random, 9)}`,
    completesAtMs: clock.now() + callbackDelayMs,
  };
}

function refusalOf(body: JsonObject, fields: readonly string[], { random }: ApiContext): Answer | undefined {
  const invalid = invalidField(random, body, fields);
  if (invalid !== undefined || passwordFits(body)) return invalid;
  return darajaError(random, '500.001.1001', 'Wrong credentials');
}

function outcomeOf(push: Push | undefined, { clock, random }: ApiContext): Answer {
  if (push === undefined) return darajaError(random, '500.001.1001', 'The transaction does not exist');
  if (clock.now() < push.completesAtMs) {
    return darajaError(random, '500.001.1001', 'The transaction is being processed');
  }
  return {
    status: 200,
    body: {
      ResponseCode: '0',
      ResponseDescription: 'The service request has been accepted successfully',
      MerchantRequestID: push.merchantRequestId,
      CheckoutRequestID: push.checkoutRequestId,
      ResultCode: '0',
      ResultDesc: DONE,
    },
  };
}

/** Base64 of short code, passkey and timestamp. Any passkey will do. */
function passwordFits(body: JsonObject): boolean {
  const password = Buffer.from(textOf(body, 'Password'), 'base64').toString();
  return password.startsWith(textOf(body, 'BusinessShortCode')) && password.endsWith(textOf(body, 'Timestamp'));
}

/** `ResultCode` is a number here and a string in the query's answer, as with the real one. */
function paidCallback(push: Push, body: JsonObject, { clock, random }: ApiContext): JsonObject {
  const item = [
    { Name: 'Amount', Value: Number(textOf(body, 'Amount')) },
    { Name: 'MpesaReceiptNumber', Value: receipt(random) },
    { Name: 'TransactionDate', Value: Number(eastAfricaStamp(clock.now())) },
    { Name: 'PhoneNumber', Value: Number(textOf(body, 'PhoneNumber')) },
  ];
  return {
    Body: {
      stkCallback: {
        MerchantRequestID: push.merchantRequestId,
        CheckoutRequestID: push.checkoutRequestId,
        ResultCode: 0,
        ResultDesc: DONE,
        CallbackMetadata: { Item: item },
      },
    },
  };
}
