import { z } from 'zod';
import { ALGORITHMS } from '../client-assertion.ts';
import { CLIENT_AUTHS } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import type { ListenAddress } from './config.ts';
import {
  DURATION_PATTERN,
  formatDuration,
  formatSize,
  parseAddress,
  parseDuration,
  parseSize,
  SIZE_PATTERN,
} from './values.ts';

/** What a key means that the file leaves out, as one would write it there. */
export const DEFAULTS = {
  listen: '127.0.0.1:8080',
  admin: '127.0.0.1:9901',
  environment: 'sandbox',
  drain_timeout: '25s',
  timeout: '60s',
  connect_timeout: '5s',
  max_body: '10MiB',
  replay_limit: '64KiB',
  max_websockets: 1000,
  websocket_idle_timeout: '10m',
  default_lifetime: '5m',
} as const;

/** The largest and smallest values that make sense. */
export const BOUNDS = {
  timeoutMs: { min: 1, max: 24 * 3_600_000 },
  drainTimeoutMs: { min: 0, max: 3_600_000 },
  lifetimeMs: { min: 1000, max: 365 * 24 * 3_600_000 },
  bodyBytes: { min: 0, max: 1024 ** 4 },
  replayBytes: { min: 0, max: 64 * 1024 ** 2 },
  connections: { min: 1, max: 1_000_000 },
  workers: { min: 1, max: 256 },
  clientKeyLength: { min: 16, max: 4096 },
  encryptionKeyLength: { min: 32 },
} as const;

interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function text(description: string) {
  return z.string().meta({ description });
}

/** A mapping of free names to texts. */
export function texts(description: string) {
  return z.record(z.string(), z.string()).meta({ description });
}

/** `60s`, as milliseconds. */
export function duration(description: string, bounds: Bounds, defaultText?: string) {
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number'
          ? `a duration needs a unit: \`${input}s\` for seconds, \`${input}ms\` for milliseconds`
          : 'must be a duration such as `500ms`, `60s`, `5m` or `1h`',
    })
    .transform((written, context) => {
      const ms = parseDuration(written);
      if (ms !== undefined && ms >= bounds.min && ms <= bounds.max) return ms;
      const range = `must be between ${formatDuration(bounds.min)} and ${formatDuration(bounds.max)}`;
      const message =
        ms === undefined ? 'must be a duration: a whole number and a unit, `500ms`, `60s`, `5m` or `1h`' : range;
      context.issues.push({ code: 'custom', message, input: written });
      return z.NEVER;
    })
    .meta({ description, pattern: DURATION_PATTERN, ...(defaultText && { fallback: defaultText }) });
}

/** `10MiB`, or a number of bytes, as bytes. */
export function size(description: string, bounds: Bounds, defaultText: string) {
  const message = 'must be a size such as `64KiB`, `10MiB`, `1MB`, or a whole number of bytes';
  return z
    .union([z.string().meta({ pattern: SIZE_PATTERN }), z.int()], { error: message })
    .transform((written, context) => {
      const bytes = typeof written === 'number' ? written : parseSize(written);
      if (bytes !== undefined && bytes >= bounds.min && bytes <= bounds.max) return bytes;
      const range = `must be between ${formatSize(bounds.min)} and ${formatSize(bounds.max)}`;
      context.issues.push({ code: 'custom', message: bytes === undefined ? message : range, input: written });
      return z.NEVER;
    })
    .meta({ description, fallback: defaultText });
}

/** A whole number within bounds. */
function count(description: string, { min, max }: Bounds, fallback?: number) {
  const message = `must be a whole number between ${min} and ${max}`;
  return z
    .int({ error: message })
    .min(min, { error: message })
    .max(max, { error: message })
    .meta({ description, ...(fallback !== undefined && { fallback }) });
}

/** `host:port`. */
export const address = z.string().transform((written, context) => {
  const parsed = parseAddress(written);
  if ('value' in parsed) return parsed.value;
  context.issues.push({ code: 'custom', message: parsed.problem, input: written });
  return z.NEVER;
});

interface Range {
  readonly min: number;
  readonly max: number;
}

