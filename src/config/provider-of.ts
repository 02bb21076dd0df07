import {
  type DeadTokenRule,
  type Encoding,
  type Exchange,
  type HeaderRule,
  isFixed,
  type Provider,
  type TokenHeader,
  type TokenPath,
} from '../providers/provider.ts';
import { pathBelow, placeOf } from '../same-server.ts';
import { DEFAULTS } from './defaults.ts';
import { readExchange, type ExchangeContext } from './exchange.ts';
import { headerError, isHeaderValue } from './http-words.ts';
import { deadTokenResponse, generatedSamples, withMapped } from './samples.ts';
import type { RouteInput } from './schema.ts';
import type { TokenInput } from './schema-token.ts';
import type { Path } from './tree.ts';
import { parseDuration } from './units.ts';

/** Name of the providers that are made from a route's `token` alone. */
export const CUSTOM = 'custom';

interface Exchanges {
  readonly token: Exchange;
  readonly refresh: Exchange | undefined;
}

/** The built-in provider with the route's `token` merged in, or one made from it. Undefined: not enough is said. */
export function exchangesOf(
  path: Path,
  base: Provider | undefined,
  input: RouteInput,
  reading: ExchangeContext,
): Exchanges | undefined {
  const { report } = reading;
  const at = [...path, 'token'];
  const written = input.token ?? {};
  const known = base === undefined || isFixed(base.token) ? {} : base.token;
  const token = readExchange(at, written, known, reading);
  const refresh = token && readRefresh(at, written, token, base?.refresh, reading);
  if (token === undefined) return undefined;
  if (input.encoding === undefined) return { token, refresh };
  if (token.request.body === undefined) {
    report.problem([...path, 'encoding'], 'the token request of this provider has no body to encode');
  }
  return { token: encoded(token, input.encoding), refresh };
}

function encoded(exchange: Exchange, encoding: Encoding): Exchange {
  const { body } = exchange.request;
  return body === undefined ? exchange : { ...exchange, request: { ...exchange.request, body: { ...body, encoding } } };
}

function readRefresh(
  at: Path,
  { refresh }: TokenInput,
  token: Exchange,
  base: Exchange | undefined,
  reading: ExchangeContext,
): Exchange | undefined {
  if (refresh === undefined) return base;
  const path = [...at, 'refresh'];
  if (token.response.refreshToken === undefined) {
    const text = 'the token answer names no refresh token; say where it is with `response: {refresh_token: ...}`';
    reading.report.problem([...at, 'response'], text, 'refresh_token');
  }
  const known = base ?? { response: token.response };
  return readExchange(path, refresh, known, reading, ['refresh_token']);
}

/** The provider of a route: the parts that the route changes, over the built-in one or over plain defaults. */
export function buildProvider(
  base: Provider | undefined,
  route: { readonly name: string; readonly token: TokenInput | undefined; readonly loginPaths: readonly TokenPath[] },
  { token, refresh }: Exchanges,
  { headers, tokenHeader }: { readonly headers: readonly HeaderRule[]; readonly tokenHeader: TokenHeader | undefined },
): Provider {
  const deadToken = route.token?.dead_token?.map(answerRule) ?? base?.deadToken ?? [{ status: 401 }];
  const deniedToken = route.token?.denied_token?.map(answerRule) ?? base?.deniedToken;
  const lifetimeMs = route.token?.default_lifetime ?? parseDuration(DEFAULTS.default_lifetime) ?? 0;
  const written = route.token?.default_lifetime !== undefined || base === undefined;
  const defaultLifetimeS = written ? lifetimeMs / 1000 : base.defaultLifetimeS;
  const made = generatedSamples(token.response, deadToken, defaultLifetimeS);
  const samples = base && {
    ...base.samples,
    tokenAnswer: withMapped(base.samples.tokenAnswer, token.response),
    ...(route.token?.dead_token && { deadAnswer: deadTokenResponse(deadToken) }),
    ...(route.token?.denied_token && { deniedAnswer: deadTokenResponse(deniedToken ?? []) }),
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
    headers,
    tokenPaths: [...(base?.tokenPaths ?? []), ...route.loginPaths.filter((login) => !hasPath(base, login))],
    samples: samples ?? made,
  };
}

function hasPath(base: Provider | undefined, { method, path }: TokenPath): boolean {
  return base?.tokenPaths.some((known) => known.method === method && known.path === path) ?? false;
}

function answerRule({ status, body }: NonNullable<TokenInput['dead_token']>[number]): DeadTokenRule {
  return body === undefined ? { status } : { status, body };
}

/** The exchanges with the headers that their answers give. */
export function withResponseHeaders(
  { token, refresh }: Exchanges,
  headers: Readonly<Record<string, string>> | undefined,
): Exchanges {
  if (headers === undefined) return { token, refresh };
  const reading = (exchange: Exchange): Exchange => ({ ...exchange, response: { ...exchange.response, headers } });
  return { token: reading(token), refresh: refresh && reading(refresh) };
}

/**
 * The exchange's own paths, where they are on the API host and so can be called through the route. One with a percent
 * escape is no login that is answered here; it is refused in any spelling all the same.
 */
export function loginPaths({ token, refresh }: Exchanges, upstream: string, authServer: string): TokenPath[] {
  const logins = [token, refresh].flatMap((exchange) => {
    if (exchange === undefined) return [];
    const { method, path } = exchange.request;
    const url = path.startsWith('/') ? `${authServer}${path}` : path;
    const below = URL.canParse(url) ? pathBelow(placeOf(upstream), placeOf(url)) : undefined;
    return below === undefined || below === '' || below.includes('%') ? [] : [{ method, path: below }];
  });
  const [login, next] = logins;
  return login?.path === next?.path && login?.method === next?.method ? logins.slice(0, 1) : logins;
}

/** The headers of API calls: the route's replace the provider's of the same name. */
export function headersOf(
  path: Path,
  base: readonly HeaderRule[],
  input: Readonly<Record<string, string>>,
  { report, templates }: ExchangeContext,
): HeaderRule[] {
  const seen = new Set<string>();
  const own = Object.entries(input).map(([name, value]): HeaderRule => {
    const twice = seen.has(name.toLowerCase()) ? 'given twice (names are the same in any case)' : undefined;
    seen.add(name.toLowerCase());
    const fault = headerError(name) ?? twice;
    if (fault !== undefined) report.problem(path, `\`${name}\`: ${fault}`, name);
    else if (!isHeaderValue(value)) report.problem([...path, name], 'holds a character that no header can carry');
    return { name, value: templates.text([...path, name], value), mode: 'set' };
  });
  return [...base.filter((rule) => !seen.has(rule.name.toLowerCase())), ...own];
}
