import type { Provider } from './provider.ts';

/**
 * Any server with the client credentials grant (RFC 6749 section 4.4), in its simplest form. `oauth2` of a route sets the
 * server and everything else that differs (config/oauth2.ts).
 */
export const oauth2: Provider = {
  name: 'oauth2',
  title: 'Any OAuth 2.0 server',
  sources: [
    'RFC 6749 (OAuth 2.0), 8414 and OpenID Connect Discovery (metadata), 8707 (resource)',
    'RFC 7523 (private_key_jwt), 8705 (tls_client_auth)',
  ],
  traps: [
    'Set `oauth2: {issuer: ...}` if the server has metadata, otherwise `oauth2: {token_endpoint: ...}`.',
    'The issuer must match exactly: `https://login.example` and `https://login.example/` are different issuers.',
    'Some servers accept the secret only in the body: set `client_auth: client_secret_post`.',
    'The documentation of the server says which of `scope`, `audience` and `resource` it needs.',
    '`private_key_jwt` and `tls_client_auth` use no `client_secret`. The key of the first is under `oauth2`, the certificate of the second under `tls` of the route or under `oauth2`.',
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
    tokenResponse: { access_token: '', token_type: 'Bearer', expires_in: 3600 },
    tokenFormat: 'opaque',
    accessLifetimeS: 3600,
    deniedResponse: { status: 401, body: { error: 'invalid_client' } },
    deadTokenResponse: { status: 401, body: { error: 'invalid_token' } },
    call: { method: 'GET', path: '/' },
  },
};
