import { locationOf, relativePath } from '../http/url-path.ts';
import { type JsonObject, valueAt, withValueAt } from '../json.ts';
import {
  type Exchange,
  type ExchangeResponse,
  type HeaderRule,
  isRequested,
  NO_TOKEN,
  type Provider,
  type ResponseRule,
  type Samples,
  type TokenPath,
} from '../providers/provider.ts';
import { type ApiCredentials, headersOf, responseHeadersOf, tokenHeaderOf, tokenQueryOf } from './api-credentials.ts';
import type { RouteConfig } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import { fallbackOf } from './schema-fields.ts';
import { type RouteInput, tokenBlock } from './schema-route.ts';
import { NONE, token, type TokenInput } from './schema-token.ts';
import type { Path } from './source.ts';
import { type ExchangeContext, type Exchanges, exchangesOf, readRules, type Rules } from './token-exchange.ts';

export type Hosts = Pick<RouteConfig, 'upstream' | 'authServer'>;

/** A route before its provider is resolved. */
interface UnresolvedRoute {
  readonly path: Path;
  readonly name: string;
  readonly input: RouteInput;
  /** The provider that the settings of the route change. Undefined if the route describes the exchange itself. */
  readonly base: Provider | undefined;
  readonly hosts: Hosts | undefined;
}

/** The provider of a route: a built-in one with the settings of the route, or what `token` describes. */
export function readProvider(route: UnresolvedRoute, context: ExchangeContext): Provider | undefined {
  const { path, name, input, base, hosts } = route;
  const { report } = context;
  const headers = headersOf([...path, 'headers'], base?.headers ?? [], input.headers ?? {}, context);
  const tokenHeader = tokenHeaderOf(path, base?.tokenHeader, input, headers, context);
  const tokenQuery = tokenQueryOf(path, input, report);
  const api: ApiCredentials = { headers, tokenHeader, tokenQuery };
  if (input.token === NONE) return readWithoutToken(route, headers, report);
  if (base !== undefined && !isRequested(base.token)) {
    const problem = (at: Path, key: string) =>
      report.problem(at, `\`${base.name}\` requests no token; remove \`${key}\`, or remove \`provider\``, key);
    for (const key of ['encoding', 'headers_from_token'] as const) if (input[key] !== undefined) problem(path, key);
    const others = Object.keys(input.token ?? {}).filter((key) => key !== 'header_value');
    if (input.token?.header_value === undefined && input.token !== undefined) problem(path, 'token');
    else for (const key of others) problem([...path, 'token'], key);
    return { ...base, headers, ...(tokenHeader && { tokenHeader }), ...(tokenQuery && { tokenQuery }) };
  }
  const known = base !== undefined && isRequested(base.token) ? base.token.response.headers : undefined;
  const responseHeaders = responseHeadersOf(path, known, input, api, report);
  const resolved = exchangesOf(path, base, input, context);
  if (resolved === undefined || hosts === undefined) return undefined;
  const exchanges = withResponseHeaders(resolved, responseHeaders);
  const logins = loginPaths(exchanges, hosts.upstream, hosts.authServer);
  const token = tokenBlock(input);
  const rules = readRules([...path, 'token'], token, report);
  return buildProvider(base, { name, token, rules, loginPaths: logins }, exchanges, api);
}

/** A route with `token: none`. */
function readWithoutToken(
  { path, name, input, base }: UnresolvedRoute,
  headers: readonly HeaderRule[],
  report: Diagnostics,
): Provider {
  if (base !== undefined) {
    report.problem(
      path,
      `\`token: none\` contradicts \`provider: ${base.name}\`, whose API needs a token; remove one of them`,
      'token',
    );
  }
  for (const key of ['auth_server', 'encoding', 'headers_from_token', 'token_header', 'token_query'] as const) {
    const text = `has no effect with \`token: none\`; remove it`;
    if (input[key] !== undefined) report.problem(path, `\`${key}\` ${text}`, key);
  }
  return {
    name: CUSTOM,
    title: `API of ${name}`,
    sources: [],
    traps: [],
    credentials: [],
    token: NO_TOKEN,
    defaultLifetimeS: Infinity,
    deadToken: [],
    headers,
    tokenPaths: [],
    samples: generatedSamples({ accessToken: 'access_token' }, [], SAMPLE_LIFETIME_S),
  };
}

/** The name of a provider that only the `token` of a route describes. */
const CUSTOM = 'custom';

const DEFAULT_LIFETIME_MS = fallbackOf(token.shape.default_lifetime);

