import type { Provider } from './provider.ts';

export const mtnMomo: Provider = {
  name: 'mtn-momo',
  title: 'MTN MoMo',
  sources: [
    'MTN MoMo developer portal, "API User And API Key Management" and "Common Error Codes" (https://momodeveloper.mtn.com)',
    'mtvbrianking/laravel-mtn-momo, issues 38 and 46, for the 500 with `login_failed`',
  ],
  traps: [
    'A token is valid for one product. For another product, add a route with its `product`, subscription key and credentials.',
    'Wrong credentials get a 500 with `{"error":"login_failed"}`, not a 401. A new API key invalidates the previous one.',
    'A wrong subscription key gets a 401 too, so on API requests it looks like an expired token. Each product has its own key.',
    'In production, `target_environment` names the country: `mtnuganda`, `mtnghana`, `mtncameroon`. In the sandbox the only currency is EUR.',
    '`requesttopay` and `transfer` need an `X-Reference-Id`, a new UUID (version 4) for each payment. Use it to query the status. The response is a 202 without a body.',
    'Not confirmed: the body of the 401 response to an expired token. Wakala checks only the status.',
  ],
  hosts: {
    sandbox: { api: 'https://sandbox.momodeveloper.mtn.com' },
    production: { api: 'https://proxy.momoapi.mtn.com' },
  },
  credentials: [
    {
      name: 'api_user',
      description: 'API user: in the sandbox the UUID you made it with',
      secret: false,
      example: '00000000-0000-4000-8000-000000000001',
    },
    { name: 'api_key', description: 'API key of that API user', secret: true },
    {
      name: 'subscription_key',
      description: 'Primary or secondary key of the product, in your profile on the developer portal',
      secret: true,
    },
    {
      name: 'product',
      description: 'Product that the keys are for: collection, disbursement or remittance',
      secret: false,
      default: 'collection',
    },
    {
      name: 'target_environment',
      description: 'X-Target-Environment: `mtn` and the country in production',
      secret: false,
      default: { sandbox: 'sandbox' },
      example: 'mtnuganda',
    },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/{product}/token/',
      headers: { 'Ocp-Apim-Subscription-Key': '{subscription_key}' },
      basic: ['{api_user}', '{api_key}'],
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  deniedToken: [{ status: 500, body: { error: 'login_failed' } }],
  defaultLifetimeS: 3600,
  deadToken: [{ status: 401 }],
  headers: [
    { name: 'Ocp-Apim-Subscription-Key', value: '{subscription_key}', mode: 'set' },
    { name: 'X-Target-Environment', value: '{target_environment}', mode: 'set' },
  ],
  tokenPaths: [
    { method: 'POST', path: '/{product}/token' },
    { method: 'POST', path: '/{product}/token/' },
  ],
  readOnlyCall: {
    path: '/{product}/v1_0/account/balance',
    source:
      'MTN MoMo developer portal, "/v1_0/account/balance - GET" (https://momodeveloper.mtn.com/docs/services/collection/operations/get-v1_0-account-balance)',
  },
  samples: {
    tokenResponse: { access_token: '', token_type: 'access_token', expires_in: 3600 },
    tokenFormat: 'jwt',
    accessLifetimeS: 3600,
    deniedResponse: { status: 500, body: { error: 'login_failed' } },
    deadTokenResponse: {
      status: 401,
      body: { statusCode: 401, message: 'Unauthorized. Access token is missing or invalid.' },
    },
    call: { method: 'GET', path: '/collection/v1_0/account/balance' },
  },
};
