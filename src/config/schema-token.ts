import { z } from 'zod';
import { ASSERTION_ALGORITHMS, CLIENT_AUTHS, RESPONSE_FORMATS } from '../providers/provider.ts';
import { duration, field, flag, text, texts } from './schema-fields.ts';
import { derivedValue, derivedValues } from './schema-sign.ts';

const request = field(
  z.strictObject({
    method: field(z.enum(['GET', 'POST', 'PUT']), {
      doc: 'Method of the token request. A `GET` has no body.',
      fallback: 'POST',
    }),
    path: field(text, {
      doc: 'Path below `auth_server`: `/oauth2/token`.',
      omitted: "the provider's; without a provider, `path` or `url` is required",
    }),
    url: field(text, { doc: 'Absolute URL, in place of `path`.', omitted: 'none' }),
    query: field(texts, { doc: 'Query parameters, by name.', omitted: "the provider's" }),
    headers: field(texts, {
      doc: 'Headers of the request, by name. `Content-Type` replaces the usual one of a JSON or form body.',
      omitted: "the provider's",
    }),
    basic: field(
      z.strictObject({
        username: field(text, { doc: 'User name: `{consumer_key}`.' }),
        password: field(text, { doc: 'Password: `{consumer_secret}`.' }),
      }),
      { doc: 'HTTP Basic authentication.', omitted: "the provider's" },
    ),
    json: field(z.record(text, z.unknown()), {
      doc: 'Body as JSON, with values of any type. Set at most one of `json`, `form` and `multipart`.',
      omitted: "the provider's body",
    }),
    form: field(texts, { doc: 'Body as application/x-www-form-urlencoded.', omitted: "the provider's body" }),
    multipart: field(texts, { doc: 'Body as multipart/form-data.', omitted: "the provider's body" }),
    values: field(derivedValues, {
      doc: 'What is computed for each token request, by name. Its texts use it as `{name}`.',
      omitted: "the provider's, or none",
    }),
  }),
  {
    doc:
      'The token request. `{name}` stands for a value under `credentials`. With a built-in provider, query and headers ' +
      "are merged by name, and a body replaces the provider's whole body.",
    omitted: "the provider's",
  },
);

const response = field(
  z.strictObject({
    format: field(z.enum(RESPONSE_FORMATS), {
      doc: '`json`, `form` for a form-encoded body, or `text` if the whole body is the token, plain or as a JSON string.',
      omitted: "the provider's, or JSON, or a form if the response says that it is one",
    }),
    access_token: field(text, {
      doc: 'Path of the token.',
      omitted: "the provider's; required without a provider, except with `format: text`",
    }),
    expires_in: field(text, {
      doc: 'Path of its lifetime in seconds, a number or a string.',
      omitted: "the provider's, or none",
    }),
    expires_at: field(text, {
      doc: 'Path of the time of its expiry: epoch seconds, epoch milliseconds or ISO 8601.',
      omitted: "the provider's, or none",
    }),
    refresh_token: field(text, { doc: 'Path of the refresh token.', omitted: "the provider's, or none" }),
  }),
  {
    doc: 'How to read the token response: dotted paths into its JSON, such as `data.accessToken`, or names of form fields.',
    omitted: "the provider's",
  },
);

const scalar = z.union([text, z.number(), flag, z.null()], {
  error: 'must be a text, a number, `true`, `false` or `null`',
});

const responseRule = field(
  z.strictObject({
    status: field(z.int().min(200).max(599), { doc: 'Status of the response.' }),
    body: field(z.record(text, scalar), {
      doc: 'Values that its JSON must have too, by dotted path. They are compared by their text: `code: 1000` matches `1000` and `"1000"`.',
      omitted: 'any body matches',
    }),
  }),
  { doc: 'A response: its status, and values of its JSON.' },
);

/** The value of `token` on a route whose API calls carry no token. */
export const NONE = 'none';

