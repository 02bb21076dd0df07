import type { Provider } from './provider.ts';

export const flutterwave: Provider = {
  name: 'flutterwave',
  title: 'Flutterwave (API v4)',
  sources: [
    'Flutterwave v4 documentation, "Authentication" (https://developer.flutterwave.com/v4.0/docs/authentication)',
    'Flutterwave v4 documentation, "Environments" (https://developer.flutterwave.com/docs/environments)',
  ],
  traps: [
    'Version 3 of the API has a fixed secret key (`FLWSECK...`) and no token: use `provider: static`.',
    'Both environments use one token host and differ only in the credentials.',
    'A token lives ten minutes.',
    'The page "Authentication" names another API host (https://api.flutterwave.cloud) than the page "Environments". ' +
      'Not confirmed: which of them is right. To use the former, set `upstream`.',
    'Test data is archived after 30 days.',
  ],
  hosts: {
    sandbox: { api: 'https://developersandbox-api.flutterwave.com', auth: 'https://idp.flutterwave.com' },
    production: { api: 'https://f4bexperience.flutterwave.com', auth: 'https://idp.flutterwave.com' },
  },
  credentials: [
    { name: 'client_id', description: 'Client id from the API keys page of the v4 dashboard', secret: true },
    { name: 'client_secret', description: 'Client secret from the same page', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/realms/flutterwave/protocol/openid-connect/token',
      body: {
        encoding: 'form',
        fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
      },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  defaultLifetimeS: 600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/realms/flutterwave/protocol/openid-connect/token' }],
  readOnlyCall: {
    path: '/customers',
    source: 'Flutterwave v4 API reference, "List customers" (https://developer.flutterwave.com/reference)',
  },
  samples: {
    tokenResponse: {
      access_token: '',
      expires_in: 600,
      refresh_expires_in: 0,
      token_type: 'Bearer',
      'not-before-policy': 0,
      scope: 'profile email',
    },
    tokenFormat: 'jwt',
    accessLifetimeS: 600,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'Invalid client or Invalid client credentials' },
    },
    deadTokenResponse: {
      status: 401,
      body: { status: 'failed', error: { type: 'UNAUTHORIZED', code: '10401', message: 'Unauthorized' } },
    },
    call: { method: 'GET', path: '/customers' },
  },
};
