import { Hono } from 'hono';
import { LRUCache } from 'lru-cache';
import type { JsonObject, JsonValue } from '../json.ts';
import { decryptedPkcs1 } from './emulated-keys.ts';
import type { Random } from './issuer.ts';
import {
  type ApiContext,
  eastAfricaTimestamp,
  type EmulatedResponse,
  type EmulatorApp,
  type EmulatorEnv,
  fieldText,
  jsonBody,
  type ProviderEmulator,
  randomDigits,
  sendJson,
  sendRefusal,
} from './provider-emulator.ts';

/** Safaricom Daraja. Every request with the right credentials succeeds after the callback delay and sends its callback. */
export const mpesa: ProviderEmulator = {
  summary:
    'has STK push and its query, C2B, B2C, B2Pochi, B2B, tax remittance, balance, status and reversal. It checks ' +
    '`Password` and decrypts `SecurityCredential`. Results and confirmations are sent to the callback URLs of the call ' +
    'after half a second. A new token invalidates the previous one.',
  singleToken: true,
  // C2B has a different error code for a dead token.
  deadTokenResponse: (path) =>
    path.startsWith('/mpesa/c2b/')
      ? {
          status: 400,
          body: { requestId: '11728-2929992-1', errorCode: '400.003.01', errorMessage: 'Invalid Access Token' },
        }
      : undefined,
  malformedRequestResponse: (reason, random) =>
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
    app.all('*', (c) => sendJson(c, darajaError(context.random, '404.001.01', 'Resource not found')));
    return app;
  },
};

const MAX_PUSHES = 1000;
const SUCCESS_DESCRIPTION = 'The service request is processed successfully.';
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

/** The payment prompt on the customer's phone (STK push) and its query. Every push is paid after the callback delay. */
function addStkPush(app: EmulatorApp, context: ApiContext): void {
  const pushes = new LRUCache<string, Push>({ max: MAX_PUSHES });
  app.post('/mpesa/stkpush/v1/processrequest', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const error = stkPushError(body, PUSH_FIELDS, context);
    if (error !== undefined) return sendRefusal(c, error, error.reason);
    const push = newPush(context);
    pushes.set(push.checkoutRequestId, push);
    context.callbacks.send(fieldText(body, 'CallBackURL'), () => stkPushCallback(push, body, context));
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
    const error = stkPushError(body, [...LOGIN_FIELDS, 'CheckoutRequestID'], context);
    if (error !== undefined) return sendRefusal(c, error, error.reason);
    return sendJson(c, stkPushStatus(pushes.peek(fieldText(body, 'CheckoutRequestID')), context));
  });
}

function newPush({ clock, random, callbackDelayMs }: ApiContext): Push {
  return {
    merchantRequestId: `${randomDigits(random, 5)}-${randomDigits(random, 8)}-1`,
    checkoutRequestId: `ws_CO_${eastAfricaTimestamp(clock.now())}${randomDigits(random, 9)}`,
    completesAtMs: clock.now() + callbackDelayMs,
  };
}

function stkPushError(
  body: JsonObject,
  fields: readonly string[],
  { random, credentials }: ApiContext,
): Refusal | undefined {
  const invalid = invalidField(random, body, fields);
  if (invalid !== undefined) return invalid;
  const [shortCode, timestamp] = [fieldText(body, 'BusinessShortCode'), fieldText(body, 'Timestamp')];
  const password = `${shortCode}${credentials.get('passkey')?.reveal() ?? ''}${timestamp}`;
  if (fieldText(body, 'Password') === Buffer.from(password).toString('base64')) return undefined;
  return {
    ...darajaError(random, '500.001.1001', 'Wrong credentials'),
    reason: 'Password is not base64 of BusinessShortCode, the emulated passkey and Timestamp',
  };
}

function stkPushStatus(push: Push | undefined, { clock, random }: ApiContext): EmulatedResponse {
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
      ResultDesc: SUCCESS_DESCRIPTION,
    },
  };
}

/** `ResultCode` is a number here and a string in the response of the query, as in the real API. */
function stkPushCallback(push: Push, body: JsonObject, { clock, random }: ApiContext): JsonObject {
  const item = [
    { Name: 'Amount', Value: Number(fieldText(body, 'Amount')) },
    { Name: 'MpesaReceiptNumber', Value: receiptNumber(random) },
    { Name: 'TransactionDate', Value: Number(eastAfricaTimestamp(clock.now())) },
    { Name: 'PhoneNumber', Value: Number(fieldText(body, 'PhoneNumber')) },
  ];
  return {
    Body: {
      stkCallback: {
        MerchantRequestID: push.merchantRequestId,
        CheckoutRequestID: push.checkoutRequestId,
        ResultCode: 0,
        ResultDesc: SUCCESS_DESCRIPTION,
        CallbackMetadata: { Item: item },
      },
    },
  };
}

const MAX_SHORT_CODES = 1000;

