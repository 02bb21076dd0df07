import type { Provider } from './provider.ts';

export const jpay: Provider = {
  name: 'jpay',
  title: 'JPay Africa',
  sources: ['JPay Africa API documentation, "Authentication"'],
  traps: [
    'The token response has no lifetime: Wakala reads it from the JWT (`exp`), or assumes 15 minutes.',
    'A refresh returns a new refresh token too. The old one is no longer valid after use.',
  ],
  hosts: {
    sandbox: { api: 'https://sandbox.api.jpay.africa/api/v1' },
    production: { api: 'https://api.jpay.africa/api/v1' },
  },
  credentials: [
    { name: 'app_key', description: 'App key of the app in the JPay merchant portal', secret: true },
    { name: 'app_secret', description: 'App secret of the same app', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/auth/app/token',
      body: { encoding: 'json', fields: { app_key: '{app_key}', app_secret: '{app_secret}' } },
    },
    response: { accessToken: 'access', refreshToken: 'refresh' },
  },
  refresh: {
    request: {
      method: 'POST',
      path: '/auth/refresh',
      body: { encoding: 'json', fields: { refresh: '{refresh_token}' } },
    },
    response: { accessToken: 'access', refreshToken: 'refresh' },
  },
  defaultLifetimeS: 900,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [
    { method: 'POST', path: '/auth/app/token' },
    { method: 'POST', path: '/auth/refresh' },
  ],
  readOnlyCall: {
    path: '/wallets/balance',
    source:
      'JPay Africa API documentation, "Get Wallet Balance" (https://docs.api.jpay.africa/docs/payments/wallet-balance)',
  },
  samples: {
    tokenResponse: { access: '', refresh: '', merchant_id: 4021, app_code: 7310, products: ['collections', 'payouts'] },
    tokenFormat: 'jwt',
    accessLifetimeS: 900,
    refreshLifetimeS: 7 * 86_400,
    deniedResponse: { status: 401, body: { detail: 'Invalid app credentials' } },
    deadTokenResponse: { status: 401, body: { detail: 'Invalid or expired token' } },
    call: {
      method: 'POST',
      path: '/payments/collections/checkouts/initiate',
      json: {
        payfrom: '+254700000001',
        amount: '1000.00',
        ref_no: 'INV-1001',
        account_number: 'ACC-1',
        callback_url: 'http://127.0.0.1:3000/callbacks/jpay',
        app_code: 7310,
      },
    },
  },
};
