import { z } from 'zod';
import { providers } from '../providers/registry.ts';
import type { ListenAddress } from './config.ts';
import { BOUNDS, DEFAULTS } from './defaults.ts';
import { address, count, duration, size, text, texts } from './fields.ts';
import { oauth2 } from './schema-oauth2.ts';
import { token, tokenHeader } from './schema-token.ts';

/**
 * The configuration file. It says which keys there are and what a single value looks like; `resolve.ts` checks
 * what values mean together. Everything is optional that can be missed with a better message there.
 */

const environment = z.enum(['sandbox', 'production']);

const route = z
  .strictObject({
    provider: z
      .enum(providers.map((provider) => provider.name))
      .meta({ description: 'Built-in provider; see `wakala providers`. Leave it out to spell out `token` instead.' })
      .optional(),
    environment: environment.meta({ description: 'For this route only' }).optional(),
    credentials: texts(
      'What the provider issued to you; `wakala providers NAME` lists the fields. Refer to variables or files here.',
    ).optional(),
    upstream: text("API base URL, in place of the provider's").optional(),
    auth_server: text('Base URL of the token exchange, where it is not the API host').optional(),
    token: token.optional(),
    oauth2: oauth2.optional(),
    encoding: z
      .enum(['multipart', 'form', 'json'])
      .meta({ description: "How the fields of the token request travel, in place of the provider's way" })
      .optional(),
    headers: texts('Headers set on every API call; `{name}` stands for a value under `credentials`').optional(),
    token_header: tokenHeader.optional(),
    headers_from_token: texts(
      'Headers set on every API call whose values the token answer gives: dotted paths into its JSON',
    ).optional(),
    timeout: duration(
      'One deadline over attempt, refresh and second attempt',
      BOUNDS.timeoutMs,
      DEFAULTS.timeout,
    ).optional(),
    connect_timeout: duration('Time to connect', BOUNDS.timeoutMs, DEFAULTS.connect_timeout).optional(),
    max_body: size('Larger request bodies get 413', BOUNDS.bodyBytes, DEFAULTS.max_body).optional(),
    replay_limit: size(
      'Request bodies up to this size are kept in memory for the second attempt',
      BOUNDS.replayBytes,
      DEFAULTS.replay_limit,
    ).optional(),
    replay: z
      .union([z.boolean(), z.array(z.string())], {
        error: 'must be `true`, `false`, or a list of methods such as `[GET, POST]`',
      })
      .meta({ description: 'Which methods may be sent again after a dead token', fallback: true })
      .optional(),
    allow: z
      .array(z.string())
      .min(1, { error: 'is empty and would refuse every call; leave it out to allow all' })
      .meta({
        description: 'The calls that may pass, as `METHOD /path`: `*` for any method, a path may end in `*`',
        examples: [['POST /mpesa/stkpush/*', 'GET /*']],
      })
      .optional(),
    token_paths: z
      .enum(['placeholder', 'refuse'])
      .meta({
        description: "Calls to the provider's own login: answer them here with a placeholder, or refuse them",
        fallback: 'placeholder',
      })
      .optional(),
    max_concurrency: count('Requests at once to this upstream; more get 503', BOUNDS.connections).optional(),
    websocket: z.boolean().meta({ description: 'Let Upgrade through', fallback: false }).optional(),
  })
  .meta({ description: 'Where calls below this prefix go, and how their token is got' });

const client = z
  .strictObject({
    name: text('Shown in logs; user name of HTTP Basic, common name of a client certificate').optional(),
    key: text(
      `What the client sends as its bearer token; at least ${BOUNDS.clientKeyLength.min} characters. ` +
        'Only with `listen.tls.client_ca` it may be left out.',
    ).optional(),
    routes: z
      .array(z.string())
      .min(1, { error: 'is empty; leave it out to allow all routes' })
      .meta({ description: 'The routes it may call, as they are named under `routes`; all unless given' })
      .optional(),
  })
  .meta({ description: 'A caller that may use the proxy', required: ['name'] });

const log = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'])
      .meta({ description: 'The least severity that is logged', fallback: 'info' })
      .optional(),
    format: z
      .enum(['auto', 'pretty', 'json'])
      .meta({ description: 'One human line each, or JSON; auto: human on a terminal', fallback: 'auto' })
      .optional(),
    requests: z
      .boolean()
      .meta({ description: 'A line for each request that went well; the others get one anyway', fallback: false })
      .optional(),
  })
  .meta({ description: 'Logging' });

