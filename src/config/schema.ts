import { z } from 'zod';
import type { ListenAddress } from './config.ts';
import { BOUNDS, DEFAULTS } from './defaults.ts';
import { address, count, duration, text } from './fields.ts';
import { fromTo } from './schema-range.ts';
import { environment, route } from './schema-route.ts';
import { formatDuration } from './units.ts';

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
