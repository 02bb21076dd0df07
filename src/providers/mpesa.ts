import type { Provider } from './provider.ts';

export const mpesa: Provider = {
  name: 'mpesa',
  title: 'Safaricom Daraja (M-Pesa)',
  sources: [
    'Safaricom Daraja portal, "Authorization" and the API pages',
    'Error codes 404.001.03, 400.003.01 and 401.002.01 as reported by client libraries',
  ],
  traps: [
    '`expires_in` is a string. There is no refresh token.',
    'An expired token does not always get a 401: STK responds with 404 and `404.001.03`, C2B with 400 and `400.003.01`.',
    'An app without the API product gets `404.001.03` too: check the app in the portal.',
    'A new token is reported to invalidate the previous one: use each credential in one Wakala only.',
    '`ResultCode` 4999 of an STK query means that the customer has not responded yet. It is not a failure: do not push again.',
    'The real sandbox often sends no callbacks. The emulator sends them to loopback addresses.',
  ],
  hosts: {
    sandbox: { api: 'https://sandbox.safaricom.co.ke' },
    production: { api: 'https://api.safaricom.co.ke' },
  },
  credentials: [
    { name: 'consumer_key', description: 'Consumer key of the app on developer.safaricom.co.ke', secret: true },
    { name: 'consumer_secret', description: 'Consumer secret of the same app', secret: true },
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
        Password: Buffer.from('174379emulated-passkey20260101120000').toString('base64'),
        Timestamp: '20260101120000',
        TransactionType: 'CustomerPayBillOnline',
        Amount: '100',
        PartyA: '254700000001',
        PartyB: '174379',
        PhoneNumber: '254700000001',
        CallBackURL: 'http://127.0.0.1:3000/callbacks/mpesa',
        AccountReference: 'INV-1001',
        TransactionDesc: 'Order 1001',
      },
    },
  },
};