export const token = z.strictObject({
  request,
  response,
  refresh: field(z.strictObject({ request, response }), {
    doc:
      'How to exchange a refresh token for the next token; `{refresh_token}` stands for it. Without its own `response`, ' +
      'the response is read like the token response.',
    omitted: "the provider's, or none",
  }),
  timeout: field(duration('100ms', '5m'), {
    doc: 'Deadline for one token request. A request of a client waits for the token until its own `timeout`; a token that arrives later is kept for the next one.',
    fallback: '15s',
  }),
  default_lifetime: field(duration('1s', '8760h'), {
    doc: 'Lifetime of a token if neither the response nor the token itself says it. A provider may have its own default.',
    fallback: '5m',
  }),
  dead_token: field(z.array(responseRule).min(1, { error: 'is empty; remove it to use a plain 401' }), {
    doc: "API responses that mean that the token is no longer valid. The list replaces the provider's.",
    omitted: "the provider's, or a plain 401",
  }),
  denied_token: field(z.array(responseRule).min(1, { error: 'is empty; remove it' }), {
    doc: 'Token responses that mean that the credentials are wrong, in addition to 400, 401, 403 and 422.',
    omitted: "the provider's, or none",
  }),
  header_value: field(
    z.union([text, derivedValue], { error: 'must be a text with `{access_token}`, or a function with its options' }),
    {
      doc: 'What the header of API requests carries in place of the token, after the scheme: a text or a function.',
      omitted: 'the token',
      examples: [{ rsa_encrypt: '{access_token}', key: '{public_key}', padding: 'pkcs1' }],
    },
  ),
});

export const oauth2 = z.strictObject({
  issuer: field(text, {
    doc: 'URL of the authorization server, exactly as in its metadata, which names the token endpoint.',
    omitted: 'none; this or `token_endpoint` is required',
  }),
  token_endpoint: field(text, {
    doc: 'URL of the token endpoint, in place of `issuer`.',
    omitted: 'the one in the metadata of `issuer`',
  }),
  scope: field(text, { doc: 'Requested scopes, separated by spaces.', omitted: 'none' }),
  audience: field(text, {
    doc: 'Requested `audience`, if the server has that parameter.',
    omitted: 'none',
  }),
  resource: field(
    z.union([text, z.array(text).min(1, { error: 'is empty; remove it' })], {
      error: 'must be a text or a list of texts',
    }),
    { doc: 'The API that the token is for (RFC 8707): a URL, or a list of URLs.', omitted: 'none' },
  ),
  client_auth: field(z.enum(CLIENT_AUTHS), {
    doc: 'Method of client authentication.',
    fallback: 'client_secret_basic',
  }),
  key: field(text, {
    doc: 'Private key of `private_key_jwt` (PEM or JWK) or `tls_client_auth` (PEM), from a file: `$' + '{file:/path}`.',
    omitted: 'none; `private_key_jwt` requires it',
  }),
  key_id: field(text, { doc: '`kid` of the assertion of `private_key_jwt`.', omitted: "the JWK's, or none" }),
  algorithm: field(z.enum(ASSERTION_ALGORITHMS), {
    doc: 'Signature algorithm of the assertion of `private_key_jwt`.',
    omitted: "the JWK's `alg`, or one that fits the key, `RS256` for RSA",
  }),
  assertion_audience: field(text, {
    doc: '`aud` of the assertion of `private_key_jwt`.',
    omitted: '`issuer`, or else `token_endpoint`',
  }),
  cert: field(text, {
    doc: 'Certificate of `tls_client_auth` as PEM, followed by its chain. Only the token endpoint gets it.',
    omitted: 'the client certificate in `tls` of the route',
  }),
  refresh_token: field(text, {
    doc: 'A refresh token that you already have, used to request tokens. If the server replaces it with each token, set `token_store` too.',
    omitted: 'none; the client credentials grant is used',
  }),
});

export type OAuth2Input = z.output<typeof oauth2>;
export type TokenInput = z.output<typeof token>;
export type RequestInput = NonNullable<TokenInput['request']>;
export type ResponseInput = NonNullable<TokenInput['response']>;