/** The settings of the route merged over the built-in provider, or over defaults. */
function buildProvider(
  base: Provider | undefined,
  route: {
    readonly name: string;
    readonly token: TokenInput | undefined;
    readonly rules: Rules;
    readonly loginPaths: readonly TokenPath[];
  },
  { token, refresh }: Exchanges,
  { headers, tokenHeader, tokenQuery }: ApiCredentials,
): Provider {
  const deadToken = route.rules.deadToken ?? base?.deadToken ?? [{ status: 401 }];
  const deniedToken = route.rules.deniedToken ?? base?.deniedToken;
  const lifetimeMs = route.token?.default_lifetime;
  const providerLifetimeS = base?.defaultLifetimeS ?? DEFAULT_LIFETIME_MS / 1000;
  const defaultLifetimeS = lifetimeMs === undefined ? providerLifetimeS : lifetimeMs / 1000;
  const samples = base && {
    ...base.samples,
    tokenResponse: withMapped(base.samples.tokenResponse, token.response),
    ...(route.rules.deadToken && { deadTokenResponse: responseMatching(route.rules.deadToken) }),
    ...(route.rules.deniedToken && { deniedResponse: responseMatching(route.rules.deniedToken) }),
  };
  return {
    name: base?.name ?? CUSTOM,
    title: base?.title ?? `Exchange of ${route.name}`,
    sources: base?.sources ?? [],
    traps: base?.traps ?? [],
    ...(base?.hosts && { hosts: base.hosts }),
    credentials: base?.credentials ?? [],
    token,
    ...(refresh && { refresh }),
    defaultLifetimeS,
    deadToken,
    ...(deniedToken && { deniedToken }),
    ...(tokenHeader && { tokenHeader }),
    ...(tokenQuery && { tokenQuery }),
    headers,
    tokenPaths: [...(base?.tokenPaths ?? []), ...route.loginPaths.filter((login) => !hasPath(base, login))],
    ...(base?.readOnlyCall && { readOnlyCall: base.readOnlyCall }),
    samples: samples ?? generatedSamples(token.response, deadToken, defaultLifetimeS),
  };
}

function hasPath(base: Provider | undefined, { method, path }: TokenPath): boolean {
  return base?.tokenPaths.some((known) => known.method === method && known.path === path) ?? false;
}

/** The exchanges, with the headers that their responses fill. */
function withResponseHeaders(
  { token, refresh }: Exchanges,
  headers: Readonly<Record<string, string>> | undefined,
): Exchanges {
  if (headers === undefined) return { token, refresh };
  const withHeaders = (exchange: Exchange): Exchange => ({ ...exchange, response: { ...exchange.response, headers } });
  return { token: withHeaders(token), refresh: refresh && withHeaders(refresh) };
}

/**
 * The paths of the exchanges below the API, which clients can call through the route. One with a percent escape gets no
 * placeholder response here; the proxy refuses it in any spelling.
 */
function loginPaths({ token, refresh }: Exchanges, upstream: string, authServer: string): TokenPath[] {
  const logins = [token, refresh].flatMap((exchange) => {
    if (exchange === undefined) return [];
    const { method, path } = exchange.request;
    const url = path.startsWith('/') ? `${authServer}${path}` : path;
    const relative = URL.canParse(url) ? relativePath(locationOf(upstream), locationOf(url)) : undefined;
    return relative === undefined || relative === '' || relative.includes('%') ? [] : [{ method, path: relative }];
  });
  const [login, next] = logins;
  return login?.path === next?.path && login?.method === next?.method ? logins.slice(0, 1) : logins;
}

const SAMPLE_LIFETIME_S = 3600;
const SAMPLE_REFRESH_LIFETIME_S = 86_400;

/** Sample responses of a service that only `token` describes, for its emulator. */
function generatedSamples(
  response: ExchangeResponse,
  deadToken: readonly ResponseRule[],
  defaultLifetimeS: number,
): Samples {
  const saysLifetime = response.expiresIn !== undefined || response.expiresAt !== undefined;
  return {
    tokenResponse: withMapped({}, response),
    tokenFormat: 'opaque',
    accessLifetimeS: saysLifetime ? SAMPLE_LIFETIME_S : defaultLifetimeS,
    ...(response.refreshToken !== undefined && { refreshLifetimeS: SAMPLE_REFRESH_LIFETIME_S }),
    deniedResponse: { status: 401, body: { error: 'invalid_client' } },
    deadTokenResponse: responseMatching(deadToken),
    call: { method: 'GET', path: '/' },
  };
}

/** The sample with a value at every path that the mapping reads. */
function withMapped(sample: JsonObject, response: ExchangeResponse): JsonObject {
  const wanted: [path: string | undefined, value: string | number][] = [
    [response.accessToken, ''],
    [response.refreshToken, ''],
    [response.expiresIn, SAMPLE_LIFETIME_S],
    [response.expiresAt, 0],
    ...Object.entries(response.headers ?? {}).map(([name, path]): [string, string] => [path, `emulated-${name}`]),
  ];
  return wanted.reduce<JsonObject>(
    (made, [path, value]) =>
      path === undefined || valueAt(made, path) !== undefined ? made : withValueAt(made, path, value),
    sample,
  );
}

/** A response that the first rule matches. */
function responseMatching([rule]: readonly ResponseRule[]): Samples['deadTokenResponse'] {
  const fields = Object.entries(rule?.body ?? { error: 'invalid_token' });
  return {
    status: rule?.status ?? 401,
    body: fields.reduce<JsonObject>((body, [path, value]) => withValueAt(body, path, value), {}),
  };
}