/** Customer to business: every simulated payment is reported to the registered confirmation URL. */
function addC2b(app: EmulatorApp, context: ApiContext): void {
  const { random, callbacks } = context;
  const confirmationUrls = new LRUCache<string, string>({ max: MAX_SHORT_CODES });
  const accepted = (description: string) => ({
    // Daraja's spelling.
    OriginatorCoversationID: `${randomDigits(random, 5)}-${randomDigits(random, 8)}-1`,
    ResponseCode: '0',
    ResponseDescription: description,
  });

  app.post('/mpesa/c2b/:version{v[12]}/registerurl', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const error = invalidField(random, body, ['ShortCode', 'ResponseType', 'ConfirmationURL', 'ValidationURL']);
    if (error !== undefined) return sendRefusal(c, error, error.reason);
    confirmationUrls.set(fieldText(body, 'ShortCode'), fieldText(body, 'ConfirmationURL'));
    return c.json(accepted('Success'));
  });

  app.post('/mpesa/c2b/:version{v[12]}/simulate', async (c) => {
    const body = (await jsonBody(c)) ?? {};
    const error = invalidField(random, body, ['ShortCode', 'CommandID', 'Amount', 'Msisdn']);
    if (error !== undefined) return sendRefusal(c, error, error.reason);
    const url = confirmationUrls.get(fieldText(body, 'ShortCode'));
    if (url !== undefined) callbacks.send(url, () => c2bConfirmation(body, context));
    return c.json(accepted('Accept the service request successfully.'));
  });
}

function c2bConfirmation(body: JsonObject, { clock, random }: ApiContext): JsonObject {
  return {
    TransactionType: fieldText(body, 'CommandID') === 'CustomerBuyGoodsOnline' ? 'Buy Goods' : 'Pay Bill',
    TransID: receiptNumber(random),
    TransTime: eastAfricaTimestamp(clock.now()),
    TransAmount: Number(fieldText(body, 'Amount')).toFixed(2),
    BusinessShortCode: fieldText(body, 'ShortCode'),
    BillRefNumber: fieldText(body, 'BillRefNumber'),
    InvoiceNumber: '',
    OrgAccountBalance: '',
    ThirdPartyTransID: '',
    MSISDN: fieldText(body, 'Msisdn'),
    FirstName: 'Emulated',
    MiddleName: '',
    LastName: 'Customer',
  };
}

/** A command that is accepted at once. Its result is sent to its `ResultURL`. */
interface Command {
  readonly path: string;
  readonly required: readonly string[];
  /** The result parameters. */
  readonly result: (body: JsonObject, transactionId: string, timestamp: string) => Readonly<Record<string, JsonValue>>;
}

const RESULT_FIELDS = ['Remarks', 'QueueTimeOutURL', 'ResultURL'];
const PAYMENT_FIELDS = ['SecurityCredential', 'CommandID', 'Amount', 'PartyA', 'PartyB', ...RESULT_FIELDS];
const ORDER_FIELDS = ['Initiator', 'SecurityCredential', 'CommandID'];

const b2cResult: Command['result'] = (body, transactionId, timestamp) => ({
  TransactionAmount: Number(fieldText(body, 'Amount')),
  TransactionReceipt: transactionId,
  B2CRecipientIsRegisteredCustomer: 'Y',
  ReceiverPartyPublicName: `${fieldText(body, 'PartyB')} - Emulated Customer`,
  TransactionCompletedDateTime: timestamp,
});

const b2bResult: Command['result'] = (body, _transactionId, timestamp) => ({
  Amount: fieldText(body, 'Amount'),
  TransCompletedTime: timestamp,
  ReceiverPartyPublicName: `${fieldText(body, 'PartyB')} - Emulated Business`,
  Currency: 'KES',
});

const COMMANDS: readonly Command[] = [
  { path: '/mpesa/b2c/v1/paymentrequest', required: ['InitiatorName', ...PAYMENT_FIELDS], result: b2cResult },
  {
    path: '/mpesa/b2c/v3/paymentrequest',
    required: ['OriginatorConversationID', 'InitiatorName', ...PAYMENT_FIELDS],
    result: b2cResult,
  },
  {
    path: '/mpesa/b2pochi/v1/paymentrequest',
    required: ['OriginatorConversationID', 'InitiatorName', ...PAYMENT_FIELDS],
    result: b2cResult,
  },
  { path: '/mpesa/b2b/v1/paymentrequest', required: ['Initiator', ...PAYMENT_FIELDS], result: b2bResult },
  {
    path: '/mpesa/b2b/v1/remittax',
    required: ['Initiator', 'AccountReference', ...PAYMENT_FIELDS],
    result: b2bResult,
  },
  {
    path: '/mpesa/accountbalance/v1/query',
    required: [...ORDER_FIELDS, 'PartyA', 'IdentifierType', ...RESULT_FIELDS],
    result: (_body, _transactionId, timestamp) => ({
      AccountBalance: 'Working Account|KES|100000.00|100000.00|0.00|0.00&Utility Account|KES|0.00|0.00|0.00|0.00',
      BOCompletedTime: timestamp,
    }),
  },
  {
    path: '/mpesa/transactionstatus/v1/query',
    required: [...ORDER_FIELDS, 'TransactionID', 'PartyA', 'IdentifierType', 'QueueTimeOutURL', 'ResultURL'],
    result: (body, _transactionId, timestamp) => ({
      ReceiptNo: fieldText(body, 'TransactionID'),
      TransactionStatus: 'Completed',
      FinalisedTime: timestamp,
    }),
  },
  {
    path: '/mpesa/reversal/v1/request',
    required: [...ORDER_FIELDS, 'TransactionID', 'Amount', 'ReceiverParty', ...RESULT_FIELDS],
    result: (body, _transactionId, timestamp) => ({
      OriginalTransactionID: fieldText(body, 'TransactionID'),
      Amount: Number(fieldText(body, 'Amount')),
      TransCompletedTime: timestamp,
    }),
  },
];

