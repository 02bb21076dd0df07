import { clientCertificateOf } from '../config/certificates.ts';
import type { AllowRule, Config, ListenAddress, RouteConfig } from '../config/config.ts';
import { jsonSchemaText } from '../config/json-schema.ts';
import { validateConfig, type ValidatedConfig } from '../config/load.ts';
import { DEFAULT_TOKEN_TIMEOUT_MS } from '../config/resolve-route.ts';
import { settingDefault, SETTINGS } from '../config/schema-route.ts';
import { formatDuration, formatSize } from '../config/values.ts';
import { formatProblem } from '../errors.ts';
import { plural } from '../format.ts';
import type { ConnectOptions } from '../http/client/connect-options.ts';
import { egressProxyFor } from '../http/client/egress.ts';
import { originOf } from '../http/client/origin.ts';
import { formatHostPort } from '../http/host-port.ts';
import { hasToken, isRequested } from '../providers/provider.ts';
import { type CallOptions, explainCall, explanationText, readCall } from './explain-call.ts';
import { EXIT, type Io } from './io.ts';
import { selectRoutes } from './select-routes.ts';

/** Name, provider, environment and upstream of every route, in columns below `head`. Production is in capitals. */
function routeLines(routes: readonly RouteConfig[], head: readonly (readonly string[])[] = []): string[] {
  const rows = [...head, ...routes.map(cellsOf)];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}

function cellsOf({ name, provider, environment, upstream }: RouteConfig): string[] {
  return [name, provider.name, environment === 'production' ? 'PRODUCTION' : environment, upstream];
}

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** Prints the result of reading a file as one JSON object. `toJson` describes a route. */
function printConfigJson(
  { config, problems, warnings }: ValidatedConfig,
  toJson: (route: RouteConfig) => object,
  io: Output,
): void {
  const routes = config?.routes.map(toJson) ?? [];
  io.stdout(`${JSON.stringify({ ok: config !== undefined, problems, warnings, routes }, null, 2)}\n`);
}

/** Prints the problems and then the warnings, each in the order of the file. */
function printProblems(file: string, { config, problems, warnings }: ValidatedConfig, io: Output): void {
  for (const problem of problems) io.stderr(`${formatProblem(problem)}\n`);
  for (const { message, ...place } of warnings) {
    io.stderr(`${formatProblem({ ...place, message: `warning: ${message}` })}\n`);
  }
  if (config === undefined) {
    io.stderr(`${file}: ${plural(problems.length, 'problem')}\n`);
  }
}

interface CheckOptions extends CallOptions {
  /** Path of the configuration file. */
  readonly config: string;
  readonly json: boolean;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
  /** The route whose rules are explained for the call. */
  readonly explain?: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs?: number;
}

/**
 * Checks a configuration file without using the network. Exit code: 0 for a valid file, otherwise 3. With `explain`, also
 * 1 for a call that would be refused, and 2 for an unknown route or an invalid call.
 */
export function check(options: CheckOptions, io: Pick<Io, 'stdout' | 'stderr' | 'env'>): number {
  const { config: file, json, listen, admin, explain, nowMs = Date.now() } = options;
  const checked = validateConfig(file, { env: io.env, listen, admin, nowMs });
  if (explain !== undefined && checked.config !== undefined) {
    return printExplanation(checked.config, explain, options, io);
  }
  const other = (['call', 'body', 'header'] as const).find((key) => (options[key]?.length ?? 0) > 0);
  if (explain === undefined && other !== undefined) {
    return usageError(`${other === 'call' ? 'a call' : `\`--${other}\``} needs \`--explain\` with the route`, io);
  }
  const routes = checked.config?.routes ?? [];
  if (json) {
    const toJson = (route: RouteConfig) => {
      const { name, provider, environment, upstream } = route;
      return { name, provider: provider.name, environment, upstream, ...connectionsAsJson(route, nowMs) };
    };
    printConfigJson(checked, toJson, io);
  } else printProblems(file, checked, io);
  if (checked.config === undefined) return EXIT.config;
  if (!json) {
    io.stdout(`${file}: ok, ${plural(routes.length, 'route')}\n`);
    const lines = routeLines(routes);
    const blocks = routes.flatMap((route, i) => [lines[i] ?? '', ...labelled(connectionDetails(route, nowMs))]);
    for (const line of blocks) io.stdout(`  ${line}\n`);
  }
  return EXIT.ok;
}

/** Prints what the rules of a route do with a call. */
function printExplanation({ routes }: Config, named: string, options: CheckOptions, io: Output): number {
  const { nowMs = Date.now(), json } = options;
  const selected = selectRoutes(routes, named);
  const call = readCall(options);
  if ('problem' in selected) return usageError(selected.problem, io);
  if ('problem' in call) return usageError(call.problem, io);
  const [explanation] = selected.routes.map((route) => explainCall(route, call, nowMs));
  if (explanation === undefined) return EXIT.ok;
  io.stdout(json ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation));
  return explanation.refused === null ? EXIT.ok : EXIT.runtime;
}

