import { PRODUCTION_CERTIFICATE, SANDBOX_CERTIFICATE } from './mpesa-certificates.ts';
import type { Provider } from './provider.ts';
import type { DerivedValues } from './sign-rule.ts';

/** The initiator's password alone, encrypted with the key of Safaricom's certificate. */
const SECURITY_CREDENTIAL: DerivedValues = {
  credential: { rsa_encrypt: '{initiator_password}', key: '{certificate}', padding: 'pkcs1' },
};

export const mpesa: Provider = {
  name: 'mpesa',
  title: 'Safaricom Daraja (M-Pesa)',
  sources: [
    'Safaricom Daraja portal, "Authorization" and the API pages',
    'Error codes 404.001.03, 400.003.01 and 401.002.01 as reported by client libraries',
    '`Password` and "Wrong credentials": github.com/safaricom/mpesa-node-library issue 47, github.com/Iankumu/mpesa issue 12',
    '`SecurityCredential` and result 2001: github.com/safaricom/mpesa-php-sdk issue 41, github.com/newtonmunene99/mpesa-api issue 12',
    'Certificates: github.com/safaricom/mpesa-node-library (sandbox), github.com/newtonmunene99/mpesa-api and github.com/BrunoAdul/bagisto-mpesa (production)',
    '`b2pochi` and `remittax`: github.com/kepas-tech/daraja-js, github.com/gabrieldwight/Mpesa-Sdk-Net',
  ],
  traps: [
    '`expires_in` is a string. There is no refresh token.',
    'An expired token does not always get a 401: STK responds with 404 and `404.001.03`, C2B with 400 and `400.003.01`.',
    'An app without the API product gets `404.001.03` too: check the app in the portal.',
    'A new token is reported to invalidate the previous one: use each credential in one Wakala only.',
    '`ResultCode` 4999 of an STK query means that the customer has not responded yet. It is not a failure: do not push again.',
    'A wrong `passkey` gets `500.001.1001` "Wrong credentials". A wrong `initiator`, `initiator_password` or `certificate` is accepted, and the result has `ResultCode` 2001. Repeated attempts lock the initiator (8006).',
    'The built-in certificates have expired. Only their keys are used, so set `certificate` only if Safaricom gives you another one: altered copies circulate.',
    'Whoever may call a route with `initiator_password` can pay out: give payouts a separate route, with `allow` and `clients`.',
    'Not confirmed: that Safaricom checks how old `Timestamp` is.',
    'The real sandbox often sends no callbacks. The emulator sends them to loopback addresses.',
  ],
  hosts: {
    sandbox: { api: 'https://sandbox.safaricom.co.ke' },
    production: { api: 'https://api.safaricom.co.ke' },
  },
  credentials: [
    { name: 'consumer_key', description: 'Consumer key of the app on developer.safaricom.co.ke', secret: true },
    { name: 'consumer_secret', description: 'Consumer secret of the same app', secret: true },
    {
      name: 'passkey',
      description: 'Passkey of the short code for M-Pesa Express (STK push): in the portal, or sent after going live',
      secret: true,
      optional: true,
    },
    {
      name: 'initiator',
      description: 'User name of the API operator on the M-Pesa organization portal',
      secret: false,
      optional: true,
      example: 'testapi',
    },
    { name: 'initiator_password', description: 'Password of the same API operator', secret: true, optional: true },
    {
      name: 'certificate',
      description: "Safaricom's certificate that encrypts the password",
      secret: false,
      optional: true,
      kind: 'public_key',
      default: { sandbox: SANDBOX_CERTIFICATE, production: PRODUCTION_CERTIFICATE },
    },
  ],
  token: {
    request: {
      method: 'GET',
      path: '/oauth/v1/generate',
      query: { grant_type: 'client_credentials' },
      basic: ['{consumer_key}', '{consumer_secret}'],
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  defaultLifetimeS: 3599,
  deadToken: [
    { status: 401 },
    { status: 404, body: { errorCode: '404.001.03' } },
    { status: 400, body: { errorCode: '400.003.01' } },
  ],
  headers: [],
  sign: [
    {
      when: 'passkey',
      calls: ['POST /mpesa/stkpush/v1/processrequest', 'POST /mpesa/stkpushquery/v1/query'],
      values: {
        timestamp: { now: 'yyyyMMddHHmmss', zone: '+03:00' },
        password: { text: '{json:BusinessShortCode}{passkey}{timestamp}', encoding: 'base64' },
      },
      json: { Timestamp: '{timestamp}', Password: '{password}' },
    },
    {
      when: 'initiator_password',
      calls: [
        'POST /mpesa/b2c/v1/paymentrequest',
        'POST /mpesa/b2c/v3/paymentrequest',
        'POST /mpesa/b2pochi/v1/paymentrequest',
      ],
      values: SECURITY_CREDENTIAL,
      json: { InitiatorName: '{initiator}', SecurityCredential: '{credential}' },
    },
    {
      when: 'initiator_password',
      calls: [
        'POST /mpesa/b2b/v1/paymentrequest',
        'POST /mpesa/b2b/v1/remittax',
        'POST /mpesa/reversal/v1/request',
        'POST /mpesa/accountbalance/v1/query',
        'POST /mpesa/transactionstatus/v1/query',
      ],
      values: SECURITY_CREDENTIAL,
      json: { Initiator: '{initiator}', SecurityCredential: '{credential}' },
    },
  ],
  tokenPaths: [{ method: 'GET', path: '/oauth/v1/generate' }],
  samples: {
    tokenResponse: { access_token: '', expires_in: '3599' },
    tokenFormat: 'opaque',
    accessLifetimeS: 3599,
    deniedResponse: {
      status: 400,
      body: {
        requestId: '4801-53-1',
        errorCode: '400.008.01',
        errorMessage: 'Invalid Authentication passed',
      },
    },
    deadTokenResponse: {
      status: 404,
      body: { requestId: '11728-2929992-1', errorCode: '404.001.03', errorMessage: 'Invalid Access Token' },
    },
    call: {
      method: 'POST',
      path: '/mpesa/stkpush/v1/processrequest',
      json: {
        BusinessShortCode: '174379',
        TransactionType: 'CustomerPayBillOnline',
        Amount: '100',
        PartyA: '254700000001',
        PartyB: '174379',
        PhoneNumber: '254700000001',
        CallBackURL: 'http://127.0.0.1:3000/callbacks/mpesa',
        AccountReference: 'INV-1001',
        TransactionDesc: 'Order 1001',
      },
      unsigned: {
        Password: Buffer.from('174379emulated-mpesa-passkey20260101120000').toString('base64'),
        Timestamp: '20260101120000',
      },
    },
  },
};
