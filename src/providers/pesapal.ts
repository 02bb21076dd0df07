import type { Provider } from './provider.ts';

export const pesapal: Provider = {
  name: 'pesapal',
  title: 'Pesapal (API 3.0)',
  sources: [
    'Pesapal developer site, "Authentication" and "Submit Order Request" ' +
      '(https://developer.pesapal.com/how-to-integrate/e-commerce/api-30-json/authentication)',
    'Client libraries, for the error codes of the token endpoint',
  ],
  traps: [
    'A token lives five minutes. `expiryDate` is a point in time with seven fractional digits.',
    'Wrong credentials get HTTP 200, with `error.code` in the body and no `token`. Sandbox keys do not work in production, and production keys do not work in the sandbox.',
    '`SubmitOrderRequest` needs a `notification_id`: register an address with `RegisterIPN` first.',
    'API errors may have status 200 too: check `error` and `status` in the body.',
    'Not confirmed: the response to an expired token. Client libraries expect 401.',
  ],
  hosts: {
    sandbox: { api: 'https://cybqa.pesapal.com/pesapalv3' },
    production: { api: 'https://pay.pesapal.com/v3' },
  },
  credentials: [
    { name: 'consumer_key', description: 'Consumer key that Pesapal sent to the merchant by email', secret: true },
    { name: 'consumer_secret', description: 'Consumer secret from the same email', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/api/Auth/RequestToken',
      headers: { accept: 'application/json' },
      body: {
        encoding: 'json',
        fields: { consumer_key: '{consumer_key}', consumer_secret: '{consumer_secret}' },
      },
    },
    response: { accessToken: 'token', expiresAt: 'expiryDate' },
  },
  deniedToken: [
    { status: 200, body: { 'error.code': 'invalid_consumer_key_or_secret_provided' } },
    { status: 200, body: { 'error.code': 'consumer_key_unknown' } },
  ],
  defaultLifetimeS: 300,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/api/Auth/RequestToken' }],
  readOnlyCall: {
    path: '/api/URLSetup/GetIpnList',
    source:
      'Pesapal developer site, "Get Registered IPNs Endpoint" (https://developer.pesapal.com/how-to-integrate/e-commerce/api-30-json/getregisteredipn)',
  },
  samples: {
    tokenResponse: {
      token: '',
      expiryDate: '2026-01-01T09:05:00.5177702Z',
      error: null,
      status: '200',
      message: 'Request processed successfully',
    },
    tokenFormat: 'jwt',
    accessLifetimeS: 300,
    deniedResponse: {
      status: 200,
      body: {
        token: null,
        expiryDate: null,
        error: { error_type: 'api_error', code: 'invalid_consumer_key_or_secret_provided', message: '' },
        status: '500',
        message: null,
      },
    },
    deadTokenResponse: {
      status: 401,
      body: {
        error: {
          error_type: 'authentication_error',
          code: 'invalid_api_credentials_provided',
          message: 'Invalid Access Token',
        },
        status: '401',
      },
    },
    call: {
      method: 'POST',
      path: '/api/URLSetup/RegisterIPN',
      json: { url: 'https://shop.example/ipn', ipn_notification_type: 'POST' },
    },
  },
};
