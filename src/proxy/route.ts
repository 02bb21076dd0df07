import { type Clock, systemClock } from '../clock.ts';
import type { RouteConfig } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { ConnectionPool } from '../http/client/pool.ts';
import { compactHeaderName, type HeaderList, normalizeHeaderName, OVERRIDE_HEADERS } from '../http/header-list.ts';
import type { Via } from '../http/via.ts';
import { DEFAULT_TOKEN_HEADER, hasToken, isRequested } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import { Redaction } from '../redaction.ts';
import type { RouteStats } from '../telemetry/route-stats.ts';
import type { Token, TokenSource } from '../tokens/token.ts';
import { Deadlines } from './deadlines.ts';
import type { RouteHeaders } from './headers.ts';
import { Locations } from './locations.ts';
import { DeadTokenRules } from './replay.ts';
import { RouteSigning } from './signing.ts';
import { TokenPathGuard } from './token-paths.ts';
import { TokenQuery } from './token-query.ts';

/** Finds the route of a raw path: the one with the longest prefix that ends on a segment boundary. */
export class RouteTable<R extends { readonly prefix: string }> {
  readonly #byPrefix = new Map<string, R>();
  readonly #catchAll: R | undefined;
  /** Number of segments of the longest prefix. */
  readonly #maxDepth: number;

  constructor(routes: readonly R[]) {
    for (const route of routes) this.#byPrefix.set(route.prefix, route);
    this.#catchAll = this.#byPrefix.get('');
    this.#maxDepth = Math.max(0, ...routes.map((route) => route.prefix.split('/').length - 1));
  }

  /**
   * Nothing is decoded. The cost does not depend on the number of routes.
   * @param path raw, without the query
   */
  match(path: string): R | undefined {
    let found = this.#catchAll;
    let end = 0;
    for (let depth = 0; depth < this.#maxDepth; depth++) {
      end = path.indexOf('/', end + 1);
      const prefix = end === -1 ? path : path.slice(0, end);
      found = this.#byPrefix.get(prefix) ?? found;
      if (end === -1) break;
    }
    return found;
  }
}

/** A configured route and everything that serves it: token source, connection pool, rules and statistics. */
export class Route {
  readonly prefix: string;
  readonly config: RouteConfig;
  readonly tokens: TokenSource;
  /** False with `token: none`: calls carry no token, and the token source has only an empty one. */
  readonly hasToken: boolean;
  readonly hasFixedToken: boolean;
  readonly pool: ConnectionPool;
  /** Path of the API base URL, prepended to every forwarded path: `/api/v1`, or empty. */
  readonly basePath: string;
  readonly headers: RouteHeaders;
  /** Undefined if `rewrite_location` is off. */
  readonly locations: Locations | undefined;
  readonly deadToken: DeadTokenRules;
  readonly tokenPaths: TokenPathGuard;
  readonly deadlines: Deadlines;
  /** Undefined if the route computes nothing on its calls. */
  readonly signing: RouteSigning | undefined;
  readonly stats: RouteStats;
  readonly #tokenQuery: TokenQuery | undefined;
  /** Whether a header carries the token as it is. */
  readonly #hasPlainHeader: boolean;
  /** The token that the fields below were made from. */
  #lastToken: Token | undefined;
  #authorization: string | undefined;
  #tokenParameter = '';
  #tokenHeaders: Readonly<HeaderList> = [];
  #redaction: Redaction | undefined;

  constructor(
    config: RouteConfig,
    tokens: TokenSource,
    pool: ConnectionPool,
    stats: RouteStats,
    via: Via,
    tokenPaths?: TokenPathGuard,
    clock: Clock = systemClock,
  ) {
    this.config = config;
    this.prefix = config.prefix;
    this.tokens = tokens;
    const { token, tokenHeader, tokenQuery, deadToken } = config.provider;
    this.hasToken = hasToken(token);
    this.hasFixedToken = 'fixed' in token;
    this.pool = pool;
    this.stats = stats;
    this.basePath = basePathOf(config.upstream);
    this.headers = routeHeaders(config, via);
    const { rewriteLocation } = config;
    const publicUrl = typeof rewriteLocation === 'string' ? rewriteLocation : undefined;
    this.locations = rewriteLocation === false ? undefined : new Locations({ ...config, publicUrl });
    this.deadToken = new DeadTokenRules(deadToken);
    this.tokenPaths = tokenPaths ?? new TokenPathGuard(config);
    this.deadlines = new Deadlines(config.timeoutMs);
    this.signing = RouteSigning.of(config, this.basePath, clock);
    this.#hasPlainHeader = this.hasToken && tokenHeader?.value === undefined && tokenQuery?.withHeader !== false;
    this.#tokenQuery = tokenQuery && new TokenQuery(tokenQuery.name);
  }

  /**
   * The value of the header that carries the token. Undefined if there is none, or if `signing` computes it. Cached per
   * token.
   */
  authorization(token: Token): string | undefined {
    this.#prepare(token);
    return this.#authorization;
  }

