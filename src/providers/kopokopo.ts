import type { Provider } from './provider.ts';

export const kopokopo: Provider = {
  name: 'kopokopo',
  title: 'Kopo Kopo (K2 Connect)',
  sources: [
    'Kopo Kopo developer guides, "Obtaining an application access token" ' +
      '(https://developers.kopokopo.com/guides/auth/client-credentials-flow.html)',
    'Kopo Kopo developer guides, "Making a request to the Kopo Kopo API" ' +
      '(https://developers.kopokopo.com/guides/auth/using-an-access-token.html)',
  ],
  traps: [
    'There is no refresh token. A token lives one hour.',
    'The response to a payment is a 201 with an empty body and a `Location`, which leads to Wakala (`rewrite_location`).',
    'Requests without a `User-Agent` are rejected. Wakala sends one on token requests. The app must send one on API requests.',
    'Not confirmed: one guide names https://app.kopokopo.com for production tokens, the official clients ' +
      'https://api.kopokopo.com. If the latter fails, set `auth_server`.',
    'Not confirmed: the body of the 401 response to an expired token (`InvalidAccessToken`, `ExpiredAccessToken`). Wakala checks only the status.',
  ],
  hosts: {
    sandbox: { api: 'https://sandbox.kopokopo.com' },
    production: { api: 'https://api.kopokopo.com' },
  },
  credentials: [
    { name: 'client_id', description: 'Application key from the applications page of Kopo Kopo', secret: true },
    { name: 'client_secret', description: 'Application secret from the same page', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/oauth/token',
      body: {
        encoding: 'form',
        fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
      },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/oauth/token' }],
  samples: {
    tokenResponse: { access_token: '', token_type: 'Bearer', expires_in: 3600, created_at: 1_767_258_000 },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedResponse: {
      status: 401,
      body: {
        error: 'invalid_client',
        error_description:
          'Client authentication failed due to unknown client, no client authentication included, or unsupported ' +
          'authentication method.',
      },
    },
    deadTokenResponse: {
      status: 401,
      body: { error: 'ExpiredAccessToken', error_description: 'The access token expired' },
    },
    call: {
      method: 'POST',
      path: '/api/v1/incoming_payments',
      json: {
        payment_channel: 'M-PESA STK Push',
        till_number: 'K000000',
        subscriber: { first_name: 'Ada', last_name: 'Otieno', phone_number: '+254700000001' },
        amount: { currency: 'KES', value: 100 },
        metadata: { reference: 'INV-1001' },
        _links: { callback_url: 'http://127.0.0.1:3000/callbacks/kopokopo' },
      },
    },
  },
};
