import { verify } from 'node:crypto';
import { Hono } from 'hono';
import { type JsonObject, valueAt } from '../json.ts';
import { EMULATED_PUBLIC_KEY } from './emulated-keys.ts';
import {
  type ApiContext,
  echo,
  type EmulatedResponse,
  type EmulatorContext,
  type EmulatorEnv,
  type ProviderEmulator,
  randomDigits,
  sendRefusal,
} from './provider-emulator.ts';

/** Jenga: checks the `Signature` of the calls that have one. */
export const jenga: ProviderEmulator = {
  summary:
    'checks the `Signature` of each call that needs one, with or without `private_key` on the route. Balances, ' +
    'statements, transfers and payments succeed at once. Unknown transfers get 404. Other calls are returned: method, path, query and body.',
  api: (context) => {
    const app = new Hono<EmulatorEnv>();
    for (const call of SIGNED_CALLS) app.on(call.method, [...call.paths], (c) => respond(c, call, context));
    app.get('/v3-apis/transaction-api/v3.0/billers', (c) =>
      c.json(success({ billers: [{ name: 'Emulated biller', code: '320320' }] })),
    );
    // Jenga has no other transfers. An echo would look as if one had worked.
    app.all(`${REMITTANCE}/*`, (c) => c.notFound());
    app.all('*', echo);
    return app;
  },
};

interface SignedCall {
  readonly method: 'GET' | 'POST';
  /** A segment that begins with a colon matches any segment. */
  readonly paths: readonly string[];
  /** What is signed, one after the other: segments of the path, or dotted paths into the JSON body. */
  readonly fields: readonly string[];
  /** `data` of the response. */
  readonly data: (context: ApiContext) => JsonObject;
}

const ACCOUNTS = '/v3-apis/account-api/v3.0';
const TRANSACTIONS = '/v3-apis/transaction-api/v3.0';
const REMITTANCE = `${TRANSACTIONS}/remittance`;

const balances = () => ({
  balances: [
    { amount: '100000.00', type: 'Available' },
    { amount: '100000.00', type: 'Current' },
  ],
  currency: 'KES',
});
const statement = () => ({ currency: 'KES', balance: 100000, transactions: [] });
const account = () => ({ account: { currency: 'KES', status: 'Active' } });
const transaction = ({ random }: ApiContext) => ({ transactionId: randomDigits(random, 14), status: 'SUCCESS' });

