import type { Provider } from './provider.ts';

export const airtel: Provider = {
  name: 'airtel',
  title: 'Airtel Money (Airtel Africa)',
  sources: ['Airtel Africa developer portal, "Authorization" and "Collection APIs" (https://developers.airtel.africa)'],
  traps: [
    'The token request is JSON, not a form, and `expires_in` is a string. Tokens of 180 s have been seen.',
    'Every API call needs `X-Country` and `X-Currency`. Wakala sends those of the route unless the app sends its own.',
    'A phone number (`msisdn`) goes without the country code.',
    'With message signing switched on, version 2 of the APIs wants `x-signature` and `x-key`: the app makes them.',
    'Not confirmed: what wrong credentials and dead tokens get, beside the status 401. Clients for Uganda use hosts of ' +
      'their own (openapi.airtel.ug): if yours is one, set `upstream`.',
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
  // The shortest that is documented is 180 s; an answer that says nothing is trusted for five minutes at most.
  defaultLifetimeS: 300,
  deadToken: [{ status: 401 }],
  headers: [
    { name: 'X-Country', value: '{country}', mode: 'default' },
    { name: 'X-Currency', value: '{currency}', mode: 'default' },
  ],
  tokenPaths: [{ method: 'POST', path: '/auth/oauth2/token' }],
  samples: {
    tokenAnswer: { access_token: '', expires_in: '180', token_type: 'bearer' },
    tokenFormat: 'opaque',
    accessLifetimeS: 180,
    deniedAnswer: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'Invalid client authentication' },
    },
    deadAnswer: { status: 401, body: { error: 'invalid_token', error_description: 'Invalid access token' } },
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
