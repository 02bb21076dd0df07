import type { Provider } from './provider.ts';

/**
 * Any server of the client credentials grant (RFC 6749 4.4). What stands here is its plainest form; a route's `oauth2`
 * says where tokens come from, and whatever else is different (`config/oauth2.ts`).
 */
export const oauth2: Provider = {
  name: 'oauth2',
  title: 'Any OAuth 2.0 server',
  sources: [
    'RFC 6749 (OAuth 2.0), 8414 and OpenID Connect Discovery (metadata), 8707 (resource)',
    'RFC 7523 (private_key_jwt), 8705 (tls_client_auth)',
  ],
  traps: [
    'Set `oauth2: {issuer: ...}` where the server has metadata, else `oauth2: {token_endpoint: ...}`.',
    'The issuer is compared as it is written: `https://login.example` and `https://login.example/` are two.',
    'Some servers take the secret in the body alone: `client_auth: client_secret_post`.',
    '`scope`, `audience` and `resource` are names of the server: its documentation says which of them it wants.',
    'With `private_key_jwt` or `tls_client_auth` there is no `client_secret`: the key stands under `oauth2`.',
  ],
  settings: ['    oauth2:', '      token_endpoint: https://login.example.com/oauth2/token'],
  credentials: [
    { name: 'client_id', description: 'Client id from the registration at the server', secret: true },
    { name: 'client_secret', description: 'Client secret from the same place', secret: true },
  ],
  token: {
    request: {
      method: 'POST',
      path: '/oauth2/token',
      basic: ['{client_id}', '{client_secret}'],
      body: { encoding: 'form', fields: { grant_type: 'client_credentials' } },
      oauth2: { clientAuth: 'client_secret_basic' },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  },
  defaultLifetimeS: 300,
  deadToken: [{ status: 401 }],
  headers: [],
  tokenPaths: [{ method: 'POST', path: '/oauth2/token' }],
  samples: {
    tokenAnswer: { access_token: '', token_type: 'Bearer', expires_in: 3600 },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedAnswer: { status: 401, body: { error: 'invalid_client' } },
    deadAnswer: { status: 401, body: { error: 'invalid_token' } },
    call: { method: 'GET', path: '/' },
  },
};