/** A sentence for descriptions: `From 1ms to 24h.` The JSON Schema of a text cannot say it otherwise. */
function fromTo({ min, max }: Range, format: typeof formatDuration | typeof formatSize): string {
  return `From \`${format(min)}\` to \`${format(max)}\`.`;
}

const request = z
  .strictObject({
    method: z
      .enum(['GET', 'POST'])
      .meta({ description: 'Method of the request; a `GET` has no body.', fallback: 'POST' })
      .optional(),
    path: text(
      "Path below `auth_server`: `/oauth2/token`. Default: the provider's; without one, `path` or `url` is required.",
    ).optional(),
    url: text('The whole URL, in place of `path`. Default: none.').optional(),
    query: texts("Query parameters, by name. Default: the provider's.").optional(),
    headers: texts("Headers of the request, by name. Default: the provider's.").optional(),
    basic: z
      .strictObject({
        username: text('User name: `{consumer_key}`.'),
        password: text('Password: `{consumer_secret}`.'),
      })
      .meta({ description: "HTTP Basic authentication. Default: the provider's." })
      .optional(),
    json: texts(
      "The body, as JSON; at most one of `json`, `form` and `multipart`. Default: the provider's body.",
    ).optional(),
    form: texts("The body, as application/x-www-form-urlencoded. Default: the provider's body.").optional(),
    multipart: texts("The body, as multipart/form-data. Default: the provider's body.").optional(),
  })
  .meta({
    description:
      'The request that asks for a token. `{name}` stands for a value under `credentials`. Over a built-in ' +
      "provider's request, query and headers are merged by name; a body replaces the provider's whole body. " +
      "Default: the provider's.",
  });

const response = z
  .strictObject({
    access_token: text("Where the token is. Default: the provider's; required without one.").optional(),
    expires_in: text(
      "Where its lifetime is: seconds, a number or a string. Default: the provider's, or nowhere.",
    ).optional(),
    expires_at: text(
      "Where the time of its expiry is: epoch seconds, epoch milliseconds or ISO 8601. Default: the provider's, or nowhere.",
    ).optional(),
    refresh_token: text("Where the refresh token is. Default: the provider's, or nowhere.").optional(),
  })
  .meta({
    description:
      "Where the answer holds what: dotted paths into its JSON, such as `data.accessToken`. Default: the provider's.",
  });

const refresh = z.strictObject({ request: request.optional(), response: response.optional() }).meta({
  description:
    'How to exchange a refresh token for the next token; `{refresh_token}` stands for it. The answer is read as ' +
    "the token request's answer is, unless `response` says otherwise. Default: the provider's, or none.",
});

const answerRule = z
  .strictObject({
    status: z.int().min(200).max(599).meta({ description: 'Status of the answer.' }),
    body: z
      .record(z.string(), z.union([z.string(), z.number()], { error: 'must be a text or a number' }))
      .meta({ description: 'Values that its JSON must have too, by dotted path. Default: any body will do.' })
      .optional(),
  })
  .meta({ description: 'An answer: its status, and values of its JSON.' });

export const tokenHeader = z
  .strictObject({
    name: text('Name of the header.')
      .meta({ description: 'Name of the header.', fallback: 'Authorization' })
      .optional(),
    scheme: text(
      'What stands before the token, with a space between. Default: `Bearer` in `Authorization`, nothing elsewhere.',
    ).optional(),
  })
  .meta({
    description:
      "Which header carries the token on API calls. Default: the provider's, mostly `Authorization: Bearer`.",
  });

export const token = z
  .strictObject({
    request: request.optional(),
    response: response.optional(),
    refresh: refresh.optional(),
    default_lifetime: duration(
      'How long a token lives where neither the answer nor the token itself says so; a provider may have its own ' +
        `default. ${fromTo(BOUNDS.lifetimeMs, formatDuration)}`,
      BOUNDS.lifetimeMs,
      DEFAULTS.default_lifetime,
    ).optional(),
    dead_token: z
      .array(answerRule)
      .min(1, { error: 'is empty; leave it out for a plain 401' })
      .meta({
        description:
          "API answers that mean that the token is dead; the list replaces the provider's. Default: the provider's, or a plain 401.",
      })
      .optional(),
    denied_token: z
      .array(answerRule)
      .min(1, { error: 'is empty; leave it out' })
      .meta({
        description:
          'Answers to the token request that mean that the credentials are wrong, beside 400, 401, 403 and 422. ' +
          "Default: the provider's, or none.",
      })
      .optional(),
  })
  .meta({
    description:
      'How to ask for a token: all of it for a service without built-in provider, or the parts that differ. ' +
      "Default: the provider's.",
  });

