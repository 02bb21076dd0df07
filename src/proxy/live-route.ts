import type { Pool } from 'undici';
import type { Route } from '../config/config.ts';
import { BEARER, isFixed } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import type { Activity } from '../telemetry/activity.ts';
import type { Token, TokenSource } from '../tokens/token.ts';
import { DeadTokenRules } from './dead-token.ts';
import { Deadlines } from './deadlines.ts';
import { CALL_OVERRIDES, comparable, folded, type HeaderList, type RouteHeaders } from './headers.ts';
import { TokenPathGuard } from './token-paths.ts';

/** A route with everything that serves it. */
export class LiveRoute {
  readonly prefix: string;
  readonly config: Route;
  readonly tokens: TokenSource;
  readonly pool: Pool;
  /** Path of the API base URL, put in front of every forwarded path: `/api/v1`, or empty. */
  readonly basePath: string;
  readonly headers: RouteHeaders;
  readonly deadToken: DeadTokenRules;
  readonly tokenPaths: TokenPathGuard;
  readonly deadlines: Deadlines;
  readonly activity: Activity;
  #lastToken: Token | undefined;
  #authorization = '';
  #withToken: Readonly<HeaderList> = [];

  constructor(config: Route, tokens: TokenSource, pool: Pool, activity: Activity, tokenPaths?: TokenPathGuard) {
    this.config = config;
    this.prefix = config.prefix;
    this.tokens = tokens;
    this.pool = pool;
    this.activity = activity;
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
  withToken(token: Token): Readonly<HeaderList> {
    this.#prepare(token);
    return this.#withToken;
  }

  #prepare(token: Token): void {
    if (token === this.#lastToken) return;
    this.#lastToken = token;
    const { scheme } = this.config.provider.tokenHeader ?? BEARER;
    const accessToken = token.accessToken.reveal();
    this.#authorization = scheme === '' ? accessToken : `${scheme} ${accessToken}`;
    this.#withToken = token.headers.flatMap(([name, value]) => [name, value.reveal()]);
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

function routeHeaders(route: Route): RouteHeaders {
  const rules = route.headers.map((rule) => {
    const template = typeof rule.value === 'string' ? rule.value : rule.value[route.environment];
    return { ...rule, value: fill(template, (name) => route.credentials.get(name)?.reveal()) };
  });
  const of = (mode: 'set' | 'default') =>
    rules.filter((rule) => rule.mode === mode).map((rule) => [rule.name, rule.value] as const);
  const set = of('set');
  const replaced = new Set(set.map(([name]) => comparable(name)));
  const { name } = route.provider.tokenHeader ?? BEARER;
  return { set, defaults: of('default'), replaced, tokenHeader: name, ...withheld(route) };
}

/** What is put on with the token, unless that is `authorization` alone, and what could get around `allow`. */
function withheld({ provider, allow }: Route): Pick<RouteHeaders, 'withheld'> {
  const { token, tokenHeader = BEARER } = provider;
  const names = isFixed(token) ? [] : Object.keys(token.response.headers ?? {});
  if (tokenHeader.name.toLowerCase() !== BEARER.name) names.push(tokenHeader.name);
  const all = new Set([...names.map(folded), ...(allow === undefined ? [] : CALL_OVERRIDES)]);
  return all.size === 0 ? {} : { withheld: all };
}