const tokenStore = z
  .strictObject({
    redis: text('Where Redis is: `redis://host:6379`, or `rediss://user:password@host:6379/0` over TLS'),
    encryption_key: text(
      `What tokens are sealed with before they leave, the same for all; at least ${BOUNDS.encryptionKeyLength.min} characters`,
    ),
    previous_keys: z
      .array(z.string())
      .meta({ description: 'Keys that still open what was sealed before `encryption_key` was changed' })
      .optional(),
  })
  .meta({ description: 'Replicas with the same credentials share one token by way of Redis' });

const tracing = z
  .strictObject({
    otlp: text('Where an OpenTelemetry collector takes OTLP over HTTP: `http://127.0.0.1:4318`'),
  })
  .meta({ description: 'Send a trace of each request to an OpenTelemetry collector' });

const tls = z
  .strictObject({
    cert: text('PEM file of the certificate, its chain after it; a relative path starts at the folder of this file'),
    key: text('PEM file of its private key, unencrypted'),
    client_ca: text('PEM file of the authorities that issue client certificates; callers then need one').optional(),
  })
  .meta({ description: 'Serve HTTPS in place of HTTP' });

const host = text('`host:port`; port 0 picks a free one').pipe(address);
const listenObject = z.strictObject({ address: host, tls: tls.optional() });
const adminObject = z.strictObject({
  address: host,
  token: text(
    `Asked for by all but /livez and /readyz on an address that others can reach; at least ${BOUNDS.clientKeyLength.min} characters`,
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
      .meta({ description: 'Where the proxy listens, `host:port`; port 0 picks a free one', fallback: DEFAULTS.listen })
      .optional(),
    admin: z
      .union([addressAlone, z.literal(false), adminObject], {
        error: 'must be an address and a port such as `127.0.0.1:9901`, or `false`',
      })
      .meta({
        description: 'Where the dashboard, `/metrics`, `/livez` and `/readyz` are; `false` for nowhere',
        fallback: DEFAULTS.admin,
      })
      .optional(),
    environment: environment
      .meta({ description: 'Which hosts every route uses unless it says otherwise', fallback: DEFAULTS.environment })
      .optional(),
    routes: z.record(z.string().meta({ pattern: '^/(.*/)?\\*$' }), route).meta({
      description: 'Routes by path prefix: `/mpesa/*`. The longest that matches wins; the prefix is cut off.',
    }),
    clients: z
      .array(client)
      .min(1, { error: 'is empty; leave it out, or name at least one client' })
      .meta({ description: 'Who may call; needed where `listen` is not a loopback address' })
      .optional(),
    open: z.boolean().meta({ description: 'Let anyone call who can reach the address', fallback: false }).optional(),
    allowed_hosts: z.array(z.string()).meta({ description: 'Host names callers may use beside loopback' }).optional(),
    allowed_origins: z
      .array(z.string())
      .meta({ description: 'Web origins whose pages may call: `https://app.example`' })
      .optional(),
    token_store: tokenStore.optional(),
    workers: z
      .union([z.literal('auto'), count('Processes that serve', BOUNDS.workers)], {
        error: `must be \`auto\` or a whole number from ${BOUNDS.workers.min} to ${BOUNDS.workers.max}`,
      })
      .meta({ description: 'Processes that serve one address; `auto`: one for each core', fallback: 1 })
      .optional(),
    max_connections: count('Client connections at once; more get 503', BOUNDS.connections).optional(),
    drain_timeout: duration(
      'How long requests may take to finish at shutdown',
      BOUNDS.drainTimeoutMs,
      DEFAULTS.drain_timeout,
    ).optional(),
    inspect_bodies: z
      .boolean()
      .meta({
        description: 'Keep the bodies of the last requests for the inspector, masked; never those of production',
        fallback: false,
      })
      .optional(),
    log: log.optional(),
    tracing: tracing.optional(),
  })
  .meta({ title: 'Wakala configuration', description: 'proxy.config.yaml of Wakala' });

/** The file's values after the schema: units are numbers, addresses are taken apart, nothing is defaulted. */
export type ConfigInput = z.output<typeof configSchema>;
export type RouteInput = z.output<typeof route>;
export type TlsInput = z.output<typeof tls>;
