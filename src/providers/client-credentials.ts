import type { Exchange } from './provider.ts';

/**
 * The plain exchange for client credentials (RFC 6749 4.4), shown by Basic: a form that is posted, and an answer with
 * the standard's names. `id` and `secret` are names of credential fields.
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
