import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject, JsonValue } from '../json.ts';
import type { Random } from './issuer.ts';
import {
  type Answer,
  type ApiContext,
  digits,
  eastAfricaStamp,
  type EmulatorApp,
  type EmulatorEnv,
  jsonBody,
  type ProviderEmulator,
  send,
  textOf,
} from './provider-emulator.ts';

/** An error in Daraja's form. The status stands in front of the code. */
function darajaError(random: Random, errorCode: string, errorMessage: string): Answer {
  const requestId = `${digits(random, 5)}-${digits(random, 8)}-1`;
  return { status: Number(errorCode.slice(0, 3)), body: { requestId, errorCode, errorMessage } };
}

/** What a field may hold, by its name. Others need only be there. */
const FORMATS: Readonly<Record<string, RegExp>> = {
  Amount: /^[1-9]\d*(?:\.\d+)?$/,
  BusinessShortCode: /^\d{5,7}$/,
  ShortCode: /^\d{5,7}$/,
  Timestamp: /^\d{14}$/,
  PhoneNumber: /^254[17]\d{8}$/,
  Msisdn: /^254[17]\d{8}$/,
  CallBackURL: /^https?:\/\/.+/,
  ResultURL: /^https?:\/\/.+/,
  QueueTimeOutURL: /^https?:\/\/.+/,
  ConfirmationURL: /^https?:\/\/.+/,
  ValidationURL: /^https?:\/\/.+/,
};

/** Daraja's answer to the first of these fields that is missing or wrong; undefined if all is well. */
function invalidField(random: Random, body: JsonObject, names: readonly string[]): Answer | undefined {
  const wrong = names.find((name) => !(FORMATS[name] ?? /./).test(textOf(body, name)));
  return wrong === undefined ? undefined : darajaError(random, '400.002.02', `Bad Request - Invalid ${wrong}`);
}

/** Ten characters like those of an M-Pesa receipt. */
function receipt(random: Random): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  return [...random(10)].map((byte) => letters[byte % letters.length]).join('');
}

const MAX_SHORT_CODES = 1000;

/** Customer to business: a registered confirmation URL hears of every simulated payment. */
function addC2b(app: EmulatorApp, context: ApiContext): void {
  const { random, callbacks } = context;
  const confirmationUrls = new LRUCache<string, string>({ max: MAX_SHORT_CODES });
  const accepted = (description: string) => ({
    // Daraja spells it so.
    OriginatorCoversationID: `${digits(random, 5)}-${digits(random, 8)}-1`,
    ResponseCode: '0',
    ResponseDescription: description,
  });

  app.post('/mpesa/c2b/:version{v[12]}/registerurl', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const refusal = invalidField(random, body, ['ShortCode', 'ResponseType', 'ConfirmationURL', 'ValidationURL']);
    if (refusal !== undefined) return send(c, refusal);
    confirmationUrls.set(textOf(body, 'ShortCode'), textOf(body, 'ConfirmationURL'));
    return c.json(accepted('Success'));
  });

  app.post('/mpesa/c2b/:version{v[12]}/simulate', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const refusal = invalidField(random, body, ['ShortCode', 'CommandID', 'Amount', 'Msisdn']);
    if (refusal !== undefined) return send(c, refusal);
    const url = confirmationUrls.get(textOf(body, 'ShortCode'));
    if (url !== undefined) callbacks.send(url, () => confirmation(body, context));
    return c.json(accepted('Accept the service request successfully.'));
  });
}

function confirmation(body: JsonObject, { clock, random }: ApiContext): JsonObject {
  return {
    TransactionType: textOf(body, 'CommandID') === 'CustomerBuyGoodsOnline' ? 'Buy Goods' : 'Pay Bill',
    TransID: receipt(random),
    TransTime: eastAfricaStamp(clock.now()),
    TransAmount: Number(textOf(body, 'Amount')).toFixed(2),
    BusinessShortCode: textOf(body, 'ShortCode'),
    BillRefNumber: textOf(body, 'BillRefNumber'),
    InvoiceNumber: '',
    OrgAccountBalance: '',
    ThirdPartyTransID: '',
    MSISDN: textOf(body, 'Msisdn'),
    FirstName: 'Emulated',
    MiddleName: '',
    LastName: 'Customer',
  };
}

/** A command that is accepted at once and whose outcome comes to its `ResultURL`. */
interface Command {
  readonly path: string;
  readonly required: readonly string[];
  /** The named values of the outcome. */
  readonly result: (body: JsonObject, transactionId: string, stamp: string) => Readonly<Record<string, JsonValue>>;
}

const REPLY_FIELDS = ['Remarks', 'QueueTimeOutURL', 'ResultURL'];
const PAYMENT_FIELDS = ['SecurityCredential', 'CommandID', 'Amount', 'PartyA', 'PartyB', ...REPLY_FIELDS];
const ORDER_FIELDS = ['Initiator', 'SecurityCredential', 'CommandID'];

const b2cResult: Command['result'] = (body, transactionId, stamp) => ({
  TransactionAmount: Number(textOf(body, 'Amount')),
  TransactionReceipt: transactionId,
  B2CRecipientIsRegisteredCustomer: 'Y',
  ReceiverPartyPublicName: `${textOf(body, 'PartyB')} - Emulated Customer`,
  TransactionCompletedDateTime: stamp,
});