export type TokenInput = z.output<typeof token>;
export type RequestInput = z.output<typeof request>;
export type ResponseInput = z.output<typeof response>;

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

export const environment = z.enum(['sandbox', 'production']);

export const route = z
  .strictObject({
    provider: z
      .enum(providers.map((provider) => provider.name))
      .meta({
        description:
          'Built-in provider, as `wakala providers` lists them. Default: none; `token` is spelled out instead.',
      })
      .optional(),
    environment: environment.meta({ description: 'For this route only. Default: the top-level one.' }).optional(),
    credentials: texts(
      'What the provider issued to you, as variables or files; `wakala providers NAME` lists the fields. ' +
        'Default: none; those that the provider needs are required.',
    ).optional(),
    upstream: text("Base URL of the API. Default: the provider's; required where it has none.").optional(),
    auth_server: text(
      "Base URL of the token exchange. Default: the provider's, or `upstream` where both are one host.",
    ).optional(),
    token: token.optional(),
    oauth2: oauth2.optional(),
    encoding: z
      .enum(['multipart', 'form', 'json'])
      .meta({ description: "How the fields of the token request travel. Default: the provider's way." })
      .optional(),
    headers: texts(
      'Headers set on every API call; `{name}` stands for a value under `credentials`. ' +
        "Those of the provider that are not named stay. Default: the provider's.",
    ).optional(),
    token_header: tokenHeader.optional(),
    headers_from_token: texts(
      'Headers set on every API call whose values the token answer gives: dotted paths into its JSON. ' +
        "Default: the provider's, or none.",
    ).optional(),
    timeout: duration(
      'One deadline over body, token, attempt, refresh and second attempt, up to the head of the answer; then a bound ' +
        `on each silence. ${fromTo(BOUNDS.timeoutMs, formatDuration)}`,
      BOUNDS.timeoutMs,
      DEFAULTS.timeout,
    ).optional(),
    connect_timeout: duration(
      `Time to connect to the API, TLS included; no longer than \`timeout\`. ${fromTo(BOUNDS.timeoutMs, formatDuration)}`,
      BOUNDS.timeoutMs,
      DEFAULTS.connect_timeout,
    ).optional(),
    max_body: size(
      `Larger request bodies get 413 \`body_too_large\`. ${fromTo(BOUNDS.bodyBytes, formatSize)}`,
      BOUNDS.bodyBytes,
      DEFAULTS.max_body,
    ).optional(),
    replay_limit: size(
      'Request bodies up to this size are kept in memory for the second attempt; no larger than `max_body`. ' +
        fromTo(BOUNDS.replayBytes, formatSize),
      BOUNDS.replayBytes,
      DEFAULTS.replay_limit,
    ).optional(),
    replay: z
      .union([z.boolean(), z.array(z.string())], {
        error: 'must be `true`, `false`, or a list of methods such as `[GET, POST]`',
      })
      .meta({
        description: 'What may be sent again after a dead token: all, nothing, or these methods.',
        fallback: true,
      })
      .optional(),
    allow: z
      .array(z.string())
      .min(1, { error: 'is empty and would refuse every call; leave it out to allow all' })
      .meta({
        description:
          'The calls that may pass, as `METHOD /path` below the prefix: `*` for any method, a path may end in `*`. ' +
          'Others get 403 `path_refused`. Default: all may.',
        examples: [['POST /mpesa/stkpush/*', 'GET /*']],
      })
      .optional(),
    token_paths: z
      .enum(['placeholder', 'refuse'])
      .meta({
        description:
          "What becomes of calls to the provider's own login: a placeholder token, or 403 `path_refused`. " +
          'None reaches the provider.',
        fallback: 'placeholder',
      })
      .optional(),
    max_concurrency: count(
      'Requests at once on this route, in each of the `workers`; more get 503 `overloaded`. Open WebSockets count apart. ' +
        'Default: no limit.',
      BOUNDS.connections,
    ).optional(),
    websocket: z
      .boolean()
      .meta({
        description: 'Let WebSocket handshakes through, with the token on them; else they get 501 `upgrade_refused`.',
        fallback: false,
      })
      .optional(),
    max_websockets: count(
      'Open WebSockets at once on this route, in each of the `workers`; more get 503 `overloaded`.',
      BOUNDS.connections,
      DEFAULTS.max_websockets,
    ).optional(),
    websocket_idle_timeout: duration(
      `A WebSocket is closed after this long without a byte in either direction. ${fromTo(BOUNDS.timeoutMs, formatDuration)}`,
      BOUNDS.timeoutMs,
      DEFAULTS.websocket_idle_timeout,
    ).optional(),
  })
  .meta({ description: 'Where calls below this prefix go, and how their token is got.' });

