import type { Exchange } from './provider.ts';

/**
 * The client credentials grant (RFC 6749 section 4.4) with HTTP Basic. `id` and `secret` are the names of the credential
 * fields.
 */
export function clientCredentials(path: string, id: string, secret: string): Exchange {
  return {
    request: {
      method: 'POST',
      path,
      basic: [`{${id}}`, `{${secret}}`],
      body: { encoding: 'form', fields: { grant_type: 'client_credentials' } },
    },
    response: { accessToken: 'access_token', expiresIn: 'expires_in' },
  };
}
