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
    '`token` already begins with "Bearer ". Wakala puts the word before it only once.',
    'The answer says nothing about the lifetime: one hour, or what the token (a JWT) says.',
    'The credentials are headers (`client-id`, `api-key`), and the request has no body.',
    'One host for both environments, as far as is known: only the credentials tell them apart. Not confirmed that ' +
      'there is no other for tests.',
    'With checksums switched on, each body needs a `checksum`: the app makes it.',
    'Not confirmed: the bodies that wrong credentials and dead tokens get. The status alone counts.',
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
  samples: {
    tokenAnswer: { success: true, token: 'Bearer ' },
    tokenFormat: 'jwt',
    accessLifetimeS: 3600,
    deniedAnswer: { status: 401, body: { message: 'Unauthorized', statusCode: 401 } },
    deadAnswer: { status: 401, body: { message: 'Unauthorized', statusCode: 401 } },
    call: {
      method: 'POST',
      path: '/third-parties/payments/preview-ussd-push-request',
      json: { amount: '1000', currency: 'TZS', orderReference: 'INV1001' },
    },
  },
};
