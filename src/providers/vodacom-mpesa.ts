import type { Provider } from './provider.ts';

export const vodacomMpesa: Provider = {
  name: 'vodacom-mpesa',
  title: 'Vodacom M-Pesa OpenAPI (Tanzania, Mozambique, DR Congo, Lesotho, Ghana)',
  sources: [
    'M-Pesa OpenAPI portal, "Getting Started" and "Generate SessionKey" (https://openapiportal.m-pesa.com)',
    'Clients: github.com/abubakar508/go-vodacom-sdk (markets, paths, wait for a new session), github.com/openpesa/node-pesa (lifetime of a session, pull request 16)',
    'PKCS #1 v1.5, `INS-989` and status 401 with `INS-6` as reported by these and other client libraries',
  ],
  traps: [
    'A new session may take up to 30 s before it works. Wakala does not wait: try calls that are refused after the first one again.',
    'The lifetime of a session is a setting of the application in the portal, and no response has it. Wakala requests ' +
      'one after 50 minutes. If yours is shorter, set `token.default_lifetime`.',
    'A payment that failed gets status 401 too, with `INS-6`. Only `INS-2` means a session that is no longer valid.',
    'A C2B payment waits until the customer has entered the PIN. Set the timeouts of the app to a minute or more.',
    '`Origin` must be one of the trusted sources of the application in the portal. Most clients send `*`.',
    'Not confirmed: the response to an expired session (`INS-2`), and that of a session that does not work yet.',
    'Not confirmed: clients disagree on the market of Mozambique, `vodacomMOZ` or `vodafoneMOZ`. Its older API on ' +
      'api.vm.co.mz has no sessions: there the Bearer is the encrypted API key.',
  ],
  hosts: {
    sandbox: { api: 'https://openapi.m-pesa.com/sandbox' },
    production: { api: 'https://openapi.m-pesa.com/openapi' },
  },
  credentials: [
    { name: 'api_key', description: 'API key of the application on openapiportal.m-pesa.com', secret: true },
    {
      name: 'public_key',
      description: 'Public key of the platform, on the same portal. Sandbox and production have different ones',
      secret: false,
      kind: 'public_key',
    },
    {
      name: 'market',
      description: 'vodacomTZN, vodacomMOZ, vodacomDRC, vodacomLES or vodafoneGHA, as in the paths of the calls',
      secret: false,
      example: 'vodacomTZN',
    },
    { name: 'origin', description: 'Origin: a trusted source of the application', secret: false, default: '*' },
  ],
  token: {
    request: {
      method: 'GET',
      path: '/ipg/v2/{market}/getSession/',
      values: { encrypted_key: { rsa_encrypt: '{api_key}', key: '{public_key}', padding: 'pkcs1' } },
      headers: { Authorization: 'Bearer {encrypted_key}', Origin: '{origin}' },
    },
    response: { accessToken: 'output_SessionID' },
  },
  defaultLifetimeS: 3000,
  deadToken: [{ status: 401, body: { output_ResponseCode: 'INS-2' } }],
  tokenHeader: {
    name: 'authorization',
    scheme: 'Bearer',
    value: { rsa_encrypt: '{access_token}', key: '{public_key}', padding: 'pkcs1' },
  },
  headers: [{ name: 'Origin', value: '{origin}', mode: 'set' }],
  tokenPaths: [
    { method: 'GET', path: '/ipg/v2/{market}/getSession' },
    { method: 'GET', path: '/ipg/v2/{market}/getSession/' },
  ],
  samples: {
    tokenResponse: {
      output_ResponseCode: 'INS-0',
      output_ResponseDesc: 'Request processed successfully',
      output_SessionID: '',
    },
    tokenFormat: 'opaque',
    accessLifetimeS: 3000,
    deniedResponse: {
      status: 400,
      body: { output_ResponseCode: 'INS-989', output_ResponseDesc: 'Session Creation Failed' },
    },
    deadTokenResponse: {
      status: 401,
      body: { output_ResponseCode: 'INS-2', output_ResponseDesc: 'Invalid API Key' },
    },
    call: {
      method: 'POST',
      path: '/ipg/v2/vodacomTZN/c2bPayment/singleStage/',
      json: {
        input_Amount: '1000',
        input_Country: 'TZN',
        input_Currency: 'TZS',
        input_CustomerMSISDN: '000000000001',
        input_ServiceProviderCode: '000000',
        input_ThirdPartyConversationID: 'order1001',
        input_TransactionReference: 'INV1001',
        input_PurchasedItemsDesc: 'Order 1001',
      },
    },
  },
};