/** As in the real API, a command with a wrong initiator or password is accepted, and its result says that it failed. */
function addCommands(app: EmulatorApp, context: ApiContext): void {
  for (const command of COMMANDS) {
    app.post(command.path, async (c) => {
      const body = (await jsonBody(c)) ?? {};
      const error = invalidField(context.random, body, command.required);
      if (error !== undefined) return sendRefusal(c, error, error.reason);
      const reason = initiatorError(command, body, context.credentials);
      const ids = {
        ConversationID: `AG_${eastAfricaTimestamp(context.clock.now()).slice(0, 8)}_${context.random(10).toString('hex')}`,
        OriginatorConversationID:
          fieldText(body, 'OriginatorConversationID') ||
          `${randomDigits(context.random, 5)}-${randomDigits(context.random, 8)}-1`,
      };
      context.callbacks.send(fieldText(body, 'ResultURL'), () =>
        reason === undefined ? commandResult(command, body, ids, context) : failedResult(body, ids, context),
      );
      const accepted = { ...ids, ResponseCode: '0', ResponseDescription: 'Accept the service request successfully.' };
      return reason === undefined ? c.json(accepted) : sendRefusal(c, { status: 200, body: accepted }, reason);
    });
  }
}

/** Why the initiator or its password is not the emulated one; undefined if both are. */
function initiatorError(
  { required }: Command,
  body: JsonObject,
  credentials: ApiContext['credentials'],
): string | undefined {
  const name = required.includes('InitiatorName') ? 'InitiatorName' : 'Initiator';
  if (fieldText(body, name) !== credentials.get('initiator')?.reveal()) return `${name} is not the emulated initiator`;
  const password = decryptedPkcs1(fieldText(body, 'SecurityCredential'));
  if (password === undefined)
    return 'SecurityCredential is not encrypted with the emulated certificate and PKCS #1 v1.5 padding';
  if (password.toString() === credentials.get('initiator_password')?.reveal()) return undefined;
  return 'SecurityCredential is not the emulated initiator password';
}

function commandResult(command: Command, body: JsonObject, ids: JsonObject, { clock, random }: ApiContext): JsonObject {
  const transactionId = receiptNumber(random);
  const named = Object.entries(command.result(body, transactionId, eastAfricaTimestamp(clock.now())));
  return {
    Result: {
      ResultType: 0,
      ResultCode: 0,
      ResultDesc: 'The service request is processed successfully.',
      ...ids,
      TransactionID: transactionId,
      ResultParameters: { ResultParameter: named.map(([Key, Value]) => ({ Key, Value })) },
      ReferenceData: { ReferenceItem: { Key: 'QueueTimeoutURL', Value: fieldText(body, 'QueueTimeOutURL') } },
    },
  };
}

/** The result of a command with a wrong initiator or password. */
function failedResult(body: JsonObject, ids: JsonObject, { random }: ApiContext): JsonObject {
  return {
    Result: {
      ResultType: 0,
      ResultCode: 2001,
      ResultDesc: 'The initiator information is invalid.',
      ...ids,
      TransactionID: receiptNumber(random),
      ReferenceData: { ReferenceItem: { Key: 'QueueTimeoutURL', Value: fieldText(body, 'QueueTimeOutURL') } },
    },
  };
}

interface Refusal extends EmulatedResponse {
  readonly reason: string;
}

/** An error in Daraja's format. The code begins with the HTTP status. */
function darajaError(random: Random, errorCode: string, errorMessage: string): EmulatedResponse {
  const requestId = `${randomDigits(random, 5)}-${randomDigits(random, 8)}-1`;
  return { status: Number(errorCode.slice(0, 3)), body: { requestId, errorCode, errorMessage } };
}

/** Patterns of required fields. A required field that is not listed must only be present. */
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

/** Daraja's error for the first field that is missing or invalid; undefined if all are valid. */
function invalidField(random: Random, body: JsonObject, names: readonly string[]): Refusal | undefined {
  const invalid = names.find((name) => !(FORMATS[name] ?? /./).test(fieldText(body, name)));
  if (invalid === undefined) return undefined;
  return {
    ...darajaError(random, '400.002.02', `Bad Request - Invalid ${invalid}`),
    reason: `${invalid} is missing or malformed`,
  };
}

/** Ten letters and digits, like an M-Pesa receipt number. */
function receiptNumber(random: Random): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  return [...random(10)].map((byte) => letters[byte % letters.length]).join('');
}
