import type { Provider } from './provider.ts';

export const tingg: Provider = {
  name: 'tingg',
  title: 'Tingg (Cellulant)',
  sources: [
    'Tingg documentation, "Checkout 3.0" (https://docs.tingg.africa/docs/checkout-v3-express-checkout)',
    'Tingg developer portal, OAuth token request (https://developer.tingg.africa)',
  ],
  traps: [
    'The token request and every API request need the header `apikey`. Wakala sets it on both.',
    'Version 2 of the checkout API has another token endpoint, whose tokens live 120 s. This is version 3: one hour.',
    '`country_code` has three letters (`KEN`), `account_number` at most 15 characters.',
    'Not confirmed: the bodies of the responses to wrong credentials and expired tokens. Wakala checks only for status 401.',
  ],
  hosts: {
    sandbox: { api: 'https://api-approval.tingg.africa' },
    production: { api: 'https://api.tingg.africa' },
  },
  credentials: [
    { name: 'client_id', description: 'Client id of the application on the Tingg developer portal', secret: true },
    { name: 'client_secret', description: 'Client secret of the same application', secret: true },
    { name: 'api_key', description: 'API key of the same application', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/v1/oauth/token/request',
      headers: { apikey: '{api_key}' },
      body: {
        encoding: 'json',
        fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
      },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [{ name: 'apikey', value: '{api_key}', mode: 'set' }],
  tokenPaths: [{ method: 'POST', path: '/v1/oauth/token/request' }],
  samples: {
    tokenResponse: { token_type: 'bearer', expires_in: 3600, access_token: '' },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'The client credentials are invalid' },
    },
    deadTokenResponse: {
      status: 401,
      body: { error: 'invalid_token', error_description: 'The access token is invalid or has expired' },
    },
    call: {
      method: 'POST',
      path: '/v3/checkout-api/checkout-request/express-request',
      json: {
        customer_first_name: 'Ada',
        customer_last_name: 'Otieno',
        msisdn: '254700000001',
        account_number: 'ACC-1',
        request_amount: '100',
        merchant_transaction_id: 'INV-1001',
        service_code: 'SHOPONLINE',
        country_code: 'KEN',
        currency_code: 'KES',
        callback_url: 'https://shop.example/callbacks/tingg',
        success_redirect_url: 'https://shop.example/paid',
        fail_redirect_url: 'https://shop.example/failed',
      },
    },
  },
};
