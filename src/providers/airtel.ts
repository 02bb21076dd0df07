import type { Provider } from './provider.ts';

/** POST calls of these paths, with and without a slash at the end: clients use both. */
function posts(...paths: readonly string[]): string[] {
  return paths.flatMap((path) => [`POST ${path}`, `POST ${path}/`]);
}

const SIGNED_WITH_PIN = ['/standard/v2/disbursements', '/standard/v3/disbursements', '/standard/v2/cashin'];
const WITH_PIN = ['/standard/v1/disbursements', '/standard/v1/cashin', ...SIGNED_WITH_PIN];
const COLLECTIONS = [
  '/merchant/v1/payments',
  '/merchant/v2/payments',
  '/standard/v1/payments/refund',
  '/standard/v2/payments/refund',
];

export const airtel: Provider = {
  name: 'airtel',
  title: 'Airtel Money (Airtel Africa)',
  sources: [
    'Airtel Africa developer portal, "Authorization", "Collection APIs", "Disbursement APIs" and "Message Signing" (https://developers.airtel.africa)',
    '121 Platform, which encrypts the PIN of disbursements (https://github.com/global-121/121-platform)',
    'Microvault, which signs messages (https://github.com/Shamba-Records-Limited/microvault)',
  ],
  traps: [
    'The token request is JSON, not a form, and `expires_in` is a string. Some tokens live only 180 s.',
    'Every API call needs `X-Country` and `X-Currency`. Wakala sends the values of the route unless the app sends its own.',
    'Send a phone number (`msisdn`) without the country code.',
    'Message signing is a setting of the app in the portal, and mandatory in some countries (Zambia). With ' +
      '`message_signing: true` and `public_key`, Wakala sends `x-signature` and `x-key` with payments, refunds, ' +
      'and version 2 and 3 of disbursements and cash-in. Otherwise it keeps those of the app. A mismatch gets ' +
      '`DP00800001026` or `DP00900001016`.',
    'Disbursements and cash-in need the encrypted PIN. With `pin` and `public_key`, Wakala adds it as `pin` unless the ' +
      'app sends its own. Other calls with a PIN, such as remittances, are left to the app.',
    'The keys of `GET /v1/rsa/encryption-keys` have a date in `valid_upto`. Replace `public_key` before it: an old key ' +
      'gets `ROUTER116` or `DP00800001026`.',
    'Some refusals have status 200, for example of a wrong PIN: check `status.success`.',
    'Not confirmed: the padding of the PIN. Wakala uses PKCS #1 v1.5, as clients in production do. The portals of some ' +
      'countries describe OAEP with SHA-256 and a key of 2048 bits: leave `pin` out there, and encrypt it with a rule ' +
      'under `sign` (`rsa_encrypt`, `padding: oaep_sha256`).',
    'Not confirmed: the bodies of the 401 responses to wrong credentials and expired tokens. Clients for Uganda use ' +
      'another host (openapi.airtel.ug): set `upstream` for it.',
  ],
  hosts: {
    sandbox: { api: 'https://openapiuat.airtel.africa' },
    production: { api: 'https://openapi.airtel.africa' },
  },
  credentials: [
    { name: 'client_id', description: 'Client id (consumer key) of the app on developers.airtel.africa', secret: true },
    { name: 'client_secret', description: 'Client secret (consumer secret) of the same app', secret: true },
    {
      name: 'country',
      description: 'X-Country: ISO code of the country, two letters',
      secret: false,
      example: 'KE',
    },
    { name: 'currency', description: 'X-Currency: ISO code of its currency', secret: false, example: 'KES' },
    {
      name: 'pin',
      description: 'PIN of the disbursement wallet: Wakala encrypts it into disbursements and cash-in',
      secret: true,
      optional: true,
    },
    {
      name: 'public_key',
      description: "Airtel's public key for the app: `data.key` of `GET /v1/rsa/encryption-keys`",
      secret: false,
      optional: true,
      kind: 'public_key',
    },
    {
      name: 'message_signing',
      description: '`true` if message signing is on in the settings of the app',
      secret: false,
      optional: true,
      kind: 'flag',
    },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/auth/oauth2/token',
      body: {
        encoding: 'json',
        fields: { client_id: '{client_id}', client_secret: '{client_secret}', grant_type: 'client_credentials' },
      },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  // The shortest documented lifetime is 180 s. Without one in the response, assume five minutes at most.
  defaultLifetimeS: 300,
  deadToken: [{ status: 401 }],
  headers: [
    { name: 'X-Country', value: '{country}', mode: 'default' },
    { name: 'X-Currency', value: '{currency}', mode: 'default' },
  ],
  sign: [
    {
      when: 'pin',
      calls: posts(...WITH_PIN),
      values: { encrypted_pin: { rsa_encrypt: '{pin}', key: '{public_key}', padding: 'pkcs1' } },
      json: { pin: '{encrypted_pin}' },
    },
    // After the PIN: the body is signed as it is sent.
    {
      when: 'message_signing',
      calls: posts(...COLLECTIONS, ...SIGNED_WITH_PIN),
      values: {
        aes_key: { random: 32, encoding: 'base64' },
        iv: { random: 16, encoding: 'base64' },
        encrypted_body: { aes_256_cbc: '{body}', key: '{aes_key}', iv: '{iv}', key_encoding: 'base64' },
        encrypted_key: { rsa_encrypt: '{aes_key}:{iv}', key: '{public_key}', padding: 'pkcs1' },
      },
      headers: { 'x-signature': '{encrypted_body}', 'x-key': '{encrypted_key}' },
    },
  ],
  tokenPaths: [{ method: 'POST', path: '/auth/oauth2/token' }],
  readOnlyCall: {
    path: '/v1/rsa/encryption-keys',
    source:
      'Airtel Africa developer portal, "Encryption", `GET /v1/rsa/encryption-keys` (https://developers.airtel.africa)',
  },
  samples: {
    tokenResponse: { access_token: '', expires_in: '180', token_type: 'bearer' },
    tokenFormat: 'opaque',
    accessLifetimeS: 180,
    deniedResponse: {
      status: 401,
      body: { error: 'invalid_client', error_description: 'Invalid client authentication' },
    },
    deadTokenResponse: { status: 401, body: { error: 'invalid_token', error_description: 'Invalid access token' } },
    call: {
      method: 'POST',
      path: '/merchant/v1/payments/',
      json: {
        reference: 'INV-1001',
        subscriber: { country: 'KE', currency: 'KES', msisdn: '730000001' },
        transaction: { amount: 1000, country: 'KE', currency: 'KES', id: 'order-1001' },
      },
    },
  },
};