/**
 * The configuration file. It says which keys there are and what a single value looks like; `resolve.ts` checks
 * what values mean together. Everything is optional that can be missed with a better message there.
 *
 * Descriptions are sentences, for editors and for docs/configuration-reference.md. The last one may begin with
 * `Default:`, where that is no value of the key, and the one before it may be a range (`From 1ms to 24h.`): the
 * reference has columns for both.
 */

const client = z
  .strictObject({
    name: text('Name of the caller: user name of HTTP Basic, common name of a client certificate.').optional(),
    key: text(
      `What the client sends as its bearer token; at least ${BOUNDS.clientKeyLength.min} characters. ` +
        'Default: none, which only `listen.tls.client_ca` allows.',
    ).optional(),
    routes: z
      .array(z.string())
      .min(1, { error: 'is empty; leave it out to allow all routes' })
      .meta({ description: 'The routes it may call, as they are named under `routes`. Default: all.' })
      .optional(),
  })
  .meta({ description: 'A caller that may use the proxy.', required: ['name'] });

const log = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'])
      .meta({ description: 'The least severity that is logged.', fallback: 'info' })
      .optional(),
    format: z
      .enum(['auto', 'pretty', 'json'])
      .meta({
        description:
          '`pretty` is one line for people, `auto` that on a terminal and JSON elsewhere. A change takes a restart.',
        fallback: 'auto',
      })
      .optional(),
    requests: z
      .boolean()
      .meta({
        description: 'A line for each request that went well, too; the others get one anyway. `true` in `wakala dev`.',
        fallback: false,
      })
      .optional(),
  })
  .meta({ description: 'What is logged to standard error, and how. Default: that of each key.' });

const tokenStore = z
  .strictObject({
    redis: text('Where Redis is: `redis://host:6379`, or `rediss://user:password@host:6379/0` over TLS.'),
    encryption_key: text(
      'What tokens are sealed with before they leave, the same for all replicas; ' +
        `at least ${BOUNDS.encryptionKeyLength.min} characters.`,
    ),
    previous_keys: z
      .array(z.string())
      .meta({ description: 'Keys that still open what was sealed before `encryption_key` was changed. Default: none.' })
      .optional(),
  })
  .meta({
    description:
      'Replicas with the same credentials share one token by way of Redis. A change takes a restart. ' +
      'Default: each process has its own tokens.',
  });

const tracing = z
  .strictObject({
    otlp: text('Where the collector takes OTLP over HTTP, without `/v1/traces`: `http://127.0.0.1:4318`.'),
  })
  .meta({
    description:
      'Sends a trace of each request to an OpenTelemetry collector. A change takes a restart. Default: no traces are sent.',
  });

const tls = z
  .strictObject({
    cert: text(
      'PEM file of the certificate, its chain after it. A relative path starts at the folder of the configuration.',
    ),
    key: text('PEM file of its private key, unencrypted.'),
    client_ca: text(
      'PEM file of the authorities whose client certificates are taken: every caller then needs one. Default: none is asked for.',
    ).optional(),
  })
  .meta({ description: 'Serves HTTPS in place of HTTP. Turning it on or off takes a restart. Default: plain HTTP.' });