function usageError(problem: string, io: Output): number {
  io.stderr(`wakala check: ${problem}\n`);
  return EXIT.usage;
}

interface RoutesOptions {
  /** Path of the configuration file. */
  readonly config: string;
  readonly json: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs?: number;
}

/** Longest line, in characters. */
const WIDTH = 100;

/** Prints the target and the settings of each route without using the network. Exit code: 0, or 3 for an invalid file. */
export function routes(
  { config: file, json, nowMs = Date.now() }: RoutesOptions,
  io: Pick<Io, 'stdout' | 'stderr' | 'env'>,
): number {
  const validated = validateConfig(file, { env: io.env, nowMs });
  if (json) printConfigJson(validated, (route) => routeAsJson(route, nowMs), io);
  else printProblems(file, validated, io);
  if (validated.config === undefined) return EXIT.config;
  if (!json) io.stdout(tableOf(validated.config.routes, nowMs));
  return EXIT.ok;
}

function tableOf(all: readonly RouteConfig[], nowMs: number): string {
  const [head = '', ...lines] = routeLines(all, [['ROUTE', 'PROVIDER', 'ENVIRONMENT', 'UPSTREAM']]);
  const blocks = all.map((route, i) => [lines[i] ?? '', ...detailsOf(route, nowMs)]);
  return [head, ...blocks.flat(), ''].join('\n');
}

type Details = readonly (readonly [label: string, parts: readonly string[]])[];

function detailsOf(route: RouteConfig, nowMs: number): string[] {
  const token = tokenEndpointOf(route);
  return labelled([
    ['token', [token === null ? unrequestedText(route) : formatEndpoint(token)]],
    ...connectionDetails(route, nowMs),
    ['sign', signedCalls(route)],
    ['allow', (route.allow ?? []).map(ruleText)],
    ['set', settingsOf(route)],
  ]);
}

/** Details without parts are left out. */
function labelled(details: Details): string[] {
  return details.flatMap(([label, parts]) => (parts.length === 0 ? [] : wrapped(`  ${label.padEnd(7)}`, parts)));
}

/** The calls that rules sign or fill in. */
function signedCalls({ provider }: RouteConfig): string[] {
  return [...new Set((provider.sign ?? []).flatMap(({ calls }) => calls))];
}

interface TokenEndpoint {
  readonly method: string;
  /** Null if only the metadata of the issuer names it. */
  readonly url: string | null;
  readonly issuer?: string;
}

