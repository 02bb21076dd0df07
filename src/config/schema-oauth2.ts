import { z } from 'zod';
import { ALGORITHMS } from '../client-assertion.ts';
import { CLIENT_AUTHS } from '../providers/provider.ts';
import { text } from './fields.ts';

export const oauth2 = z
  .strictObject({
    issuer: text('The server as it names itself: where its token endpoint is stands in its metadata').optional(),
    token_endpoint: text('The whole URL that tokens are asked for at, in place of `issuer`').optional(),
    scope: text('The scopes asked for, with spaces between').optional(),
    audience: text('The `audience` asked for, where the server has such a parameter').optional(),
    resource: z
      .union([z.string(), z.array(z.string()).min(1, { error: 'is empty; leave it out' })], {
        error: 'must be a text or a list of texts',
      })
      .meta({ description: 'The API that the token is for (RFC 8707): a URL, or a list of them' })
      .optional(),
    client_auth: z
      .enum(CLIENT_AUTHS)
      .meta({ description: 'How the client shows who it is', fallback: 'client_secret_basic' })
      .optional(),
    key: text(
      'The private key, as PEM or, for `private_key_jwt`, a JWK. Refer to a file: `$' + '{file:/path}`.',
    ).optional(),
    key_id: text("`kid` of the assertion of `private_key_jwt`; a JWK's own unless given").optional(),
    algorithm: z
      .enum(ALGORITHMS)
      .meta({ description: 'What the assertion of `private_key_jwt` is signed with; what fits the key unless given' })
      .optional(),
    assertion_audience: text(
      '`aud` of the assertion of `private_key_jwt`; the issuer unless given, or `token_endpoint`',
    ).optional(),
    cert: text('The certificate of `tls_client_auth` as PEM, its chain after it').optional(),
    refresh_token: text('Tokens are asked for with this, in place of the client credentials alone').optional(),
  })
  .meta({ description: 'Where and how `provider: oauth2` asks for tokens' });

export type OAuth2Input = z.output<typeof oauth2>;
