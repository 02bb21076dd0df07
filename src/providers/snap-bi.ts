import type { Provider } from './provider.ts';

export const snapBi: Provider = {
  name: 'snap-bi',
  title: 'SNAP (Bank Indonesia; BCA, BRI, Mandiri, DOKU and others)',
  sources: [
    'BCA, "Authentication SNAP" and "Signature (SNAP)" (https://developer.bca.co.id)',
    'BRI, "Oauth SNAP BI" and "Balance Inquiry SNAP BI" (https://developers.bri.co.id/en/snap-bi/apidocs-oauth-snap-bi)',
    'DOKU, "B2B" (https://developers.doku.com/accept-payments/direct-api/snap/integration-guide/get-token-api/b2b)',
    'NICEPAY, "Request Access Token API - SNAP" (https://docs.nicepay.co.id)',
  ],
  traps: [
    'Each bank has its own hosts and paths. `upstream` ends where the paths of the standard begin: `/snap` for BRI, `/openapi` for BCA.',
    'Some have another path for tokens. Set `token.request.path`: `/authorization/v1/access-token/b2b` (DOKU), ' +
      '`/auth/v2.0/access-token/b2b` below `/openapi` (Mandiri), `/v1.0/access-token/b2b.htm` (DANA).',
    'The app sends `X-EXTERNAL-ID`, because it identifies the payment: unique per day, digits only, up to 36 ' +
      '(19 for Mandiri, 9 for some APIs of BRI).',
    '`CHANNEL-ID` and `X-PARTNER-ID` may differ from one API of a bank to another. Those that the app sends stay.',
    'A wrong signature gets 401 too: 401xx00, `Unauthorized. [Signature]`. Only 401xx01, `Invalid Token (B2B)`, means an ' +
      'expired token (BCA writes `Invalid token (B2B)`). `xx` is the code of the service.',
    'The query is signed as the app sends it: BCA wants its parameters sorted by name. Most calls are POST without a query.',
    'DANA, Midtrans and others sign calls with the private key instead of `client_secret`. For those, describe the ' +
      'route with `token` and `sign`.',
    'Not confirmed: that all banks sign the path as it is sent, with the prefix of `upstream`, and whether a bank ' +
      'accepts the same `X-EXTERNAL-ID` again after `Invalid Token (B2B)`.',
    'Not confirmed: DOKU documents times in UTC; Wakala sends Jakarta time (`+07:00`), as the other documents show it.',
  ],
  credentials: [
    { name: 'client_id', description: 'Client id (X-CLIENT-KEY) that the bank gave you', secret: false },
    { name: 'client_secret', description: 'Client secret of the same client: signs the calls', secret: true },
    {
      name: 'private_key',
      description: 'Your RSA private key: signs the token request. The bank has its public key',
      secret: true,
      kind: 'private_key',
    },
    { name: 'partner_id', description: 'X-PARTNER-ID, from the bank: often the client id', secret: false },
    { name: 'channel_id', description: 'CHANNEL-ID, from the bank', secret: false, example: '95051' },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/v1.0/access-token/b2b',
      values: {
        at: { now: 'iso8601', zone: '+07:00' },
        signature: { rsa_sha256: '{client_id}|{at}', key: '{private_key}' },
      },
      headers: { 'X-CLIENT-KEY': '{client_id}', 'X-TIMESTAMP': '{at}', 'X-SIGNATURE': '{signature}' },
      body: { encoding: 'json', fields: { grantType: 'client_credentials' } },
    },
    response: { accessToken: 'accessToken', expiresIn: 'expiresIn' },
  },
  defaultLifetimeS: 900,
  deadToken: [
    { status: 401, body: { responseMessage: 'Invalid Token (B2B)' } },
    { status: 401, body: { responseMessage: 'Invalid token (B2B)' } },
  ],
  headers: [
    { name: 'X-PARTNER-ID', value: '{partner_id}', mode: 'default' },
    { name: 'CHANNEL-ID', value: '{channel_id}', mode: 'default' },
  ],
  sign: [
    {
      calls: ['* /*'],
      values: {
        at: { now: 'iso8601', zone: '+07:00' },
        digest: { sha256: '{body_minified}', encoding: 'hex' },
        signature: { hmac_sha512: '{method}:{target}:{access_token}:{digest}:{at}', key: '{client_secret}' },
      },
      headers: { 'X-TIMESTAMP': '{at}', 'X-SIGNATURE': '{signature}' },
    },
  ],
  tokenPaths: [{ method: 'POST', path: '/v1.0/access-token/b2b' }],
  samples: {
    tokenResponse: {
      responseCode: '2007300',
      responseMessage: 'Successful',
      accessToken: '',
      tokenType: 'Bearer',
      expiresIn: '900',
    },
    tokenFormat: 'opaque',
    accessLifetimeS: 900,
    deniedResponse: {
      status: 401,
      body: { responseCode: '4017300', responseMessage: 'Unauthorized. [Unknown client]' },
    },
    deadTokenResponse: {
      status: 401,
      body: { responseCode: '4011101', responseMessage: 'Invalid Token (B2B)' },
    },
    call: {
      method: 'POST',
      path: '/v1.0/balance-inquiry',
      headers: { 'X-EXTERNAL-ID': '100000001' },
      json: { partnerReferenceNo: '2026010100000000000001', accountNo: '1234567890' },
    },
  },
};