/** The token endpoint, with its placeholders; null if no token is requested. */
function tokenEndpointOf({ provider, authServer }: RouteConfig): TokenEndpoint | null {
  if (!isRequested(provider.token)) return null;
  const { method, path, oauth2 } = provider.token.request;
  if (oauth2?.issuer !== undefined) return { method, url: null, issuer: oauth2.issuer };
  return { method, url: /^https?:\/\//.test(path) ? path : authServer + path };
}

function unrequestedText({ provider }: RouteConfig): string {
  return hasToken(provider.token) ? 'a fixed key; not requested' : 'none';
}

function formatEndpoint({ method, url, issuer = '' }: TokenEndpoint): string {
  return `${method} ${url ?? `token endpoint in the metadata of ${issuer}`}`;
}

/** What differs from a direct connection with the authorities of Node. */
interface ConnectionFacts {
  readonly client_certificate: {
    readonly subject: string;
    readonly valid_until: string;
    readonly days_left: number;
  } | null;
  /** How many certificates `ca` has. */
  readonly authorities: number;
  readonly server_name: string | null;
  readonly min_version: string | null;
  /** Without credentials. Null also if the exceptions of the proxy include the host. */
  readonly egress_proxy: { readonly url: string; readonly source: string } | null;
}

function factsOf(url: string, { tls = {}, egress }: ConnectOptions, nowMs: number): ConnectionFacts {
  const { ca = [], serverName = null, minVersion = null } = tls;
  const certificate = clientCertificateOf(tls);
  const proxy = egressProxyFor(originOf(url), egress);
  return {
    client_certificate:
      certificate === undefined
        ? null
        : {
            subject: certificate.subject.replaceAll('\n', ', '),
            valid_until: certificate.validToDate.toISOString(),
            days_left: Math.floor((certificate.validToDate.getTime() - nowMs) / 86_400_000),
          },
    authorities: ca.length,
    server_name: serverName,
    min_version: minVersion,
    egress_proxy:
      proxy === undefined
        ? null
        : {
            url: `http${proxy.isTls ? 's' : ''}://${formatHostPort(proxy)}`,
            source: proxy.source,
          },
  };
}

/** The URL that decides how token requests are sent. Null if none is requested. */
function tokenUrlOf(route: RouteConfig): string | null {
  const token = tokenEndpointOf(route);
  return token && (token.url ?? route.authServer);
}

function connectionsAsJson(route: RouteConfig, nowMs: number): object {
  const tokenUrl = tokenUrlOf(route);
  return {
    allow_addresses: route.connection.allowAddresses ?? null,
    connection: factsOf(route.upstream, route.connection, nowMs),
    token_connection: tokenUrl === null ? null : factsOf(tokenUrl, route.tokenConnection, nowMs),
  };
}

/** How the API is reached and, if that differs, the token endpoint. */
function connectionDetails(route: RouteConfig, nowMs: number): Details {
  const parts = connectionParts(factsOf(route.upstream, route.connection, nowMs));
  const tokenUrl = tokenUrlOf(route);
  const tokenParts = tokenUrl === null ? parts : connectionParts(factsOf(tokenUrl, route.tokenConnection, nowMs));
  if (parts.join() === tokenParts.join()) return [['via', parts]];
  const orDirect = (each: string[]) => (each.length === 0 ? ['a direct connection'] : each);
  return [
    ['via', orDirect(parts)],
    ['tokens', orDirect(tokenParts)],
  ];
}

function connectionParts(facts: ConnectionFacts): string[] {
  const {
    client_certificate: certificate,
    authorities,
    server_name: name,
    min_version: version,
    egress_proxy: proxy,
  } = facts;
  const days = certificate?.days_left ?? 0;
  const left = days < 0 ? 'expired' : `${plural(days, 'day')} left`;
  return [
    ...(certificate === null ? [] : [`client certificate ${certificate.subject} (${left})`]),
    ...(name === null ? [] : [`server name ${name}`]),
    ...(authorities === 0 ? [] : [plural(authorities, 'more authority', 'more authorities')]),
    ...(version === null ? [] : [`${version} or newer`]),
    ...(proxy === null ? [] : [`proxy ${proxy.url} (${proxy.source})`]),
  ];
}

/** The settings that differ from their defaults, as a file has them. `allow` has its own line. */
function settingsOf(route: RouteConfig): string[] {
  const changed = SETTINGS.filter(
    (setting) => setting.key !== 'allow' && route[setting.property] !== settingDefault(setting, route),
  );
  const { provider, tokenTimeoutMs } = route;
  return [
    ...(provider.tokenQuery === undefined ? [] : [`token_query ${provider.tokenQuery.name}`]),
    ...(tokenTimeoutMs === DEFAULT_TOKEN_TIMEOUT_MS ? [] : [`token.timeout ${formatDuration(tokenTimeoutMs)}`]),
    ...changed.map(({ key, property, kind }) => {
      const value = route[property];
      return value === true ? key : `${key} ${settingText(value, kind)}`;
    }),
  ];
}

function settingText(value: unknown, kind: 'duration' | 'size' | undefined): string {
  if (typeof value === 'number' && kind === 'duration') return formatDuration(value);
  if (typeof value === 'number' && kind === 'size') return formatSize(value);
  return value instanceof Set ? [...(value as Set<string>)].join(' ') : String(value);
}

/** The settings under their names in snake_case: `timeout_ms`. */
function settingsAsJson(route: RouteConfig): Record<string, unknown> {
  const entries = SETTINGS.map(({ property }): [string, unknown] => {
    const name = property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const value = route[property] ?? null;
    return [name, value instanceof Set ? [...value] : value];
  });
  return Object.fromEntries(entries);
}

/** The parts, separated by commas, on as many lines as needed. A part is never split. */
function wrapped(label: string, parts: readonly string[]): string[] {
  const lines = parts.reduce<string[]>((done, part) => {
    const last = done.at(-1);
    // The comma at the end of the line counts too.
    const fits = last !== undefined && `${label}${last}, ${part},`.length <= WIDTH;
    return fits ? [...done.slice(0, -1), `${last}, ${part}`] : [...done, part];
  }, []);
  const indent = ' '.repeat(label.length);
  return lines.map((line, i) => `${i === 0 ? label : indent}${line}${i < lines.length - 1 ? ',' : ''}`);
}

function ruleText({ method, path, prefix }: AllowRule): string {
  return `${method} ${path}${prefix ? '*' : ''}`;
}

function routeAsJson(route: RouteConfig, nowMs: number): object {
  const { name, prefix, provider, environment, upstream, allow } = route;
  return {
    name,
    prefix,
    provider: provider.name,
    environment,
    upstream,
    token: isRequested(provider.token) ? 'requested' : hasToken(provider.token) ? 'fixed' : 'none',
    token_endpoint: tokenEndpointOf(route),
    sign: signedCalls(route),
    ...connectionsAsJson(route, nowMs),
    ...settingsAsJson(route),
    allow: allow?.map(ruleText) ?? null,
  };
}

/** Prints the JSON Schema of the configuration file. Exit code: 0. */
export function schema(_options: object, io: Pick<Io, 'stdout'>): number {
  io.stdout(jsonSchemaText());
  return EXIT.ok;
}
