import type { Provider } from './provider.ts';

export const azampay: Provider = {
  name: 'azampay',
  title: 'AzamPay (Tanzania)',
  sources: [
    'AzamPay developer documentation, "Generate Token" and "MNO Checkout" (https://developerdocs.azampay.co.tz)',
    'Client libraries, for the 423 of the token endpoint',
  ],
  traps: [
    'Tokens come from another host than the API (`authenticator-sandbox`, `authenticator`). The production API is at ' +
      '`checkout.azampay.co.tz`.',
    'Wrong credentials get a 423, and so do credentials that AzamPay has not activated yet.',
    '`data.expire` is a point in time, not a lifetime.',
    'Not confirmed: older clients also send `X-API-Key` on API requests (the "Token" of the app\'s settings page). If ' +
      'the API requires it, set it under `headers` of the route.',
    'Payouts have other hosts (`api-disbursement-sandbox.azampay.co.tz`): add a second route with that `upstream`. ' +
      'It shares the token.',
  ],
  hosts: {
    sandbox: { api: 'https://sandbox.azampay.co.tz', auth: 'https://authenticator-sandbox.azampay.co.tz' },
    production: { api: 'https://checkout.azampay.co.tz', auth: 'https://authenticator.azampay.co.tz' },
  },
  credentials: [
    { name: 'app_name', description: 'Name of the app, exactly as on developers.azampay.co.tz', secret: false },
    { name: 'client_id', description: 'Client id of the same app', secret: true },
    { name: 'client_secret', description: 'Client secret of the same app', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/AppRegistration/GenerateToken',
      body: {
        encoding: 'json',
        fields: { appName: '{app_name}', clientId: '{client_id}', clientSecret: '{client_secret}' },
      },
    },
    response: { accessToken: 'data.accessToken', expiresAt: 'data.expire' },
  },
  deniedToken: [{ status: 423 }],
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/AppRegistration/GenerateToken' }],
  samples: {
    tokenResponse: {
      data: { accessToken: '', expire: '2026-01-01T15:00:00Z' },
      message: 'Token generated successfully',
      success: true,
      statusCode: 200,
    },
    tokenFormat: 'jwt',
    accessLifetimeS: 21_600,
    deniedResponse: {
      status: 423,
      body: {
        data: null,
        message: 'Provided detail is not valid for this app or secret key has been expired',
        success: false,
        statusCode: 423,
      },
    },
    deadTokenResponse: { status: 401, body: { status: 'Error', message: 'Please Provide Valid Authorization' } },
    call: {
      method: 'POST',
      path: '/azampay/mno/checkout',
      json: {
        accountNumber: '255700000001',
        amount: '1000',
        currency: 'TZS',
        externalId: 'INV-1001',
        provider: 'Azampesa',
      },
    },
  },
};
