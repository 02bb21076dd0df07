import { clientCredentials } from './client-credentials.ts';
import type { Provider } from './provider.ts';

export const paypal: Provider = {
  name: 'paypal',
  title: 'PayPal',
  sources: [
    'PayPal REST API documentation, "Authentication" (https://developer.paypal.com/api/rest/authentication/)',
    'PayPal REST API documentation, "Orders v2" (https://developer.paypal.com/docs/api/orders/v2/)',
  ],
  traps: [
    'A token lives about nine hours. Requesting one before each API request exceeds the rate limits.',
    'Sandbox credentials do not work in production, and production credentials do not work in the sandbox.',
    'A missing permission gets a 403 with `NOT_AUTHORIZED`: a new token does not help.',
    'Send `PayPal-Request-Id` with a POST, so that a repeated request does not make a second payment. Wakala forwards it.',
  ],
  hosts: {
    sandbox: { api: 'https://api-m.sandbox.paypal.com' },
    production: { api: 'https://api-m.paypal.com' },
  },
  credentials: [
    { name: 'client_id', description: 'Client ID of the app under "Apps & Credentials"', secret: true },
    { name: 'client_secret', description: 'Secret of the same app', secret: true },
  ],
  token: clientCredentials('/v1/oauth2/token', 'client_id', 'client_secret'),
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/v1/oauth2/token' }],
  readOnlyCall: {
    path: '/v1/notifications/webhooks-event-types',
    source:
      'PayPal REST API documentation, "Webhooks Management", "List available events" (https://developer.paypal.com/docs/api/webhooks/v1/)',
  },
  samples: {
    tokenResponse: {
      scope: 'https://uri.paypal.com/services/payments/payment',
      access_token: '',
      token_type: 'Bearer',
      app_id: 'APP-EMULATED',
      expires_in: 32_400,
      nonce: 'emulated',
    },
    tokenFormat: 'opaque',
    accessLifetimeS: 32_400,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'Client Authentication failed' },
    },
    deadTokenResponse: {
      status: 401,
      body: { error: 'invalid_token', error_description: 'Token signature verification failed' },
    },
    call: {
      method: 'POST',
      path: '/v2/checkout/orders',
      json: {
        intent: 'CAPTURE',
        purchase_units: [{ reference_id: 'INV-1001', amount: { currency_code: 'USD', value: '10.00' } }],
      },
    },
  },
};