const host = text('`host:port`; port 0 picks a free one.').pipe(address);
const listenObject = z.strictObject({ address: host, tls: tls.optional() });
const adminObject = z.strictObject({
  address: host,
  token: text(
    'What the dashboard and its API ask for on an address that others can reach; ' +
      `at least ${BOUNDS.clientKeyLength.min} characters. Default: none; there they stay closed.`,
  ).optional(),
});
interface Alone {
  readonly address: ListenAddress;
  readonly tls?: undefined;
  readonly token?: undefined;
}
const addressAlone = address.transform((written): Alone => ({ address: written }));

export const configSchema = z
  .strictObject({
    listen: z
      .union([addressAlone, listenObject], { error: 'must be an address and a port such as `127.0.0.1:8080`' })
      .meta({
        description:
          'Where the proxy listens: `host:port`; port 0 picks a free one. Where others can reach it, `clients`, ' +
          '`listen.tls.client_ca` or `open: true` is required. A change takes a restart.',
        fallback: DEFAULTS.listen,
      })
      .optional(),
    admin: z
      .union([addressAlone, z.literal(false), adminObject], {
        error: 'must be an address and a port such as `127.0.0.1:9901`, or `false`',
      })
      .meta({
        description:
          'Where `/livez`, `/readyz`, `/metrics` and the dashboard are: `host:port`, or `false` for nowhere. ' +
          'A change of the address takes a restart.',
        fallback: DEFAULTS.admin,
      })
      .optional(),
    environment: environment
      .meta({
        description: "Which of the providers' hosts every route uses that does not say otherwise.",
        fallback: DEFAULTS.environment,
      })
      .optional(),
    routes: z.record(z.string().meta({ pattern: '^/(.*/)?\\*$' }), route).meta({
      description:
        'Routes by path prefix: `/mpesa/*`. The longest that matches whole segments wins; the prefix is cut off.',
    }),
    clients: z
      .array(client)
      .min(1, { error: 'is empty; leave it out, or name at least one client' })
      .meta({ description: 'Who may call, where not just anyone may. Default: anyone on this machine.' })
      .optional(),
    open: z.boolean().meta({ description: 'Lets anyone call who can reach `listen`.', fallback: false }).optional(),
    allowed_hosts: z
      .array(z.string())
      .meta({
        description:
          'Host headers that are taken, beside loopback names and, with `open: true`, names that no web page can have. Default: none.',
      })
      .optional(),
    allowed_origins: z
      .array(z.string())
      .meta({ description: 'Web origins whose pages may call: `https://app.example`. Default: none.' })
      .optional(),
    token_store: tokenStore.optional(),
    workers: z
      .union([z.literal('auto'), count('Processes that serve.', BOUNDS.workers)], {
        error: `must be \`auto\` or a whole number from ${BOUNDS.workers.min} to ${BOUNDS.workers.max}`,
      })
      .meta({
        description: 'Processes that serve the address; `auto`: one for each core. A change takes a restart.',
        fallback: 1,
      })
      .optional(),
    max_connections: count(
      'Client connections at once, in each of the `workers`; requests on more get 503 `overloaded`. Default: no limit.',
      BOUNDS.connections,
    ).optional(),
    drain_timeout: duration(
      `How long requests under way may take to finish at shutdown. ${fromTo(BOUNDS.drainTimeoutMs, formatDuration)}`,
      BOUNDS.drainTimeoutMs,
      DEFAULTS.drain_timeout,
    ).optional(),
    inspect_bodies: z
      .boolean()
      .meta({
        description:
          'Keeps the bodies of the last requests for the inspector, masked; never those of production routes. ' +
          '`true` in `wakala dev`.',
        fallback: false,
      })
      .optional(),
    log: log.optional(),
    tracing: tracing.optional(),
  })
  .meta({ title: 'Wakala configuration', description: 'The configuration file of Wakala, proxy.config.yaml.' });

/** The file's values after the schema: units are numbers, addresses are taken apart, nothing is defaulted. */
export type ConfigInput = z.output<typeof configSchema>;
export type RouteInput = z.output<typeof route>;
export type TlsInput = z.output<typeof tls>;
