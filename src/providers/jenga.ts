import type { Provider } from './provider.ts';
import type { ProviderSignRule } from './sign-rule.ts';

const ACCOUNTS = '/v3-apis/account-api/v3.0';
const REMITTANCE = '/v3-apis/transaction-api/v3.0/remittance';
const TRANSACTIONS = '/v3-apis/transaction-api/v3.0';

/** Calls with a `Signature` header: RSA-SHA256 over these fields, one after the other. */
function signed(fields: string, calls: readonly string[]): ProviderSignRule {
  return {
    when: 'private_key',
    calls,
    values: { signature: { rsa_sha256: fields, key: '{private_key}' } },
    headers: { Signature: '{signature}' },
  };
}

export const jenga: Provider = {
  name: 'jenga',
  title: 'Jenga API (Equity Bank, Finserve)',
  sources: [
    'Jenga documentation, "Developer Quickstart" (https://developer.jengahq.io/guides/get-started/developer-quickstart)',
    'Jenga documentation, "Generate Signature" and the signature formula of each API (https://developer.jengahq.io/guides/jenga-api/generate-signature)',
    'Jenga help center, "Making your First Jenga API call" (https://support.jengahq.io)',
    'jenga-apis-sdk, which signs the same fields (https://www.npmjs.com/package/jenga-apis-sdk)',
  ],
  traps: [
    '`expiresIn` is a point in time (ISO 8601), not a number of seconds. A token lives 15 minutes.',
    'The API key is sent only with the token request. API requests carry the token.',
    'Most API requests need a `Signature` header, made from fields of the request. With `private_key`, Wakala signs ' +
      'balances, statements, account inquiries, transaction details, transfers, STK pushes, till and bill payments, and ' +
      'airtime. Other calls keep the `Signature` that the app sends.',
    'The fields are joined without a separator, so the signature of a balance request can fit a transfer. Let each route ' +
      'serve only the calls that its app needs: `allow`.',
    'Amounts are signed exactly as the app sends them: `1000.00` is not `1000`.',
    'The response has a `refreshToken` too. Wakala does not use it and requests tokens with the credentials.',
    'Not confirmed: the signatures of airtime and of account validation, which only the documentation describes. Its ' +
      'example of account validation has a name without spaces; Wakala signs the name as the app sends it.',
    'Not confirmed: transfers to Equitel wallets. Older clients sign `source.accountNumber` first; Wakala signs all ' +
      'wallets as the documentation says.',
    'Not confirmed: the bodies of the responses to wrong credentials and expired tokens. Wakala checks only for status 401.',
  ],
  hosts: {
    sandbox: { api: 'https://uat.finserve.africa' },
    production: { api: 'https://api.finserve.africa' },
  },
  credentials: [
    { name: 'api_key', description: 'API key from "API Keys" in the settings of Jenga HQ', secret: true },
    { name: 'merchant_code', description: 'Merchant code from the same page', secret: false },
    { name: 'consumer_secret', description: 'Consumer secret from the same page', secret: true },
    {
      name: 'private_key',
      description: 'Private key whose public key is on the same page: Wakala signs the calls with it',
      secret: true,
      optional: true,
      kind: 'private_key',
    },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/authentication/api/v3/authenticate/merchant',
      headers: { 'Api-Key': '{api_key}' },
      body: {
        encoding: 'json',
        fields: { merchantCode: '{merchant_code}', consumerSecret: '{consumer_secret}' },
      },
    },
    response: { accessToken: 'accessToken', expiresAt: 'expiresIn' },
  },
  defaultLifetimeS: 900,
  deadToken: [{ status: 401 }],
  headers: [],
  // Clients spell some paths in lower case, as the documentation does in places.
  sign: [
    signed('{path:country}{path:account}', [
      `GET ${ACCOUNTS}/accounts/balances/{country}/{account}`,
      `GET ${ACCOUNTS}/accounts/miniStatement/{country}/{account}`,
      `GET ${ACCOUNTS}/accounts/ministatement/{country}/{account}`,
      `GET ${ACCOUNTS}/accounts/search/{country}/{account}`,
      `GET ${ACCOUNTS}/search/{country}/{account}`,
    ]),
    signed('{json:accountNumber}{json:countryCode}{json:toDate}', [
      `POST ${ACCOUNTS}/accounts/fullStatement`,
      `POST ${ACCOUNTS}/accounts/fullstatement`,
    ]),
    signed('{json:accountId}{json:countryCode}{json:date}', [
      `POST ${ACCOUNTS}/accounts/accountBalance/query`,
      `POST ${ACCOUNTS}/accounts/accountbalance/query`,
    ]),
    signed('{json:countryCode}{json:accountNumber}{json:accountFullName}', [`POST ${ACCOUNTS}/account/validate`]),
    signed('{path:ref}', [`GET ${TRANSACTIONS}/transactions/details/{ref}`]),
    signed('{json:source.accountNumber}{json:transfer.amount}{json:transfer.currencyCode}{json:transfer.reference}', [
      `POST ${REMITTANCE}/internalBankTransfer`,
      `POST ${REMITTANCE}/internalBankTransfer/imt`,
    ]),
    signed('{json:transfer.amount}{json:transfer.currencyCode}{json:transfer.reference}{json:source.accountNumber}', [
      `POST ${REMITTANCE}/sendmobile`,
      `POST ${REMITTANCE}/sendmobile/imt`,
    ]),
    signed(
      '{json:transfer.amount}{json:transfer.currencyCode}{json:transfer.reference}{json:destination.name}{json:source.accountNumber}',
      [
        `POST ${REMITTANCE}/pesalinkacc`,
        `POST ${REMITTANCE}/pesalinkacc/imt`,
        `POST ${REMITTANCE}/pesalinkMobile`,
        `POST ${REMITTANCE}/pesalinkmobile`,
        `POST ${REMITTANCE}/pesalinkMobile/imt`,
      ],
    ),
    signed(
      '{json:transfer.reference}{json:transfer.date}{json:source.accountNumber}{json:destination.accountNumber}{json:transfer.amount}',
      [`POST ${REMITTANCE}/rtgs`, `POST ${REMITTANCE}/swift`],
    ),
    signed(
      '{json:merchant.accountNumber}{json:payment.ref}{json:payment.mobileNumber}{json:payment.telco}{json:payment.amount}{json:payment.currency}',
      ['POST /v3-apis/payment-api/v3.0/stkussdpush/initiate'],
    ),
    signed(
      '{json:order.orderReference}{json:payment.paymentCurrency}{json:payment.details.msisdn}{json:payment.details.paymentAmount}',
      ['POST /api-checkout/mpesa-stk-push/v3.0/init'],
    ),
    signed('{json:merchant.till}{json:partner.id}{json:payment.amount}{json:payment.currency}{json:payment.ref}', [
      `POST ${TRANSACTIONS}/tills/pay`,
    ]),
    signed('{json:biller.billerCode}{json:bill.amount}{json:payer.reference}{json:partnerId}', [
      `POST ${TRANSACTIONS}/bills/pay`,
    ]),
    signed('{json:airtime.telco}{json:airtime.amount}{json:airtime.reference}', [`POST ${TRANSACTIONS}/airtime`]),
  ],
  tokenPaths: [{ method: 'POST', path: '/authentication/api/v3/authenticate/merchant' }],
  // Its example in the documentation has no signature.
  readOnlyCall: {
    path: `${TRANSACTIONS}/billers`,
    source:
      'Jenga documentation, "Get All Billers" (https://developer.jengahq.io/api-explorer/receive-money-queries/get-all-billers)',
  },
  samples: {
    tokenResponse: {
      accessToken: '',
      refreshToken: 'emulated',
      expiresIn: '2026-01-01T09:15:00Z',
      issuedAt: '2026-01-01T09:00:00Z',
      tokenType: 'Bearer',
    },
    tokenFormat: 'jwt',
    accessLifetimeS: 900,
    deniedResponse: {
      status: 401,
      body: { status: false, code: 401, message: 'Invalid merchant credentials' },
    },
    deadTokenResponse: { status: 401, body: { status: false, code: 401, message: 'Invalid or expired token' } },
    // Needs no signature, so it works without a private key.
    call: { method: 'GET', path: `${TRANSACTIONS}/billers` },
  },
};
