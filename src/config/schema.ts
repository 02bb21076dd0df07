import { z } from 'zod';
import { ALGORITHMS } from '../client-assertion.ts';
import { CLIENT_AUTHS } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import {
  type DurationText,
  type ListenAddress,
  type Parsed,
  parseAddress,
  parseAllow,
  parseDuration,
  parseMethod,
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
 * - `fallback`: the same, but something else goes before it, such as the provider; code applies it with `fallbackOf`.
 * - `omitted`: what holds without the key, in words, where no value says it: `the provider's`. Beside `default` it
 *   stands for the value in the documentation.
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
          ? 'must be a duration: a whole number and a unit, `500ms`, `60s`, `5m` or `1h`'
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

/** What a caller may prove itself with has this many characters. */
export const CLIENT_KEY_LENGTH = { min: 16, max: 4096 } as const;
export const MIN_ENCRYPTION_KEY_LENGTH = 32;

const request = field(
  z.strictObject({
    method: field(z.enum(['GET', 'POST']), {
      doc: 'Method of the request; a `GET` has no body.',
      fallback: 'POST',
    }),
    path: field(text, {
      doc: 'Path below `auth_server`: `/oauth2/token`.',
      omitted: "the provider's; without one, `path` or `url` is required",
    }),
    url: field(text, { doc: 'The whole URL, in place of `path`.', omitted: 'none' }),
    query: field(texts, { doc: 'Query parameters, by name.', omitted: "the provider's" }),
    headers: field(texts, { doc: 'Headers of the request, by name.', omitted: "the provider's" }),
    basic: field(
      z.strictObject({
        username: field(text, { doc: 'User name: `{consumer_key}`.' }),
        password: field(text, { doc: 'Password: `{consumer_secret}`.' }),
      }),
      { doc: 'HTTP Basic authentication.', omitted: "the provider's" },
    ),
    json: field(texts, {
      doc: 'The body, as JSON; at most one of `json`, `form` and `multipart`.',
      omitted: "the provider's body",
    }),
    form: field(texts, { doc: 'The body, as application/x-www-form-urlencoded.', omitted: "the provider's body" }),
    multipart: field(texts, { doc: 'The body, as multipart/form-data.', omitted: "the provider's body" }),
  }),
  {
    doc:
      'The request that asks for a token. `{name}` stands for a value under `credentials`. Over a built-in ' +
      "provider's request, query and headers are merged by name; a body replaces the provider's whole body.",
    omitted: "the provider's",
  },
);

const response = field(
  z.strictObject({
    access_token: field(text, { doc: 'Where the token is.', omitted: "the provider's; required without one" }),
    expires_in: field(text, {
      doc: 'Where its lifetime is: seconds, a number or a string.',
      omitted: "the provider's, or nowhere",
    }),
    expires_at: field(text, {
      doc: 'Where the time of its expiry is: epoch seconds, epoch milliseconds or ISO 8601.',
      omitted: "the provider's, or nowhere",
    }),
    refresh_token: field(text, { doc: 'Where the refresh token is.', omitted: "the provider's, or nowhere" }),
  }),
  {
    doc: 'Where the answer holds what: dotted paths into its JSON, such as `data.accessToken`.',
    omitted: "the provider's",
  },
);

const responseRule = field(
  z.strictObject({
    status: field(z.int().min(200).max(599), { doc: 'Status of the answer.' }),
    body: field(z.record(text, z.union([text, z.number()], { error: 'must be a text or a number' })), {
      doc: 'Values that its JSON must have too, by dotted path.',
      omitted: 'any body will do',
    }),
  }),
  { doc: 'An answer: its status, and values of its JSON.' },
);

export const token = z.strictObject({
  request,
  response,
  refresh: field(z.strictObject({ request, response }), {
    doc:
      'How to exchange a refresh token for the next token; `{refresh_token}` stands for it. The answer is read as ' +
      "the token request's answer is, unless `response` says otherwise.",
    omitted: "the provider's, or none",
  }),
  default_lifetime: field(duration('1s', '8760h'), {
    doc:
      'How long a token lives where neither the answer nor the token itself says so; a provider may have its own ' +
      'default.',
    fallback: '5m',
  }),
  dead_token: field(z.array(responseRule).min(1, { error: 'is empty; leave it out for a plain 401' }), {
    doc: "API answers that mean that the token is dead; the list replaces the provider's.",
    omitted: "the provider's, or a plain 401",
  }),
  denied_token: field(z.array(responseRule).min(1, { error: 'is empty; leave it out' }), {
    doc: 'Answers to the token request that mean that the credentials are wrong, beside 400, 401, 403 and 422.',
    omitted: "the provider's, or none",
  }),
});

export const oauth2 = z.strictObject({
  issuer: field(text, {
    doc: 'The server, exactly as it names itself in its metadata, which says where its token endpoint is.',
    omitted: 'none; this or `token_endpoint` is required',
  }),
  token_endpoint: field(text, {
    doc: 'The whole URL that tokens are asked for at, in place of `issuer`.',
    omitted: 'what the metadata of `issuer` says',
  }),
  scope: field(text, { doc: 'The scopes asked for, with spaces between.', omitted: 'none' }),
  audience: field(text, {
    doc: 'The `audience` asked for, where the server has such a parameter.',
    omitted: 'none',
  }),
  resource: field(
    z.union([text, z.array(text).min(1, { error: 'is empty; leave it out' })], {
      error: 'must be a text or a list of texts',
    }),
    { doc: 'The API that the token is for (RFC 8707): a URL, or a list of them.', omitted: 'none' },
  ),
  client_auth: field(z.enum(CLIENT_AUTHS), {
    doc: 'How the client shows who it is.',
    fallback: 'client_secret_basic',
  }),
  key: field(text, {
    doc:
      'The private key of `private_key_jwt` (PEM or JWK) or `tls_client_auth` (PEM), from a file: `$' +
      '{file:/path}`.',
    omitted: 'none; both require it',
  }),
  key_id: field(text, { doc: '`kid` of the assertion of `private_key_jwt`.', omitted: "the JWK's own, or none" }),
  algorithm: field(z.enum(ALGORITHMS), {
    doc: 'What the assertion of `private_key_jwt` is signed with.',
    omitted: "the JWK's `alg`, or what fits the key, for RSA `RS256`",
  }),
  assertion_audience: field(text, {
    doc: '`aud` of the assertion of `private_key_jwt`.',
    omitted: '`issuer`, or `token_endpoint` where that is given',
  }),
  cert: field(text, {
    doc: 'The certificate of `tls_client_auth` as PEM, its chain after it.',
    omitted: 'none; `tls_client_auth` requires it',
  }),
  refresh_token: field(text, {
    doc: 'A refresh token that you were given: tokens are asked for with it.',
    omitted: 'none; the client credentials will do',
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
      doc: 'One deadline over body, token, attempt, refresh and second attempt, up to the head of the answer; then a bound on each silence.',
      default: '60s',
    }),
  ),
  connect_timeout: setting(
    'connectTimeoutMs',
    field(duration('1ms', '24h'), {
      doc: 'Time to connect to the API, TLS included; no longer than `timeout`.',
      default: '5s',
    }),
    { atMost: 'timeout' },
  ),
  max_body: setting(
    'maxBodyBytes',
    field(size('0', '1024GiB'), { doc: 'Larger request bodies get 413 `body_too_large`.', default: '10MiB' }),
  ),
  replay_limit: setting(
    'replayLimitBytes',
    field(size('0', '64MiB'), {
      doc: 'Request bodies up to this size are kept in memory for the second attempt; no larger than `max_body`.',
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
      { doc: 'What may be sent again after a dead token: all, nothing, or these methods.', default: true },
    ),
  ),
  allow: setting(
    'allow',
    field(
      z.array(parsed(parseAllow)).min(1, { error: 'is empty and would refuse every call; leave it out to allow all' }),
      {
        doc:
          'The calls that may pass, as `METHOD /path` below the prefix: `*` for any method, a path may end in `*`. ' +
          'Others get 403 `path_refused`.',
        omitted: 'all may',
        examples: [['POST /mpesa/stkpush/*', 'GET /*']],
      },
    ),
  ),
  token_paths: setting(
    'tokenPaths',
    field(z.enum(['placeholder', 'refuse']), {
      doc:
        "What becomes of calls to the provider's own login: a placeholder token, or 403 `path_refused`. " +
        'None reaches the provider.',
      default: 'placeholder',
    }),
  ),
  max_concurrency: setting(
    'maxConcurrency',
    field(count(1, 1_000_000), {
      doc: 'Requests at once on this route, in each of the `workers`; more get 503 `overloaded`. Open WebSockets count apart.',
      omitted: 'no limit',
    }),
  ),
  websocket: setting(
    'websocket',
    field(flag, {
      doc: 'Let WebSocket handshakes through, with the token on them; else they get 501 `upgrade_refused`.',
      default: false,
    }),
  ),
  max_websockets: setting(
    'maxWebsockets',
    field(count(1, 1_000_000), {
      doc: 'Open WebSockets at once on this route, in each of the `workers`; more get 503 `overloaded`.',
      default: 1000,
    }),
    { onlyWith: 'websocket' },
  ),
  websocket_idle_timeout: setting(
    'websocketIdleTimeoutMs',
    field(duration('1ms', '24h'), {
      doc: 'A WebSocket is closed after this long without a byte in either direction.',
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

const route = field(
  z.strictObject({
    provider: field(z.enum(providers.map((provider) => provider.name)), {
      doc: 'Built-in provider, as `wakala providers` lists them.',
      omitted: 'none; `token` is spelled out instead',
    }),
    environment: field(environment, { doc: 'For this route only.', omitted: 'the top-level one' }),
    credentials: field(texts, {
      doc: 'What the provider issued to you, as variables or files; `wakala providers NAME` lists the fields.',
      omitted: 'none; those that the provider needs are required',
    }),
    upstream: field(text, { doc: 'Base URL of the API.', omitted: "the provider's; required where it has none" }),
    auth_server: field(text, {
      doc: 'Base URL of the token exchange.',
      omitted: "the provider's, or `upstream` where both are one host",
    }),
    token: field(token, {
      doc: 'How to ask for a token: all of it for a service without built-in provider, or the parts that differ.',
      omitted: "the provider's",
    }),
    oauth2: field(oauth2, {
      doc: 'Where and how a route of `provider: oauth2` asks for tokens.',
      omitted: 'none; `provider: oauth2` requires it',
    }),
    encoding: field(z.enum(['multipart', 'form', 'json']), {
      doc: 'How the fields of the token request travel.',
      omitted: "the provider's way",
    }),
    headers: field(texts, {
      doc:
        'Headers set on every API call; `{name}` stands for a value under `credentials`. ' +
        'Those of the provider that are not named stay.',
      omitted: "the provider's",
    }),
    token_header: field(
      z.strictObject({
        name: field(text, { doc: 'Name of the header.', fallback: 'Authorization' }),
        scheme: field(text, {
          doc: 'What stands before the token, with a space between.',
          omitted: '`Bearer` in `Authorization`, nothing elsewhere',
        }),
      }),
      {
        doc: 'Which header carries the token on API calls.',
        omitted: "the provider's, mostly `Authorization: Bearer`",
      },
    ),
    headers_from_token: field(texts, {
      doc: 'Headers set on every API call whose values the token answer gives: dotted paths into its JSON.',
      omitted: "the provider's, or none",
    }),
    ...settingSchemas,
  }),
  { doc: 'Where calls below this prefix go, and how their token is got.' },
);

const client = field(
  z.strictObject({
    name: text
      .meta({ description: 'Name of the caller: user name of HTTP Basic, common name of a client certificate.' })
      .optional(),
    key: field(text, {
      doc: `What the client sends as its bearer token; at least ${CLIENT_KEY_LENGTH.min} characters.`,
      omitted: 'none, which only `listen.tls.client_ca` allows',
    }),
    routes: field(z.array(text).min(1, { error: 'is empty; leave it out to allow all routes' }), {
      doc: 'The routes it may call, as they are named under `routes`.',
      omitted: 'all',
    }),
  }),
  { doc: 'A caller that may use the proxy.' },
).meta({ required: ['name'] });

const log = z.strictObject({
  level: field(z.enum(['debug', 'info', 'warn', 'error', 'silent']), {
    doc: 'The least severity that is logged.',
    default: 'info',
  }),
  format: field(z.enum(['auto', 'pretty', 'json']), {
    doc: '`pretty` is one line for people, `auto` that on a terminal and JSON elsewhere. A change takes a restart.',
    default: 'auto',
  }),
  requests: field(flag, {
    doc: 'A line for each request that went well, too; the others get one anyway. `true` in `wakala dev`.',
    fallback: false,
  }),
});

const tokenStore = z.strictObject({
  redis: field(text, {
    doc: 'Where Redis is: `redis://host:6379`, or `rediss://user:password@host:6379/0` over TLS.',
  }),
  encryption_key: field(text, {
    doc:
      'What tokens are sealed with before they leave, the same for all replicas; ' +
      `at least ${MIN_ENCRYPTION_KEY_LENGTH} characters.`,
  }),
  previous_keys: field(z.array(text), {
    doc: 'Keys that still open what was sealed before `encryption_key` was changed.',
    omitted: 'none',
  }),
});

const tls = z.strictObject({
  cert: field(text, {
    doc: 'PEM file of the certificate, its chain after it. A relative path starts at the folder of the configuration.',
  }),
  key: field(text, { doc: 'PEM file of its private key, unencrypted.' }),
  client_ca: field(text, {
    doc: 'PEM file of the authorities whose client certificates are taken: every caller then needs one.',
    omitted: 'none is asked for',
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
              doc: 'Serves HTTPS in place of HTTP. Turning it on or off takes a restart.',
              omitted: 'plain HTTP',
            }),
          }),
        ],
        { error: 'must be an address and a port such as `127.0.0.1:8080`' },
      ),
      {
        doc:
          'Where the proxy listens: `host:port`; port 0 picks a free one. Where others can reach it, `clients`, ' +
          '`listen.tls.client_ca` or `open: true` is required. A change takes a restart.',
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
                'What the dashboard and its API ask for on an address that others can reach; ' +
                `at least ${CLIENT_KEY_LENGTH.min} characters.`,
              omitted: 'none; there they stay closed',
            }),
          }),
        ],
        { error: 'must be an address and a port such as `127.0.0.1:9901`, or `false`' },
      ),
      {
        doc:
          'Where `/livez`, `/readyz`, `/metrics` and the dashboard are: `host:port`, or `false` for nowhere. ' +
          'A change of the address takes a restart.',
        default: DEFAULT_ADDRESSES.admin,
      },
    ),
    environment: field(environment, {
      doc: "Which of the providers' hosts every route uses that does not say otherwise.",
      default: 'sandbox',
    }),
    routes: field(z.record(text.meta({ pattern: '^/(.*/)?\\*$' }), route), {
      doc: 'Routes by path prefix: `/mpesa/*`. The longest that matches whole segments wins; the prefix is cut off.',
    }),
    clients: field(z.array(client).min(1, { error: 'is empty; leave it out, or name at least one client' }), {
      doc: 'Who may call, where not just anyone may.',
      omitted: 'anyone on this machine',
    }),
    open: field(flag, { doc: 'Lets anyone call who can reach `listen`.', default: false }),
    allowed_hosts: field(z.array(text), {
      doc: 'Host headers that are taken, beside loopback names and, with `open: true`, names that no web page can have.',
      omitted: 'none',
    }),
    allowed_origins: field(z.array(text), {
      doc: 'Web origins whose pages may call: `https://app.example`.',
      omitted: 'none',
    }),
    token_store: field(tokenStore, {
      doc: 'Replicas with the same credentials share one token by way of Redis. A change takes a restart.',
      omitted: 'each process has its own tokens',
    }),
    workers: field(
      z.union([z.literal('auto'), count(1, MAX_WORKERS).meta({ description: 'Processes that serve.' })], {
        error: `must be \`auto\` or a whole number from 1 to ${MAX_WORKERS}`,
      }),
      {
        doc: 'Processes that serve the address; `auto`: one for each core. A change takes a restart.',
        default: 1,
      },
    ),
    max_connections: field(count(1, 1_000_000), {
      doc: 'Client connections at once, in each of the `workers`; requests on more get 503 `overloaded`.',
      omitted: 'no limit',
    }),
    drain_timeout: field(duration('0ms', '1h'), {
      doc: 'How long requests under way may take to finish at shutdown.',
      default: '25s',
    }),
    inspect_bodies: field(flag, {
      doc:
        'Keeps the bodies of the last requests for the inspector, masked; never those of production routes. ' +
        '`true` in `wakala dev`.',
      fallback: false,
    }),
    log: field(log, { doc: 'What is logged to standard error, and how.', default: {}, omitted: 'that of each key' }),
    tracing: field(
      z.strictObject({
        otlp: field(text, {
          doc: 'Where the collector takes OTLP over HTTP, without `/v1/traces`: `http://127.0.0.1:4318`.',
        }),
      }),
      {
        doc: 'Sends a trace of each request to an OpenTelemetry collector. A change takes a restart.',
        omitted: 'no traces are sent',
      },
    ),
  })
  .meta({ title: 'Wakala configuration', description: 'The configuration file of Wakala, proxy.config.yaml.' });

/** The configuration that a file with nothing in it stands for. */
export const DEFAULTS = configSchema.parse({ routes: {} });

/** The values of a file: units are numbers, addresses and rules are taken apart, defaults are filled in. */
export type ConfigInput = z.output<typeof configSchema>;
export type RouteInput = z.output<typeof route>;
export type TlsInput = z.output<typeof tls>;
export type OAuth2Input = z.output<typeof oauth2>;
export type TokenInput = z.output<typeof token>;
export type RequestInput = NonNullable<TokenInput['request']>;
export type ResponseInput = NonNullable<TokenInput['response']>;
