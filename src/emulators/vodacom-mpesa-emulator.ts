import { Hono } from 'hono';
import type { JsonObject } from '../json.ts';
import { decryptedPkcs1 } from './emulated-keys.ts';
import {
  type ApiContext,
  echo,
  type EmulatedResponse,
  type EmulatorContext,
  type EmulatorEnv,
  fieldText,
  jsonBody,
  type ProviderEmulator,
  randomDigits,
  sendJson,
  sendRefusal,
} from './provider-emulator.ts';

/** Vodacom M-Pesa OpenAPI: decrypts the API key and the session of each request. */
export const vodacomMpesa: ProviderEmulator = {
  summary:
    'decrypts the API key and the session of each request. C2B, B2C and B2B payments and reversals succeed at once, ' +
    'and so does the query of a transaction. A new session works at once. ' +
    'Other calls are returned: method, path, query and body.',
  checkTokenRequest: ({ headers }, { credentials }) => {
    const [, encrypted = ''] = (headers.get('authorization') ?? '').split(' ');
    const reason = encryptionError(encrypted, credentials.get('api_key')?.reveal());
    return reason === undefined ? undefined : { ...failure(400, 'INS-989', 'Session Creation Failed'), reason };
  },
  accessTokenIn: (value) => decryptedPkcs1(value)?.toString(),
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    for (const { method, path, required } of CALLS) {
      app.on(method, [`/ipg/v2/:market${path}`, `/ipg/v2/:market${path}/`], (c) => respond(c, required, context));
    }
    app.all('*', echo);
    return app;
  },
};

const PAYMENT = ['input_Amount', 'input_Country', 'input_Currency', 'input_TransactionReference'];
const CUSTOMER = ['input_CustomerMSISDN', 'input_ServiceProviderCode'];

const CALLS = [
  {
    method: 'POST',
    path: '/c2bPayment/singleStage',
    required: [...PAYMENT, ...CUSTOMER, 'input_PurchasedItemsDesc'],
  },
  { method: 'POST', path: '/b2cPayment', required: [...PAYMENT, ...CUSTOMER, 'input_PaymentItemsDesc'] },
  {
    method: 'POST',
    path: '/b2bPayment',
    required: [...PAYMENT, 'input_PrimaryPartyCode', 'input_ReceiverPartyCode', 'input_PurchasedItemsDesc'],
  },
  {
    method: 'PUT',
    path: '/reversal',
    required: ['input_TransactionID', 'input_Country', 'input_ServiceProviderCode'],
  },
  {
    method: 'GET',
    path: '/queryTransactionStatus',
    required: ['input_QueryReference', 'input_Country', 'input_ServiceProviderCode'],
  },
] as const;

async function respond(
  c: EmulatorContext,
  required: readonly string[],
  { random, credentials }: ApiContext,
): Promise<Response> {
  const market = credentials.get('market')?.reveal() ?? '';
  if (c.req.param('market') !== market) {
    return sendRefusal(c, failure(400, 'INS-998', 'Invalid Market'), `the market is not ${market}`);
  }
  const isQuery = c.req.method === 'GET';
  const input = isQuery ? c.req.query() : ((await jsonBody(c)) ?? {});
  const missing = [...required, 'input_ThirdPartyConversationID'].find((name) => fieldText(input, name) === '');
  if (missing !== undefined) {
    const error = failure(400, 'INS-20', 'Not All Parameters Provided. Please try again.');
    return sendRefusal(c, error, `no ${missing}`);
  }
  const result: JsonObject = {
    output_ResponseCode: 'INS-0',
    output_ResponseDesc: 'Request processed successfully',
    ...(isQuery
      ? { output_ResponseTransactionStatus: 'Completed' }
      : { output_TransactionID: randomDigits(random, 12) }),
    output_ConversationID: random(16).toString('hex'),
    output_ThirdPartyConversationID: fieldText(input, 'input_ThirdPartyConversationID'),
  };
  return sendJson(c, { status: isQuery ? 200 : 201, body: result });
}

/** Why the text is not the encrypted value. */
function encryptionError(encrypted: string, value: string | undefined): string | undefined {
  const decrypted = decryptedPkcs1(encrypted);
  if (decrypted === undefined) return 'Authorization is not encrypted with the emulated key and PKCS #1';
  return decrypted.toString() === value ? undefined : 'Authorization does not hold the emulated API key';
}

function failure(status: number, code: string, text: string): EmulatedResponse {
  return { status, body: { output_ResponseCode: code, output_ResponseDesc: text } };
}
