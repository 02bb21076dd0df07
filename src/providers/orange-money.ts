import { clientCredentials } from './client-credentials.ts';
import type { Provider } from './provider.ts';

export const orangeMoney: Provider = {
  name: 'orange-money',
  title: 'Orange Money (Web Payment)',
  sources: [
    'Orange Developer, "Orange Money Web Payment / M Payment" (https://developer.orange.com/apis/om-webpay)',
    'Orange Developer, "Authentication: 2-legged OAuth" (https://developer.orange.com)',
  ],
  traps: [
    'Both environments use one host and differ in the path: `/orange-money-webpay/dev/v1` for tests and ' +
      '`/orange-money-webpay/{country}/v1` in production. The only test currency is OUV.',
    '`expires_in` is the lifetime: one hour in the documentation, 90 days (7776000) in some countries.',
    'The app must send the `merchant_key` in the body of each payment. Wakala does not.',
    'Keep the `notif_token` of the response: only a notification with it is genuine.',
    'APIs of single countries (Orange Sonatel, Orange Cameroon) have other hosts and token requests: write a `token` block.',
  ],
  hosts: {
    sandbox: { api: 'https://api.orange.com' },
    production: { api: 'https://api.orange.com' },
  },
  credentials: [
    { name: 'client_id', description: 'Client ID of the app under "My apps" on developer.orange.com', secret: true },
    { name: 'client_secret', description: 'Client secret of the same app', secret: true },
  ],
  token: clientCredentials('/oauth/v3/token', 'client_id', 'client_secret'),
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/oauth/v3/token' }],
  samples: {
    tokenResponse: { token_type: 'Bearer', access_token: '', expires_in: 3600 },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'The requested service needs credentials' },
    },
    deadTokenResponse: {
      status: 401,
      body: {
        code: 42,
        message: 'Expired credentials',
        description: 'The requested service needs credentials, and the ones provided were out-of-date',
      },
    },
    call: {
      method: 'POST',
      path: '/orange-money-webpay/dev/v1/webpayment',
      json: {
        merchant_key: 'your-merchant-key',
        currency: 'OUV',
        order_id: 'INV-1001',
        amount: 100,
        return_url: 'https://shop.example/return',
        cancel_url: 'https://shop.example/cancel',
        notif_url: 'https://shop.example/callbacks/orange',
        lang: 'fr',
        reference: 'INV-1001',
      },
    },
  },
};
