import type { Provider } from './provider.ts';

export const paypack: Provider = {
  name: 'paypack',
  title: 'Paypack',
  sources: ['Paypack API documentation, "Authentication"; the official client libraries for the refresh path'],
  traps: [
    'Both environments use one base URL and differ in the header `X-Webhook-Mode`.',
    '`expires` is an absolute time in epoch seconds, not a lifetime.',
    'The documentation names another refresh path than the official clients use. To switch, set ' +
      '`token: { refresh: { request: { path: "/auth/agents/refresh/{refresh_token}" } } }`.',
  ],
  hosts: {
    sandbox: { api: 'https://payments.paypack.rw/api' },
    production: { api: 'https://payments.paypack.rw/api' },
  },
  credentials: [
    { name: 'client_id', description: 'Application id from the Paypack dashboard', secret: true },
    { name: 'client_secret', description: 'Application secret from the Paypack dashboard', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/auth/agents/authorize',
      headers: { accept: 'application/json' },
      body: { encoding: 'json', fields: { client_id: '{client_id}', client_secret: '{client_secret}' } },
    },
    response: { accessToken: 'access', refreshToken: 'refresh', expiresAt: 'expires' },
  },
  refresh: {
    request: { method: 'GET', path: '/auth/refresh/{refresh_token}', headers: { accept: 'application/json' } },
    response: { accessToken: 'access', refreshToken: 'refresh', expiresAt: 'expires' },
  },
  defaultLifetimeS: 900,
  deadToken: [{ status: 401 }],
  headers: [{ name: 'X-Webhook-Mode', value: { sandbox: 'development', production: 'production' }, mode: 'default' }],
  tokenPaths: [
    { method: 'POST', path: '/auth/agents/authorize' },
    { method: 'GET', path: '/auth/refresh/{refresh_token}' },
    { method: 'GET', path: '/auth/agents/refresh/{refresh_token}' },
  ],
  readOnlyCall: {
    path: '/events/transactions',
    source: 'Paypack documentation, "List of events" (https://docs.paypack.rw/quickstart/events)',
  },
  samples: {
    tokenResponse: { access: '', refresh: '', expires: 0 },
    tokenFormat: 'jwt',
    accessLifetimeS: 900,
    refreshLifetimeS: 5 * 86_400,
    deniedResponse: { status: 401, body: { status: 401, message: 'invalid client credentials' } },
    deadTokenResponse: { status: 401, body: { status: 401, message: 'token is expired or invalid' } },
    call: { method: 'POST', path: '/transactions/cashin', json: { amount: 100, number: '0780000001' } },
  },
};
