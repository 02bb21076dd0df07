import { z } from 'zod';
import { ALGORITHMS } from '../client-assertion.ts';
import { CLIENT_AUTHS, RESPONSE_FORMATS } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import {
  type DurationText,
  type ListenAddress,
  parseAddress,
  parseAllow,
  type Parsed,
  parseDuration,
  parseHost,
  parseLinkLocalRange,
  parseMethod,
  parseServerName,
  parseSize,
  SIZE_PATTERN,
  type SizeText,
} from './values.ts';

/*
 * The configuration file: every key with its type, range, default and documentation. Validation, the JSON Schema,
 * docs/configuration-reference.md and `wakala routes` all read them from here.
 *
 * The schema checks each value alone. resolve.ts, resolve-route.ts and the readers that they call check what values mean
 * together. A key whose absence they can explain better is optional here.
 *
 * To add a route key, add it to ROUTE_SETTINGS and read it from RouteConfig where it takes effect.
 */

interface Documentation {
  /** Whole sentences, for editors and for docs/configuration-reference.md. */
  readonly doc: string;
  /** Example values, for editors. */
  readonly examples?: readonly unknown[];
}

/**
 * A key with its documentation. Without `default`, `fallback` or `omitted` the key is required.
 * - `default`: the value that the schema gives a key that is left out, as the file would have it.
 * - `fallback`: the same, but the provider or `wakala dev` may have another value; code applies it with `fallbackOf`.
 * - `omitted`: a text that says what applies without the key, such as `the provider's`. If there is a `default` too, the
 *   documentation shows this text instead.
 * @throws Error if the schema does not accept its own default
 */
export function field<S extends z.ZodType>(
  schema: S,
  about: Documentation & { readonly default: z.input<S>; readonly omitted?: string },
): z.ZodPrefault<S>;
export function field<S extends z.ZodType>(
  schema: S,
  about: Documentation & ({ readonly fallback: z.input<S> } | { readonly omitted: string }),
): z.ZodOptional<S>;
export function field<S extends z.ZodType>(schema: S, about: Documentation): S;
export function field(
  schema: z.ZodType,
  about: Documentation & { readonly default?: unknown; readonly fallback?: unknown; readonly omitted?: string },
): z.ZodType {
  const { doc, default: value = about.fallback, omitted, examples } = about;
  const documented = schema.meta({
    ...schema.meta(),
    description: doc,
    ...(value !== undefined && { fallback: value }),
    ...(omitted !== undefined && { omitted }),
    ...(examples !== undefined && { shown: examples }),
  });
  if (value !== undefined) {
    const { success, error } = schema.safeParse(value);
    if (!success) throw new Error(`The default ${JSON.stringify(value)} of a key is not valid: ${error.message}`);
  }
  if (about.default !== undefined) return documented.prefault(about.default);
  return about.fallback === undefined && omitted === undefined ? documented : documented.optional();
}

/** The parsed `fallback` of a field. */
export function fallbackOf<S extends z.ZodType>(optional: z.ZodOptional<S>): z.output<S> {
  const schema = optional.unwrap();
  return schema.parse(schema.meta()?.['fallback']);
}

const text = z.string();
const flag = z.boolean();
/** A mapping of free names to texts. */
const texts = z.record(text, text);

/** A text that `parse` turns into something else. */
function parsed<T>(parse: (text: string) => Parsed<T>) {
  return text.transform((written, context) => {
    const result = parse(written);
    if ('value' in result) return result.value;
    context.issues.push({ code: 'custom', message: result.problem, input: written });
    return z.NEVER;
  });
}

