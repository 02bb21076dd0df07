import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import type { RouteConfig } from '../config/config.ts';
import type { ConnectionPool } from '../http/client/pool.ts';
import { OVERRIDE_HEADERS, compactHeaderName, type HeaderList, normalizeHeaderName } from '../http/header-list.ts';
import type { RouteHeaders } from './headers.ts';
import { valueAt } from '../json.ts';
import { BEARER, type DeadTokenRule, isFixed } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import { Redaction } from '../redaction.ts';
import type { RouteStats } from '../telemetry/route-stats.ts';
import type { Token, TokenSource } from '../tokens/token.ts';
import { Deadlines } from './deadlines.ts';
import { TokenPathGuard } from './token-paths.ts';

/** What a status alone says: `dead`, `alive`, or that the body must be looked at. */
export type StatusClassification = 'dead' | 'alive' | 'look';

/** Longest that a compressed body may become when it is looked at. Bytes. */
const MAX_DECODED_BYTES = 64 * 1024;

/** A provider's dead-token rules, ready to ask. */
export class DeadTokenRules {
  readonly #byStatus = new Map<number, DeadTokenRule[]>();

  constructor(rules: readonly DeadTokenRule[]) {
    for (const rule of rules) {
      const same = this.#byStatus.get(rule.status);
      if (same === undefined) this.#byStatus.set(rule.status, [rule]);
      else same.push(rule);
    }
  }

  classifyStatus(status: number): StatusClassification {
    const rules = this.#byStatus.get(status);
    if (rules === undefined) return 'alive';
    return rules.some((rule) => rule.body === undefined) ? 'dead' : 'look';
  }

  /** `body` is whole and as it came; `encoding` is its Content-Encoding. */
  matchesBody(status: number, body: Buffer, encoding: string | undefined): boolean {
    let json: unknown;
    try {
      json = JSON.parse(decodeBody(body, encoding).toString('utf8'));
    } catch {
      return false;
    }
    return (this.#byStatus.get(status) ?? []).some((rule) =>
      Object.entries(rule.body ?? {}).every(([path, value]) => valueAt(json, path) === value),
    );
  }
}

function decodeBody(body: Buffer, encoding: string | undefined): Buffer {
  const limit = { maxOutputLength: MAX_DECODED_BYTES };
  switch (encoding?.trim().toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return gunzipSync(body, limit);
    case 'deflate':
      return inflateSync(body, limit);
    case 'br':
      return brotliDecompressSync(body, limit);
    default:
      return body;
  }
}

/** Finds the route of a raw request target: the longest prefix that ends on a segment boundary. */
export class RouteTable<R extends { readonly prefix: string }> {
  readonly #byPrefix = new Map<string, R>();
  readonly #catchAll: R | undefined;
  /** Segments of the longest prefix: how far into a path it is worth looking. */
  readonly #depth: number;

  constructor(routes: readonly R[]) {
    for (const route of routes) this.#byPrefix.set(route.prefix, route);
    this.#catchAll = this.#byPrefix.get('');
    this.#depth = Math.max(0, ...routes.map((route) => route.prefix.split('/').length - 1));
  }

  /** `path` is raw and without its query; nothing is decoded. The cost does not depend on the number of routes. */
  match(path: string): R | undefined {
    let found = this.#catchAll;
    let end = 0;
    for (let depth = 0; depth < this.#depth; depth++) {
      end = path.indexOf('/', end + 1);
      const prefix = end === -1 ? path : path.slice(0, end);
      found = this.#byPrefix.get(prefix) ?? found;
      if (end === -1) break;
    }
    return found;
  }
}

/** A route with everything that serves it. */
export class Route {
  readonly prefix: string;
  readonly config: RouteConfig;
  readonly tokens: TokenSource;
  readonly pool: ConnectionPool;
  /** Path of the API base URL, put in front of every forwarded path: `/api/v1`, or empty. */
  readonly basePath: string;
  readonly headers: RouteHeaders;
  readonly deadToken: DeadTokenRules;
  readonly tokenPaths: TokenPathGuard;
  readonly deadlines: Deadlines;
  readonly stats: RouteStats;
  #lastToken: Token | undefined;
  #authorization = '';
  #tokenHeaders: Readonly<HeaderList> = [];
  #redaction: Redaction | undefined;