const COMMANDS: readonly Command[] = [
  { path: '/mpesa/b2c/v1/paymentrequest', required: ['InitiatorName', ...PAYMENT_FIELDS], result: b2cResult },
  {
    path: '/mpesa/b2c/v3/paymentrequest',
    required: ['OriginatorConversationID', 'InitiatorName', ...PAYMENT_FIELDS],
    result: b2cResult,
  },
  {
    path: '/mpesa/b2b/v1/paymentrequest',
    required: ['Initiator', ...PAYMENT_FIELDS],
    result: (body, _transactionId, stamp) => ({
      Amount: textOf(body, 'Amount'),
      TransCompletedTime: stamp,
      ReceiverPartyPublicName: `${textOf(body, 'PartyB')} - Emulated Business`,
      Currency: 'KES',
    }),
  },
  {
    path: '/mpesa/accountbalance/v1/query',
    required: [...ORDER_FIELDS, 'PartyA', 'IdentifierType', ...REPLY_FIELDS],
    result: (_body, _transactionId, stamp) => ({
      AccountBalance: 'Working Account|KES|100000.00|100000.00|0.00|0.00&Utility Account|KES|0.00|0.00|0.00|0.00',
      BOCompletedTime: stamp,
    }),
  },
  {
    path: '/mpesa/transactionstatus/v1/query',
    required: [...ORDER_FIELDS, 'TransactionID', 'PartyA', 'IdentifierType', 'QueueTimeOutURL', 'ResultURL'],
    result: (body, _transactionId, stamp) => ({
      ReceiptNo: textOf(body, 'TransactionID'),
      TransactionStatus: 'Completed',
      FinalisedTime: stamp,
    }),
  },
  {
    path: '/mpesa/reversal/v1/request',
    required: [...ORDER_FIELDS, 'TransactionID', 'Amount', 'ReceiverParty', ...REPLY_FIELDS],
    result: (body, _transactionId, stamp) => ({
      OriginalTransactionID: textOf(body, 'TransactionID'),
      Amount: Number(textOf(body, 'Amount')),
      TransCompletedTime: stamp,
    }),
  },
];

/** B2C, B2B, balance, status and reversal: all of them succeed. */
function addCommands(app: EmulatorApp, context: ApiContext): void {
  for (const command of COMMANDS) {
    app.post(command.path, async (c) => {
      const body = (await jsonBody(c)) ?? {};
      const refusal = invalidField(context.random, body, command.required);
      if (refusal !== undefined) return send(c, refusal);
      const ids = {
        ConversationID: `AG_${eastAfricaStamp(context.clock.now()).slice(0, 8)}_${context.random(10).toString('hex')}`,
        OriginatorConversationID:
          textOf(body, 'OriginatorConversationID') || `${digits(context.random, 5)}-${digits(context.random, 8)}-1`,
      };
      context.callbacks.send(textOf(body, 'ResultURL'), () => outcome(command, body, ids, context));
      return c.json({
        ...ids,
        ResponseCode: '0',
        ResponseDescription: 'Accept the service request successfully.',
      });
    });
  }
}

function outcome(command: Command, body: JsonObject, ids: JsonObject, { clock, random }: ApiContext): JsonObject {
  const transactionId = receipt(random);
  const named = Object.entries(command.result(body, transactionId, eastAfricaStamp(clock.now())));
  return {
    Result: {
      ResultType: 0,
      ResultCode: 0,
      ResultDesc: 'The service request is processed successfully.',
      ...ids,
      TransactionID: transactionId,
      ResultParameters: { ResultParameter: named.map(([Key, Value]) => ({ Key, Value })) },
      ReferenceData: { ReferenceItem: { Key: 'QueueTimeoutURL', Value: textOf(body, 'QueueTimeOutURL') } },
    },
  };
}

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
function addStkPush(app: EmulatorApp, context: ApiContext): void {
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

/** Safaricom Daraja. Everything it accepts succeeds after the callback delay, and the callback really comes. */
export const mpesa: ProviderEmulator = {
  does:
    'has STK push and its query, C2B, B2C, B2B, balance, status and reversal. Results and confirmations go to the callback ' +
    'addresses of the call after half a second. A new token kills the former one.',
  singleToken: true,
  // C2B has a code of its own for a dead token; all else answers like STK.
  deadAnswer: (path) =>
    path.startsWith('/mpesa/c2b/')
      ? {
          status: 400,
          body: { requestId: '11728-2929992-1', errorCode: '400.003.01', errorMessage: 'Invalid Access Token' },
        }
      : undefined,
  malformedAnswer: (reason, random) =>
    reason.includes('grant_type')
      ? darajaError(random, '400.008.02', 'Invalid grant type passed')
      : darajaError(random, '400.008.01', 'Invalid Authentication passed'),
  firewall: (headers) =>
    headers.has('user-agent')
      ? undefined
      : new Response('<!doctype html><title>Request Rejected</title>The requested URL was rejected.', {
          status: 403,
          headers: { 'content-type': 'text/html' },
        }),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    addStkPush(app, context);
    addC2b(app, context);
    addCommands(app, context);
    app.all('*', (c) => send(c, darajaError(context.random, '404.001.01', 'Resource not found')));
    return app;
  },
};
