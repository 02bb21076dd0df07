import type { Provider } from './provider.ts';

export const airtel: Provider = {
  name: 'airtel',
  title: 'Airtel Money (Airtel Africa)',
  sources: ['Airtel Africa developer portal, "Authorization" and "Collection APIs" (https://developers.airtel.africa)'],
  traps: [
    'The token request is JSON, not a form, and `expires_in` is a string. Some tokens live only 180 s.',
    'Every API call needs `X-Country` and `X-Currency`. Wakala sends the values of the route unless the app sends its own.',
    'Send a phone number (`msisdn`) without the country code.',
    'If message signing is on, version 2 of the APIs requires `x-signature` and `x-key`: the app must send them.',
    'Not confirmed: the bodies of the 401 responses to wrong credentials and expired tokens. Clients for Uganda use ' +
      'another host (openapi.airtel.ug): set `upstream` for it.',
  ],
  hosts: {
    sandbox: { api: 'https://openapiuat.airtel.africa' },
    production: { api: 'https://openapi.airtel.africa' },
  },
  credentials: [
    { name: 'client_id', description: 'Client id (consumer key) of the app on developers.airtel.africa', secret: true },
    { name: 'client_secret', description: 'Client secret (consumer secret) of the same app', secret: true },
    {
      name: 'country',
      description: 'X-Country: ISO code of the country, two letters',
      secret: false,
      example: 'KE',
    },
    { name: 'currency', description: 'X-Currency: ISO code of its currency', secret: false, example: 'KES' },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/auth/oauth2/token',
      body: {
        encoding: 'json',
        fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
      },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  // The shortest documented lifetime is 180 s. Without one in the response, assume five minutes at most.
  defaultLifetimeS: 300,
  deadToken: [{ status: 401 }],
  headers: [
    { name: 'X-Country', value: '{country}', mode: 'default' },
    { name: 'X-Currency', value: '{currency}', mode: 'default' },
  ],
  tokenPaths: [{ method: 'POST', path: '/auth/oauth2/token' }],
  readOnlyCall: {
    path: '/v1/rsa/encryption-keys',
    source:
      'Airtel Africa developer portal, "Encryption", `GET /v1/rsa/encryption-keys` (https://developers.airtel.africa)',
  },
  samples: {
    tokenResponse: { access_token: '', expires_in: '180', token_type: 'bearer' },
    tokenFormat: 'opaque',
    accessLifetimeS: 180,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'Invalid client authentication' },
    },
    deadTokenResponse: { status: 401, body: { error: 'invalid_token', error_description: 'Invalid access token' } },
    call: {
      method: 'POST',
      path: '/merchant/v1/payments/',
      json: {
        reference: 'INV-1001',
        subscriber: { country: 'KE', currency: 'KES', msisdn: '730000001' },
        transaction: { amount: 1000, country: 'KE', currency: 'KES', id: 'order-1001' },
      },
    },
  },
};