const SIGNED_CALLS: readonly SignedCall[] = [
  {
    method: 'GET',
    paths: [`${ACCOUNTS}/accounts/balances/:country/:account`],
    fields: [':country', ':account'],
    data: balances,
  },
  {
    method: 'GET',
    paths: ['miniStatement', 'ministatement'].map((name) => `${ACCOUNTS}/accounts/${name}/:country/:account`),
    fields: [':country', ':account'],
    data: statement,
  },
  {
    method: 'GET',
    paths: [`${ACCOUNTS}/accounts/search/:country/:account`, `${ACCOUNTS}/search/:country/:account`],
    fields: [':country', ':account'],
    data: account,
  },
  {
    method: 'POST',
    paths: [`${ACCOUNTS}/accounts/fullStatement`, `${ACCOUNTS}/accounts/fullstatement`],
    fields: ['accountNumber', 'countryCode', 'toDate'],
    data: statement,
  },
  {
    method: 'POST',
    paths: [`${ACCOUNTS}/accounts/accountBalance/query`, `${ACCOUNTS}/accounts/accountbalance/query`],
    fields: ['accountId', 'countryCode', 'date'],
    data: balances,
  },
  {
    method: 'POST',
    paths: [`${ACCOUNTS}/account/validate`],
    fields: ['countryCode', 'accountNumber', 'accountFullName'],
    data: account,
  },
  { method: 'GET', paths: [`${TRANSACTIONS}/transactions/details/:ref`], fields: [':ref'], data: transaction },
  {
    method: 'POST',
    paths: [`${REMITTANCE}/internalBankTransfer`, `${REMITTANCE}/internalBankTransfer/imt`],
    fields: ['source.accountNumber', 'transfer.amount', 'transfer.currencyCode', 'transfer.reference'],
    data: transaction,
  },
  {
    method: 'POST',
    paths: [`${REMITTANCE}/sendmobile`, `${REMITTANCE}/sendmobile/imt`],
    fields: ['transfer.amount', 'transfer.currencyCode', 'transfer.reference', 'source.accountNumber'],
    data: transaction,
  },
  {
    method: 'POST',
    paths: ['pesalinkacc', 'pesalinkacc/imt', 'pesalinkMobile', 'pesalinkmobile', 'pesalinkMobile/imt'].map(
      (name) => `${REMITTANCE}/${name}`,
    ),
    fields: [
      'transfer.amount',
      'transfer.currencyCode',
      'transfer.reference',
      'destination.name',
      'source.accountNumber',
    ],
    data: transaction,
  },
  {
    method: 'POST',
    paths: [`${REMITTANCE}/rtgs`, `${REMITTANCE}/swift`],
    fields: [
      'transfer.reference',
      'transfer.date',
      'source.accountNumber',
      'destination.accountNumber',
      'transfer.amount',
    ],
    data: transaction,
  },
  {
    method: 'POST',
    paths: ['/v3-apis/payment-api/v3.0/stkussdpush/initiate'],
    fields: [
      'merchant.accountNumber',
      'payment.ref',
      'payment.mobileNumber',
      'payment.telco',
      'payment.amount',
      'payment.currency',
    ],
    data: transaction,
  },
  {
    method: 'POST',
    paths: ['/api-checkout/mpesa-stk-push/v3.0/init'],
    fields: [
      'order.orderReference',
      'payment.paymentCurrency',
      'payment.details.msisdn',
      'payment.details.paymentAmount',
    ],
    data: transaction,
  },
  {
    method: 'POST',
    paths: [`${TRANSACTIONS}/tills/pay`],
    fields: ['merchant.till', 'partner.id', 'payment.amount', 'payment.currency', 'payment.ref'],
    data: transaction,
  },
  {
    method: 'POST',
    paths: [`${TRANSACTIONS}/bills/pay`],
    fields: ['biller.billerCode', 'bill.amount', 'payer.reference', 'partnerId'],
    data: transaction,
  },
  {
    method: 'POST',
    paths: [`${TRANSACTIONS}/airtime`],
    fields: ['airtime.telco', 'airtime.amount', 'airtime.reference'],
    data: transaction,
  },
];

async function respond(c: EmulatorContext, call: SignedCall, context: ApiContext): Promise<Response> {
  const body = parsedAsSent(await c.req.text());
  const texts = call.fields.map((field) =>
    field.startsWith(':') ? c.req.param(field.slice(1)) : valueAt(body, field),
  );
  const missing = call.fields.find((_, index) => typeof texts[index] !== 'string');
  if (missing !== undefined) return sendRefusal(c, failure(400, 'Invalid request parameters'), `no ${missing}`);
  const signature = c.req.header('signature');
  if (signature === undefined) {
    return sendRefusal(c, INVALID_SIGNATURE, 'no Signature header; private_key on the route makes Wakala sign');
  }
  const isValid = verify('sha256', Buffer.from(texts.join('')), EMULATED_PUBLIC_KEY, Buffer.from(signature, 'base64'));
  if (!isValid) {
    const reason = `Signature is not that of ${call.fields.join(' + ')} with the emulated private key`;
    return sendRefusal(c, INVALID_SIGNATURE, reason);
  }
  return c.json(success(call.data(context)));
}

/** The JSON body with numbers as text, because amounts are signed as they were sent. Undefined if it is not JSON. */
function parsedAsSent(text: string): unknown {
  type Reviver = (key: string, value: unknown, context: { readonly source: string }) => unknown;
  const keepNumbers: Reviver = (_key, value, { source }) => (typeof value === 'number' ? source : value);
  try {
    return JSON.parse(text, keepNumbers as Parameters<typeof JSON.parse>[1]);
  } catch {
    return undefined;
  }
}

function success(data: JsonObject): JsonObject {
  return { status: true, code: 0, message: 'success', data };
}

function failure(code: number, message: string): EmulatedResponse {
  return { status: 400, body: { status: false, code, message } };
}

const INVALID_SIGNATURE = failure(900100, 'Invalid Signature');