/** `60s`, as milliseconds. */
export function duration(min: DurationText, max: DurationText) {
  const [minMs, maxMs] = [parseDuration(min), parseDuration(max)];
  if (minMs === undefined || maxMs === undefined) throw new Error(`not a range of durations: ${min} to ${max}`);
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number'
          ? `a duration needs a unit: \`${input}s\` for seconds, \`${input}ms\` for milliseconds`
          : 'must be a duration such as `500ms`, `60s`, `5m` or `1h`',
    })
    .transform((written, context) => {
      const ms = parseDuration(written);
      if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
      const message =
        ms === undefined
          ? 'must be a whole number and a unit, such as `500ms`, `60s`, `5m` or `1h`'
          : `must be between ${min} and ${max}`;
      context.issues.push({ code: 'custom', message, input: written });
      return z.NEVER;
    })
    .meta({ kind: 'duration', range: [min, max] });
}

/** `10MiB`, or a number of bytes, as bytes. */
export function size(min: SizeText, max: SizeText) {
  const [minBytes, maxBytes] = [parseSize(min), parseSize(max)];
  if (minBytes === undefined || maxBytes === undefined) throw new Error(`not a range of sizes: ${min} to ${max}`);
  const message = 'must be a size such as `64KiB`, `10MiB`, `1MB`, or a whole number of bytes';
  return z
    .union([text.meta({ pattern: SIZE_PATTERN }), z.int()], { error: message })
    .transform((written, context) => {
      const bytes = typeof written === 'number' ? written : parseSize(written);
      if (bytes !== undefined && bytes >= minBytes && bytes <= maxBytes) return bytes;
      const range = `must be between ${min} and ${max}`;
      context.issues.push({ code: 'custom', message: bytes === undefined ? message : range, input: written });
      return z.NEVER;
    })
    .meta({ kind: 'size', range: [min, max] });
}

/** A whole number. */
function count(min: number, max: number) {
  const message = `must be a whole number between ${min} and ${max}`;
  return z.int({ error: message }).min(min, { error: message }).max(max, { error: message });
}

/** `host:port`. */
const address = parsed(parseAddress).meta({ kind: 'address' });

