import { z } from 'zod';
import { ALGORITHMS } from '../client-assertion.ts';
import { CLIENT_AUTHS } from '../providers/provider.ts';
import { text } from './fields.ts';

export const oauth2 = z
  .strictObject({
    issuer: text(
      'The server, exactly as it names itself in its metadata, which says where its token endpoint is. ' +
        'Default: none; this or `token_endpoint` is required.',
    ).optional(),
    token_endpoint: text(
      'The whole URL that tokens are asked for at, in place of `issuer`. Default: what the metadata of `issuer` says.',
    ).optional(),
    scope: text('The scopes asked for, with spaces between. Default: none.').optional(),
    audience: text('The `audience` asked for, where the server has such a parameter. Default: none.').optional(),
    resource: z
      .union([z.string(), z.array(z.string()).min(1, { error: 'is empty; leave it out' })], {
        error: 'must be a text or a list of texts',
      })
      .meta({ description: 'The API that the token is for (RFC 8707): a URL, or a list of them. Default: none.' })
      .optional(),
    client_auth: z
      .enum(CLIENT_AUTHS)
      .meta({ description: 'How the client shows who it is.', fallback: 'client_secret_basic' })
      .optional(),
    key: text(
      'The private key of `private_key_jwt` (PEM or JWK) or `tls_client_auth` (PEM), from a file: `$' +
        '{file:/path}`. Default: none; both require it.',
    ).optional(),
    key_id: text("`kid` of the assertion of `private_key_jwt`. Default: the JWK's own, or none.").optional(),
    algorithm: z
      .enum(ALGORITHMS)
      .meta({
        description:
          "What the assertion of `private_key_jwt` is signed with. Default: the JWK's `alg`, or what fits the key, for RSA `RS256`.",
      })
      .optional(),
    assertion_audience: text(
      '`aud` of the assertion of `private_key_jwt`. Default: `issuer`, or `token_endpoint` where that is given.',
    ).optional(),
    cert: text(
      'The certificate of `tls_client_auth` as PEM, its chain after it. Default: none; `tls_client_auth` requires it.',
    ).optional(),
    refresh_token: text(
      'A refresh token that you were given: tokens are asked for with it. Default: none; the client credentials will do.',
    ).optional(),
  })
  .meta({
    description:
      'Where and how a route of `provider: oauth2` asks for tokens. Default: none; `provider: oauth2` requires it.',
  });

export type OAuth2Input = z.output<typeof oauth2>;