  /** The query of an API call: the client's, with the token if the route has `token_query`. It is secret then. */
  query(token: Token, query: string): string {
    if (this.#tokenQuery === undefined) return query;
    this.#prepare(token);
    return this.#tokenQuery.withParameter(query, this.#tokenParameter);
  }

  /** Other headers that the token endpoint issued with the token, such as a session ID. Cached per token. */
  tokenHeaders(token: Token): Readonly<HeaderList> {
    this.#prepare(token);
    return this.#tokenHeaders;
  }

  /** Finds the secrets of this route and of the token. Cached per token. */
  redactionOf(token: Token): Redaction {
    this.#prepare(token);
    return this.redaction;
  }

  /** The same for the last token, if there was one. */
  get redaction(): Redaction {
    return (this.#redaction ??= new Redaction([...secretsOfConfig(this.config), ...secretsOfToken(this.#lastToken)]));
  }

  #prepare(token: Token): void {
    if (token === this.#lastToken) return;
    this.#lastToken = token;
    const { scheme } = this.config.provider.tokenHeader ?? DEFAULT_TOKEN_HEADER;
    const accessToken = token.accessToken.reveal();
    if (this.#hasPlainHeader) {
      this.#authorization = scheme === '' ? accessToken : `${scheme} ${accessToken}`;
    }
    if (this.#tokenQuery !== undefined) this.#tokenParameter = this.#tokenQuery.parameter(accessToken);
    this.#tokenHeaders = token.headers.flatMap(([name, value]) => [name, value.reveal()]);
    this.#redaction = undefined;
  }

  /** Whether the `allow` list of the route permits this call. @param path without the prefix */
  allows(method: string, path: string): boolean {
    return allows(this.config, method, path);
  }
}

/** Whether the `allow` list of a route permits a call. @param path without the prefix */
export function allows({ allow }: Pick<RouteConfig, 'allow'>, method: string, path: string): boolean {
  if (allow === undefined) return true;
  return allow.some(
    (rule) =>
      (rule.method === '*' || rule.method === method) &&
      (rule.prefix ? path.startsWith(rule.path) : path === rule.path),
  );
}

/** @param name of the route */
export function notAllowed(name: string): ProxyError {
  return new ProxyError('path_refused', `This call is not in the \`allow\` list of ${name}.`);
}

/** Path of a base URL as written, without a trailing slash. */
function basePathOf(base: string): string {
  return base.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\/$/, '');
}

function secretsOfToken(token: Token | undefined): string[] {
  if (token === undefined) return [];
  const secrets = [token.accessToken, ...token.headers.map(([, value]) => value)];
  if (token.refreshToken !== undefined) secrets.push(token.refreshToken);
  return secrets.map((secret) => secret.reveal());
}

/** Every credential that is a secret, and the forms in which HTTP Basic sends two of them (RFC 7617 2, RFC 6749 2.3.1). */
function secretsOfConfig({ provider: { credentials: fields, token }, credentials }: RouteConfig): string[] {
  const valueOf = (name: string) => credentials.get(name)?.reveal();
  const values = fields.flatMap(({ name, secret }) => (secret ? [valueOf(name) ?? ''] : []));
  if (!isRequested(token) || token.request.basic === undefined) return values;
  const userAndPassword = token.request.basic.map((template) => fill(template, valueOf));
  return [...values, userAndPassword.join(':'), userAndPassword.map(encodeURIComponent).join(':')];
}

function routeHeaders(route: RouteConfig, via: Via): RouteHeaders {
  const rules = route.headers.map((rule) => {
    const template = typeof rule.value === 'string' ? rule.value : rule.value[route.environment];
    return { ...rule, value: fill(template, (name) => route.credentials.get(name)?.reveal()) };
  });
  const withMode = (mode: 'set' | 'default') =>
    rules.filter((rule) => rule.mode === mode).map((rule) => [rule.name, rule.value] as const);
  const set = withMode('set');
  const replaced = new Set(set.map(([name]) => normalizeHeaderName(name)));
  const { name } = route.provider.tokenHeader ?? DEFAULT_TOKEN_HEADER;
  return { set, defaults: withMode('default'), replaced, via, tokenHeader: name, ...blockedHeaders(route) };
}

/** The headers that Wakala sets with the token, besides `authorization`, and those that could circumvent `allow` or `sign`. */
function blockedHeaders({ provider, allow }: RouteConfig): Pick<RouteHeaders, 'blocked'> {
  const { token, tokenHeader = DEFAULT_TOKEN_HEADER, sign = [] } = provider;
  const isRestricted = allow !== undefined || sign.length > 0;
  const names = isRequested(token) ? Object.keys(token.response.headers ?? {}) : [];
  if (tokenHeader.name.toLowerCase() !== DEFAULT_TOKEN_HEADER.name) names.push(tokenHeader.name);
  const blocked = new Set([...names.map(compactHeaderName), ...(isRestricted ? OVERRIDE_HEADERS : [])]);
  return blocked.size === 0 ? {} : { blocked };
}