  constructor(
    config: RouteConfig,
    tokens: TokenSource,
    pool: ConnectionPool,
    activity: RouteStats,
    tokenPaths?: TokenPathGuard,
  ) {
    this.config = config;
    this.prefix = config.prefix;
    this.tokens = tokens;
    this.pool = pool;
    this.stats = activity;
    this.basePath = basePathOf(config.upstream);
    this.headers = routeHeaders(config);
    this.deadToken = new DeadTokenRules(config.provider.deadToken);
    this.tokenPaths = tokenPaths ?? new TokenPathGuard(config);
    this.deadlines = new Deadlines(config.timeoutMs);
  }

  /** The value of the header that carries a token; made once for each. */
  authorization(token: Token): string {
    this.#prepare(token);
    return this.#authorization;
  }

  /** The other headers that came with a token; made once for each. */
  tokenHeaders(token: Token): Readonly<HeaderList> {
    this.#prepare(token);
    return this.#tokenHeaders;
  }

  /** Finds the secrets of this route and of a token; made once for each. */
  redactionOf(token: Token): Redaction {
    this.#prepare(token);
    return this.redaction;
  }

  /** The same for the token that was used last, if there was any. */
  get redaction(): Redaction {
    return (this.#redaction ??= new Redaction([...secretsOfConfig(this.config), ...secretsOfToken(this.#lastToken)]));
  }

  #prepare(token: Token): void {
    if (token === this.#lastToken) return;
    this.#lastToken = token;
    const { scheme } = this.config.provider.tokenHeader ?? BEARER;
    const accessToken = token.accessToken.reveal();
    this.#authorization = scheme === '' ? accessToken : `${scheme} ${accessToken}`;
    this.#tokenHeaders = token.headers.flatMap(([name, value]) => [name, value.reveal()]);
    this.#redaction = undefined;
  }

  mayReplay(method: string): boolean {
    const { replay } = this.config;
    return typeof replay === 'boolean' ? replay : replay.has(method);
  }

  /** Whether the route's `allow` list lets this call through; `path` is below the prefix. */
  allows(method: string, path: string): boolean {
    const { allow } = this.config;
    if (allow === undefined) return true;
    return allow.some(
      (rule) =>
        (rule.method === '*' || rule.method === method) &&
        (rule.prefix ? path.startsWith(rule.path) : path === rule.path),
    );
  }
}

/** Path of a base URL as it was written, without a trailing slash. */
function basePathOf(base: string): string {
  return base.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/\/$/, '');
}

function secretsOfToken(token: Token | undefined): string[] {
  if (token === undefined) return [];
  const secrets = [token.accessToken, ...token.headers.map(([, value]) => value)];
  return [...secrets, ...(token.refreshToken === undefined ? [] : [token.refreshToken])].map((one) => one.reveal());
}

/** Every credential but those that are no secret, and what HTTP Basic makes of two of them. */
function secretsOfConfig({ provider: { credentials: fields, token }, credentials }: RouteConfig): string[] {
  const valueOf = (name: string) => credentials.get(name)?.reveal();
  const values = fields.flatMap(({ name, secret }) => (secret ? [valueOf(name) ?? ''] : []));
  if (isFixed(token) || token.request.basic === undefined) return values;
  const pair = token.request.basic.map((template) => fill(template, valueOf));
  return [...values, pair.join(':'), pair.map(encodeURIComponent).join(':')];
}

function routeHeaders(route: RouteConfig): RouteHeaders {
  const rules = route.headers.map((rule) => {
    const template = typeof rule.value === 'string' ? rule.value : rule.value[route.environment];
    return { ...rule, value: fill(template, (name) => route.credentials.get(name)?.reveal()) };
  });
  const of = (mode: 'set' | 'default') =>
    rules.filter((rule) => rule.mode === mode).map((rule) => [rule.name, rule.value] as const);
  const set = of('set');
  const replaced = new Set(set.map(([name]) => normalizeHeaderName(name)));
  const { name } = route.provider.tokenHeader ?? BEARER;
  return { set, defaults: of('default'), replaced, tokenHeader: name, ...withheld(route) };
}

/** What is put on with the token, unless that is `authorization` alone, and what could get around `allow`. */
function withheld({ provider, allow }: RouteConfig): Pick<RouteHeaders, 'withheld'> {
  const { token, tokenHeader = BEARER } = provider;
  const names = isFixed(token) ? [] : Object.keys(token.response.headers ?? {});
  if (tokenHeader.name.toLowerCase() !== BEARER.name) names.push(tokenHeader.name);
  const all = new Set([...names.map(compactHeaderName), ...(allow === undefined ? [] : OVERRIDE_HEADERS)]);
  return all.size === 0 ? {} : { blocked: all };
}