/** Length of a bearer token that callers send, in characters. */
export const CLIENT_KEY_LENGTH = { min: 16, max: 4096 } as const;
export const MIN_ENCRYPTION_KEY_LENGTH = 32;

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
  algorithm: field(z.enum(ALGORITHMS), {
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

/** A route key whose value is used as the schema gives it. */
interface Setting<Property extends string, Schema extends z.ZodType> extends SettingRules {
  /** Its name in RouteConfig. */
  readonly property: Property;
  readonly schema: Schema;
  /** What its number counts: milliseconds of a duration, bytes of a size. */
  readonly kind: 'duration' | 'size' | undefined;
}

interface SettingRules {
  /** The value may not exceed that of this key. A default that does is lowered to it. */
  readonly atMost?: 'timeout' | 'max_body';
  /** The value has an effect only where this key is `true`. */
  readonly onlyWith?: 'websocket';
}

function setting<const Property extends string, Schema extends z.ZodType>(
  property: Property,
  schema: Schema,
  rules: SettingRules = {},
): Setting<Property, Schema> {
  const inner = schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional ? schema.unwrap() : schema;
  return { property, schema, kind: (inner as z.ZodType).meta()?.['kind'] as 'duration' | 'size' | undefined, ...rules };
}

/** The route keys whose values are used as the schema gives them. */
const ROUTE_SETTINGS = {
  timeout: setting(
    'timeoutMs',
    field(duration('1ms', '24h'), {
      doc: 'One deadline for the request body, the token, both attempts and the refresh, up to the response headers. After that, the longest pause between two parts of the response body.',
      default: '60s',
    }),
  ),
  connect_timeout: setting(
    'connectTimeoutMs',
    field(duration('1ms', '24h'), {
      doc: 'Deadline for connecting to the API, including TLS. At most `timeout`.',
      default: '5s',
    }),
    { atMost: 'timeout' },
  ),
  host_header: setting(
    'hostHeader',
    field(parsed(parseHost), {
      doc: 'Value of the `Host` header of API requests: a host name, and a port if needed.',
      omitted: 'the host of `upstream`',
      examples: ['api.bank.example'],
    }),
  ),
  max_response_header: setting(
    'maxResponseHeaderBytes',
    field(size('1KiB', '256KiB'), {
      doc: 'Maximum size of the status line and headers of an API response. A larger one gets 502 `upstream_invalid`.',
      default: '16KiB',
    }),
  ),
  rewrite_location: setting(
    'rewriteLocation',
    field(flag, {
      doc: 'Rewrites `Location`, `Content-Location`, `Link` and `Refresh` in responses that lead to the API to the address of the route.',
      default: true,
    }),
  ),
  max_body: setting(
    'maxBodyBytes',
    field(size('0', '1024GiB'), {
      doc: 'Maximum size of a request body. A larger one gets 413 `body_too_large`.',
      default: '10MiB',
    }),
  ),
  replay_limit: setting(
    'replayLimitBytes',
    field(size('0', '64MiB'), {
      doc: 'Request bodies up to this size are kept in memory for a second attempt. At most `max_body`.',
      default: '64KiB',
    }),
    { atMost: 'max_body' },
  ),
  replay: setting(
    'replay',
    field(
      z.union([flag, z.array(parsed(parseMethod)).transform((methods) => new Set(methods))], {
        error: 'must be `true`, `false`, or a list of methods such as `[GET, POST]`',
      }),
      {
        doc: 'Requests that may be sent again if the token was no longer valid: all, none, or those with these methods.',
        default: true,
      },
    ),
  ),
  allow: setting(
    'allow',
    field(
      z.array(parsed(parseAllow)).min(1, { error: 'is empty and would reject every request; remove it to allow all' }),
      {
        doc:
          'Allowed requests, as `METHOD /path` below the prefix: `*` is any method, and a path may end in `*`. ' +
          'Others get 403 `path_refused`.',
        omitted: 'all requests',
        examples: [['POST /mpesa/stkpush/*', 'GET /*']],
      },
    ),
  ),
  token_paths: setting(
    'tokenPaths',
    field(z.enum(['placeholder', 'refuse']), {
      doc:
        "Response to requests for the provider's token endpoint: a placeholder token, or 403 `path_refused`. " +
        'They are never forwarded.',
      default: 'placeholder',
    }),
  ),
  max_concurrency: setting(
    'maxConcurrency',
    field(count(1, 1_000_000), {
      doc: 'Concurrent requests on this route, in each of the `workers`. More get 503 `overloaded`. Open WebSockets do not count.',
      omitted: 'no limit',
    }),
  ),
  websocket: setting(
    'websocket',
    field(flag, {
      doc: 'Forwards WebSocket handshakes, with the token. Otherwise they get 501 `upgrade_refused`.',
      default: false,
    }),
  ),
  max_websockets: setting(
    'maxWebsockets',
    field(count(1, 1_000_000), {
      doc: 'Open WebSockets on this route, in each of the `workers`. More get 503 `overloaded`.',
      default: 1000,
    }),
    { onlyWith: 'websocket' },
  ),
  websocket_idle_timeout: setting(
    'websocketIdleTimeoutMs',
    field(duration('1ms', '24h'), {
      doc: 'A WebSocket without a byte in either direction for this long is closed.',
      default: '10m',
    }),
    { onlyWith: 'websocket' },
  ),
};

type Settings = typeof ROUTE_SETTINGS;
type SettingKey = keyof Settings;

/** The settings of a route, under their names in RouteConfig. */
export type RouteSettings = {
  readonly [Key in SettingKey as Settings[Key]['property']]: z.output<Settings[Key]['schema']>;
};

/** ROUTE_SETTINGS as a list, for code that treats all settings alike. */
export const SETTINGS = Object.entries(ROUTE_SETTINGS).map(([key, each]) => ({ key, ...each })) as readonly (Setting<
  keyof RouteSettings,
  z.ZodType
> & { readonly key: SettingKey })[];

/** What a setting is on a route that leaves it out. `route` has the other settings of the route. */
export function settingDefault({ schema, atMost }: (typeof SETTINGS)[number], route: RouteSettings): unknown {
  const value = schema.parse(undefined);
  return atMost === undefined ? value : Math.min(Number(value), route[ROUTE_SETTINGS[atMost].property]);
}

const settingSchemas = Object.fromEntries(
  Object.entries(ROUTE_SETTINGS).map(([key, { schema }]) => [key, schema]),
) as unknown as { readonly [Key in SettingKey]: Settings[Key]['schema'] };

const environment = z.enum(['sandbox', 'production']);

const routeTls = z.strictObject({
  ca: field(text, {
    doc: 'PEM file of certificate authorities that are trusted in addition to those that Node trusts.',
    omitted: 'none',
  }),
  cert: field(text, {
    doc: 'PEM file of the client certificate, followed by its chain. It needs `key`.',
    omitted: 'no client certificate',
  }),
  key: field(text, { doc: 'PEM file of the private key of `cert`.', omitted: 'none; `cert` requires it' }),
  pfx: field(text, {
    doc: 'PKCS#12 file with the client certificate and its key, in place of `cert` and `key`.',
    omitted: 'none',
  }),
  passphrase: field(text, { doc: 'Passphrase of an encrypted `key` or `pfx`.', omitted: 'none' }),
  server_name: field(parsed(parseServerName), {
    doc: "Name for SNI and for checking the server's certificate.",
    omitted: 'the host of `upstream`',
    examples: ['api.bank.example'],
  }),
  min_version: field(z.enum(['TLSv1.2', 'TLSv1.3']), { doc: 'Lowest version of TLS.', fallback: 'TLSv1.2' }),
  token_endpoint: field(flag, {
    doc: 'Whether connections to the token endpoint use these settings too. `server_name` is only for the host of `upstream`.',
    omitted: '`true` if the token endpoint is on the host of `upstream`',
  }),
});

const egressProxy = z.union([text, z.literal(false)], {
  error: 'must be the URL of an HTTP proxy such as `http://proxy.internal:3128`, or `false`',
});

const route = field(
  z.strictObject({
    provider: field(z.enum(providers.map((provider) => provider.name)), {
      doc: 'Built-in provider, as `wakala providers` lists them.',
      omitted: 'none; `token` describes the exchange',
    }),
    environment: field(environment, { doc: 'Environment of this route.', omitted: 'the top-level `environment`' }),
    credentials: field(texts, {
      doc: 'The credentials that the provider issued to you, from variables or files. `wakala providers NAME` lists the fields.',
      omitted: 'none; those that the provider needs are required',
    }),
    upstream: field(text, { doc: 'Base URL of the API.', omitted: "the provider's; required if it has none" }),
    auth_server: field(text, {
      doc: 'Base URL of the token endpoint.',
      omitted: "the provider's, or `upstream`",
    }),
    token: field(token, {
      doc: 'How to request a token: everything for a service without a built-in provider, or the parts that differ.',
      omitted: "the provider's",
    }),
    oauth2: field(oauth2, {
      doc: 'How a route with `provider: oauth2` requests tokens.',
      omitted: 'none; `provider: oauth2` requires it',
    }),
    encoding: field(z.enum(['multipart', 'form', 'json']), {
      doc: 'Encoding of the body of the token request.',
      omitted: "the provider's",
    }),
    headers: field(texts, {
      doc:
        'Headers set on every API request. `{name}` stands for a value under `credentials`. ' +
        'Other headers of the provider stay.',
      omitted: "the provider's",
    }),
    token_header: field(
      z.strictObject({
        name: field(text, { doc: 'Name of the header.', fallback: 'Authorization' }),
        scheme: field(text, {
          doc: 'Word before the token, separated by a space.',
          omitted: '`Bearer` in `Authorization`, none in other headers',
        }),
      }),
      {
        doc: 'The header that carries the token on API requests.',
        omitted: "the provider's, usually `Authorization: Bearer`",
      },
    ),
    token_query: field(text, {
      doc:
        'Name of the query parameter that carries the token on API requests, in place of a header. Set `token_header` too ' +
        'to send both.',
      omitted: 'none; a header carries the token',
      examples: ['access_token'],
    }),
    headers_from_token: field(texts, {
      doc: 'Headers set on every API request from the token response: dotted paths into its JSON.',
      omitted: "the provider's, or none",
    }),
    tls: field(routeTls, {
      doc: 'TLS of connections to the API: client certificate, private authority, server name.',
      omitted: 'the authorities that Node trusts, and no client certificate',
    }),
    egress_proxy: field(egressProxy, {
      doc: 'HTTP proxy to the API and the token endpoint, or `false` for none.',
      omitted: 'the top-level `egress_proxy`',
    }),
    allow_addresses: field(z.array(parsed(parseLinkLocalRange)).min(1, { error: 'is empty; remove it' }), {
      doc:
        'Link-local addresses that the API and the token endpoint may have: addresses or ranges. ' +
        'Those of metadata services stay refused.',
      omitted: 'none',
      examples: [['169.254.171.0/24']],
    }),
    ...settingSchemas,
  }),
  { doc: 'Where requests below this prefix go, and how their token is requested.' },
);

const client = field(
  z.strictObject({
    name: text
      .meta({ description: 'Name of the client: the user name in HTTP Basic, or the common name in its certificate.' })
      .optional(),
    key: field(text, {
      doc: `Bearer token that the client sends, at least ${CLIENT_KEY_LENGTH.min} characters.`,
      omitted: 'none; allowed only with `listen.tls.client_ca`',
    }),
    routes: field(z.array(text).min(1, { error: 'is empty; remove it to allow all routes' }), {
      doc: 'Routes that it may call, by their names under `routes`.',
      omitted: 'all',
    }),
  }),
  { doc: 'A client that may use the proxy.' },
).meta({ required: ['name'] });

const log = z.strictObject({
  level: field(z.enum(['debug', 'info', 'warn', 'error', 'silent']), {
    doc: 'Lowest severity that is logged.',
    default: 'info',
  }),
  format: field(z.enum(['auto', 'pretty', 'json']), {
    doc: '`pretty` is for people. `auto` is `pretty` on a terminal and `json` elsewhere. A change takes effect after a restart.',
    default: 'auto',
  }),
  requests: field(flag, {
    doc: 'Logs successful requests too. Failed ones are always logged. `true` in `wakala dev`.',
    fallback: false,
  }),
});

const redisLogin = {
  username: field(text, { doc: 'User of Redis (ACL).', omitted: '`default`' }),
  password: field(text, { doc: 'Its password.', omitted: 'none' }),
};

const nodes = z.array(text).min(1, { error: 'is empty; list at least one `host:port`' });

const redisTls = routeTls.omit({ token_endpoint: true }).extend({
  server_name: field(parsed(parseServerName), {
    doc: 'Name for SNI and for checking the certificates, for servers that are known by their addresses.',
    omitted: 'the host of each server',
  }),
});

const tokenStore = z.strictObject({
  redis: field(text, {
    doc: 'URL of one Redis: `redis://host:6379`, or `rediss://user:password@host:6379/0` over TLS.',
    omitted: 'none; one of `redis`, `sentinel` and `cluster` is required',
  }),
  sentinel: field(
    z.strictObject({
      name: field(text, { doc: 'Name of the master, as the sentinels monitor it.' }),
      nodes: field(nodes, { doc: 'The sentinels: `host:port`; the default port is 26379.' }),
      ...redisLogin,
      database: field(count(0, 1_000_000), { doc: 'Number of the database.', fallback: 0 }),
      sentinel_username: field(text, { doc: 'User of the sentinels (ACL).', omitted: '`default`' }),
      sentinel_password: field(text, { doc: 'Password of the sentinels.', omitted: 'none' }),
    }),
    { doc: 'A Redis whose master Redis Sentinel chooses.', omitted: 'none' },
  ),
  cluster: field(
    z.strictObject({
      nodes: field(nodes, {
        doc: 'Some nodes of the cluster, or its configuration endpoint: `host:port`; the default port is 6379.',
      }),
      ...redisLogin,
    }),
    { doc: 'A Redis Cluster.', omitted: 'none' },
  ),
  tls: field(z.union([z.literal(true), redisTls], { error: 'must be `true`, or a mapping with keys such as `ca`' }), {
    doc: 'TLS of connections to Redis and to the sentinels: `true`, or a private authority, client certificate, server name.',
    omitted: 'TLS only for a `rediss://` URL',
  }),
  encryption_key: field(text, {
    doc:
      'Key that encrypts the tokens in Redis, the same on all replicas, ' +
      `at least ${MIN_ENCRYPTION_KEY_LENGTH} characters.`,
  }),
  previous_keys: field(z.array(text), {
    doc: 'Previous values of `encryption_key`, which still decrypt.',
    omitted: 'none',
  }),
});

const tls = z.strictObject({
  cert: field(text, {
    doc: 'PEM file of the certificate, followed by its chain. A relative path starts at the folder of the configuration.',
  }),
  key: field(text, { doc: 'PEM file of its unencrypted private key.' }),
  client_ca: field(text, {
    doc: 'PEM file of the authorities that issue client certificates. Every client then needs one.',
    omitted: 'no client certificates',
  }),
});

const addressField = field(address, { doc: '`host:port`; port 0 picks a free one.' });

/** An address written as a text, in the shape that it has as a mapping. */
const addressAlone = address.transform(
  (written): { readonly address: ListenAddress; readonly tls?: undefined; readonly token?: undefined } => ({
    address: written,
  }),
);

/** The default addresses, as a file has them. */
export const DEFAULT_ADDRESSES = { listen: '127.0.0.1:8080', admin: '127.0.0.1:9901' } as const;

const MAX_WORKERS = 256;

export const configSchema = z
  .strictObject({
    listen: field(
      z.union(
        [
          addressAlone,
          z.strictObject({
            address: addressField,
            tls: field(tls, {
              doc: 'Serves HTTPS in place of HTTP. Turning it on or off takes effect after a restart.',
              omitted: 'plain HTTP',
            }),
          }),
        ],
        { error: 'must be an address and a port such as `127.0.0.1:8080`' },
      ),
      {
        doc:
          'Address of the proxy: `host:port`; port 0 picks a free one. If other machines can reach it, `clients`, ' +
          '`listen.tls.client_ca` or `open: true` is required. A change takes effect after a restart.',
        default: DEFAULT_ADDRESSES.listen,
      },
    ),
    admin: field(
      z.union(
        [
          addressAlone,
          z.literal(false),
          z.strictObject({
            address: addressField,
            token: field(text, {
              doc:
                'Token that the dashboard and its API require on an address that other machines can reach, ' +
                `at least ${CLIENT_KEY_LENGTH.min} characters.`,
              omitted: 'none; on such an address they stay closed',
            }),
          }),
        ],
        { error: 'must be an address and a port such as `127.0.0.1:9901`, or `false`' },
      ),
      {
        doc:
          'Address of `/livez`, `/readyz`, `/metrics` and the dashboard: `host:port`, or `false` to turn them off. ' +
          'A change of the address takes effect after a restart.',
        default: DEFAULT_ADDRESSES.admin,
      },
    ),
    environment: field(environment, {
      doc: 'Environment of every route that does not set its own. It selects the hosts of the providers.',
      default: 'sandbox',
    }),
    routes: field(z.record(text.meta({ pattern: '^/(.*/)?\\*$' }), route), {
      doc: 'Routes by path prefix: `/mpesa/*`. The longest prefix of whole segments wins, and is removed from the path.',
    }),
    clients: field(z.array(client).min(1, { error: 'is empty; remove it, or add at least one client' }), {
      doc: 'The clients that may use the proxy.',
      omitted: 'anyone on this machine',
    }),
    open: field(flag, { doc: 'Lets everyone who can reach `listen` use the proxy.', default: false }),
    allowed_hosts: field(z.array(text), {
      doc: 'Accepted `Host` headers, in addition to loopback names and, with `open: true`, names that no web page can have.',
      omitted: 'none',
    }),
    allowed_origins: field(z.array(text), {
      doc: 'Web origins whose pages may use the proxy: `https://app.example`.',
      omitted: 'none',
    }),
    egress_proxy: field(egressProxy, {
      doc: 'HTTP proxy for every route without its own: `http://user:password@host:3128`, or `false` for none.',
      omitted: 'from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`',
    }),
    token_store: field(tokenStore, {
      doc: 'Shares tokens between replicas through Redis. A change takes effect after a restart.',
      omitted: 'each process has its own tokens',
    }),
    workers: field(
      z.union([z.literal('auto'), count(1, MAX_WORKERS).meta({ description: 'Number of processes.' })], {
        error: `must be \`auto\` or a whole number from 1 to ${MAX_WORKERS}`,
      }),
      {
        doc: 'Number of processes that serve; `auto` is one per core. A change takes effect after a restart.',
        default: 1,
      },
    ),
    max_connections: field(count(1, 1_000_000), {
      doc: 'Concurrent client connections, in each of the `workers`. Requests on more get 503 `overloaded`.',
      omitted: 'no limit',
    }),
    keep_alive_timeout: field(duration('1s', '24h'), {
      doc:
        'How long an idle client connection stays open. Longer than the idle timeout of a load balancer in front of ' +
        'Wakala, so that the load balancer closes first. A reload applies to a connection from its next response on.',
      default: '65s',
    }),
    drain_timeout: field(duration('0ms', '1h'), {
      doc: 'Time that running requests have to finish at shutdown.',
      default: '25s',
    }),
    inspect_bodies: field(flag, {
      doc:
        'Keeps the masked bodies of recent requests for the inspector, never those of production routes. ' +
        '`true` in `wakala dev`.',
      fallback: false,
    }),
    log: field(log, {
      doc: 'What is logged to standard error, and how.',
      default: {},
      omitted: 'the default of each key',
    }),
    tracing: field(
      z.strictObject({
        otlp: field(text, {
          doc: 'URL of a collector that accepts OTLP over HTTP, without `/v1/traces`: `http://127.0.0.1:4318`.',
        }),
      }),
      {
        doc: 'Sends a trace of each request to an OpenTelemetry collector. A change takes effect after a restart.',
        omitted: 'no traces are sent',
      },
    ),
  })
  .meta({ title: 'Wakala configuration', description: 'The configuration file of Wakala, proxy.config.yaml.' });

/** The values of an empty file. */
export const DEFAULTS = configSchema.parse({ routes: {} });

/** The values of a file: units are numbers, addresses and rules are taken apart, defaults are filled in. */
export type ConfigInput = z.output<typeof configSchema>;
export type RouteInput = z.output<typeof route>;
export type TlsInput = z.output<typeof tls>;
export type RouteTlsInput = z.output<typeof routeTls>;
export type OAuth2Input = z.output<typeof oauth2>;
export type TokenInput = z.output<typeof token>;
export type RequestInput = NonNullable<TokenInput['request']>;
export type ResponseInput = NonNullable<TokenInput['response']>;
