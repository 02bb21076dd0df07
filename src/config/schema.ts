import { z } from 'zod';
import { count, duration, field, flag, parsed, text } from './schema-fields.ts';
import { egressProxy, environment, route, routeTls } from './schema-route.ts';
import { type ListenAddress, parseAddress, parseServerName } from './values.ts';

/*
 * The configuration file: every key with its type, range, default and documentation. The keys of a route are in
 * schema-route.ts, those of its `token` and `oauth2` in schema-token.ts. Validation, the JSON Schema,
 * docs/configuration-reference.md and `wakala routes` all read them from here.
 *
 * The schema checks each value alone. resolve.ts, resolve-route.ts and the readers that they call check what values mean
 * together. A key whose absence they can explain better is optional here.
 */

/** `host:port`. */
const address = parsed(parseAddress).meta({ kind: 'address' });

/** Length of a bearer token that callers send, in characters. */
export const CLIENT_KEY_LENGTH = { min: 16, max: 4096 } as const;
export const MIN_ENCRYPTION_KEY_LENGTH = 32;

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
        'How long an idle client connection stays open. Set it longer than the idle timeout of a load balancer in front ' +
        'of Wakala: then the load balancer closes first. A reload applies to a connection from its next response on.',
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
export type TlsInput = z.output<typeof tls>;
