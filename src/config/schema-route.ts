import { z } from 'zod';
import { providers } from '../providers/registry.ts';
import { count, duration, field, flag, parsed, size, text, texts } from './schema-fields.ts';
import { sign } from './schema-sign.ts';
import { NONE, oauth2, token, type TokenInput } from './schema-token.ts';
import {
  parseAllow,
  parseHost,
  parseLinkLocalRange,
  parseMethod,
  parsePublicUrl,
  parseServerName,
  PUBLIC_URL,
} from './values.ts';

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

/**
 * The route keys whose values are used as the schema gives them. Add a new one here, and read it from RouteConfig where
 * it takes effect.
 */
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
      doc: 'Value of the `Host` header of requests to the host of `upstream`: a host name, and a port if needed.',
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
    field(z.union([flag, parsed(parsePublicUrl)], { error: `must be \`true\`, \`false\`, or ${PUBLIC_URL}` }), {
      doc:
        'Rewrites URLs of the API in the response headers `Location`, `Content-Location`, `Link` and `Refresh` to URLs of ' +
        'the route: `true`, `false`, or the URL at which clients reach Wakala.',
      default: true,
      examples: ['https://pay.example.com'],
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

export const environment = z.enum(['sandbox', 'production']);

export const routeTls = z.strictObject({
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

/** A text, or the value of a credential that is `true` or `false`. */
const credential = z.union([text, flag], {
  error: ({ input }) =>
    input === null
      ? 'is empty; it must be a text'
      : `must be a text${typeof input === 'object' ? '' : '; put it in quotes'}`,
});

export const egressProxy = z.union([text, z.literal(false)], {
  error: 'must be the URL of an HTTP proxy such as `http://proxy.internal:3128`, or `false`',
});

export const route = field(
  z.strictObject({
    provider: field(z.enum(providers.map((provider) => provider.name)), {
      doc: 'Built-in provider, as `wakala providers` lists them.',
      omitted: 'none; `token` describes the exchange',
    }),
    environment: field(environment, { doc: 'Environment of this route.', omitted: 'the top-level `environment`' }),
    credentials: field(z.record(text, credential), {
      doc: 'The credentials that the provider issued to you, from variables or files. `wakala providers NAME` lists the fields.',
      omitted: 'none; those that the provider needs are required',
    }),
    upstream: field(text, { doc: 'Base URL of the API.', omitted: "the provider's; required if it has none" }),
    auth_server: field(text, {
      doc: 'Base URL of the token endpoint.',
      omitted: "the provider's, or `upstream`",
    }),
    sign: field(sign, {
      doc: "Signatures and other values that Wakala computes for API requests. They come after the provider's rules.",
      omitted: "the provider's alone, or none",
    }),
    token: field(
      z.union([z.literal(NONE), token], { error: 'must be a mapping with keys such as `request`, or `none`' }),
      {
        doc:
          'How to request a token: everything for a service without a built-in provider, or the parts that differ. ' +
          '`none`: API requests carry no token.',
        omitted: "the provider's",
      },
    ),
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

export type RouteInput = z.output<typeof route>;

/** The `token` mapping of a route. Undefined without one, also for `token: none`. */
export function tokenBlock({ token: written }: RouteInput): TokenInput | undefined {
  return written === NONE ? undefined : written;
}

export type RouteTlsInput = z.output<typeof routeTls>;
