import type { Provider } from './provider.ts';

export const jenga: Provider = {
  name: 'jenga',
  title: 'Jenga API (Equity Bank, Finserve)',
  sources: [
    'Jenga documentation, "Developer Quickstart" (https://developer.jengahq.io/guides/get-started/developer-quickstart)',
    'Jenga help center, "Making your First Jenga API call" (https://support.jengahq.io)',
  ],
  traps: [
    '`expiresIn` is a point in time (ISO 8601), not a number of seconds. A token lives 15 minutes.',
    'The API key is sent only with the token request. API requests carry the token.',
    'Most API requests need a `Signature` header, made with your private key from fields of the request: the app must send it.',
    'The response has a `refreshToken` too. Wakala does not use it and requests tokens with the credentials.',
    'Not confirmed: the bodies of the responses to wrong credentials and expired tokens. Wakala checks only for status 401.',
  ],
  hosts: {
    sandbox: { api: 'https://uat.finserve.africa' },
    production: { api: 'https://api.finserve.africa' },
  },
  credentials: [
    { name: 'api_key', description: 'API key from "API Keys" in the settings of Jenga HQ', secret: true },
    { name: 'merchant_code', description: 'Merchant code from the same page', secret: false },
    { name: 'consumer_secret', description: 'Consumer secret from the same page', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/authentication/api/v3/authenticate/merchant',
      headers: { 'Api-Key': '{api_key}' },
      body: {
        encoding: 'json',
        fields: { merchantCode: '{merchant_code}', consumerSecret: '{consumer_secret}' },
      },
    },
    response: { accessToken: 'accessToken', expiresAt: 'expiresIn' },
  },
  defaultLifetimeS: 900,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/authentication/api/v3/authenticate/merchant' }],
  samples: {
    tokenResponse: {
      accessToken: '',
      refreshToken: 'emulated',
      expiresIn: '2026-01-01T09:15:00Z',
      issuedAt: '2026-01-01T09:00:00Z',
      tokenType: 'Bearer',
    },
    tokenFormat: 'jwt',
    accessLifetimeS: 900,
    deniedResponse: {
      status: 401,
      body: { status: false, code: 401, message: 'Invalid merchant credentials' },
    },
    deadTokenResponse: { status: 401, body: { status: false, code: 401, message: 'Invalid or expired token' } },
    call: { method: 'GET', path: '/v3-apis/account-api/v3.0/accounts/balances/KE/1450160649886' },
  },
};
