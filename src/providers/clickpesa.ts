import type { Provider } from './provider.ts';

export const clickpesa: Provider = {
  name: 'clickpesa',
  title: 'ClickPesa',
  sources: [
    'ClickPesa API reference, "Generate Authorization Token" ' +
      '(https://docs.clickpesa.com/api-reference/authorization/generate-token)',
    'ClickPesa API reference, "Preview USSD-PUSH request" ' +
      '(https://docs.clickpesa.com/api-reference/collection/ussd-push-requests/preview-ussd-push-request)',
  ],
  traps: [
    '`token` already begins with "Bearer ". Wakala does not add the word again.',
    'The response has no lifetime: Wakala reads it from the token (a JWT), or assumes one hour.',
    'The credentials are headers (`client-id`, `api-key`), and the request has no body.',
    'Both environments use one host and differ only in the credentials. Not confirmed: whether there is another ' +
      'host for tests.',
    'If checksums are on, each body needs a `checksum`: the app must add it.',
    'Not confirmed: the bodies of the responses to wrong credentials and expired tokens. Wakala checks only the status.',
  ],
  hosts: {
    sandbox: { api: 'https://api.clickpesa.com' },
    production: { api: 'https://api.clickpesa.com' },
  },
  credentials: [
    { name: 'client_id', description: 'Client ID of the application on the ClickPesa dashboard', secret: true },
    { name: 'api_key', description: 'API key of the same application', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/third-parties/generate-token',
      headers: { 'client-id': '{client_id}', 'api-key': '{api_key}' },
    },
    response: { accessToken: 'token' },
  },
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/third-parties/generate-token' }],
  readOnlyCall: {
    path: '/third-parties/account/balance',
    source:
      'ClickPesa API reference, "Get Account Balance" (https://docs.clickpesa.com/api-reference/account/get-account-balance)',
  },
  samples: {
    tokenResponse: { success: true, token: 'Bearer ' },
    tokenFormat: 'jwt',
    accessLifetimeS: 3600,
    deniedResponse: { status: 401, body: { message: 'Unauthorized', statusCode: 401 } },
    deadTokenResponse: { status: 401, body: { message: 'Unauthorized', statusCode: 401 } },
    call: {
      method: 'POST',
      path: '/third-parties/payments/preview-ussd-push-request',
      json: { amount: '1000', currency: 'TZS', orderReference: 'INV1001' },
    },
  },
};
