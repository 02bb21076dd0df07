import type { Provider } from './provider.ts';

export const jeel: Provider = {
  name: 'jeel',
  title: 'Jeel Pay',
  sources: ['Jeel Pay public API documentation, "Authentication"; the official repository for the form encoding'],
  traps: [
    'Tokens come from another host than the API.',
    'The documentation says multipart/form-data, a later official repository form-urlencoded. If the token ' +
      'endpoint rejects the former, set `encoding: form` on the route.',
    'The token endpoint is rate-limited.',
  ],
  hosts: {
    sandbox: { api: 'https://api.sandbox.jeel.co', auth: 'https://auth.sandbox.jeel.co' },
    production: { api: 'https://api.jeel.co', auth: 'https://auth.jeel.co' },
  },
  credentials: [
    { name: 'client_id', description: 'Client id from Jeel Pay onboarding', secret: true },
    { name: 'client_secret', description: 'Client secret from Jeel Pay onboarding', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/oauth2/token',
      body: {
        encoding: 'multipart',
        fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
      },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  defaultLifetimeS: 1800,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/oauth2/token' }],
  samples: {
    tokenResponse: { access_token: '', token_type: 'Bearer', expires_in: 1991 },
    tokenFormat: 'jwt',
    accessLifetimeS: 1991,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client' },
    },
    deadTokenResponse: {
      status: 401,
      body: {
        errors: [{ id: 'unauthorized', message: 'Unauthorized', description: 'Access token is invalid or expired' }],
      },
    },
    call: {
      method: 'POST',
      path: '/v3/checkout',
      json: { amount: 1500, currency: 'SAR', reference: 'INV-1001', customer: { phone: '+966500000001' } },
    },
  },
};
