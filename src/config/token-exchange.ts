import { relativePath, locationOf } from '../http/url-path.ts';
import { type JsonObject, valueAt, withValueAt } from '../json.ts';
import {
  BEARER,
  type DeadTokenRule,
  type Encoding,
  type Environment,
  type Exchange,
  type ExchangeRequest,
  type ExchangeResponse,
  type HeaderRule,
  isFixed,
  type Provider,
  type Samples,
  type TokenHeader,
  type TokenPath,
} from '../providers/provider.ts';
import type { Diagnostics } from './diagnostics.ts';
import {
  fallbackOf,
  type RequestInput,
  type ResponseInput,
  type RouteInput,
  token,
  type TokenInput,
} from './schema.ts';
import type { Path } from './source.ts';
import type { Templates } from './templates.ts';
import { checkedUrl, headerError, isHeaderValue, pathError } from './values.ts';

/** What the parts of an exchange are read with. */
export interface ExchangeContext {
  readonly report: Diagnostics;
  readonly templates: Templates;
  readonly environment: Environment;
}

interface ExchangeInput {
  readonly request?: RequestInput | undefined;
  readonly response?: ResponseInput | undefined;
}

const DEFAULT_LIFETIME_MS = fallbackOf(token.shape.default_lifetime);
const DEFAULT_METHOD = fallbackOf(token.shape.request.unwrap().shape.method);
const ENCODINGS: readonly Encoding[] = ['json', 'form', 'multipart'];

/**
 * The exchange spelled out at `path`, over the one it changes parts of, if there is one. Undefined, and a problem
 * reported, where something is missing. `extra` are placeholders beside credentials.
 */
function readExchange(
  path: Path,
  input: ExchangeInput,
  base: Partial<Exchange>,
  reading: ExchangeContext,
  extra: readonly string[] = [],
): Exchange | undefined {
  const request = readRequest([...path, 'request'], input.request, base.request, reading, extra);
  const response = readResponse([...path, 'response'], input.response, base.response, reading.report);
  return request && response && { request, response };
}

function readRequest(
  path: Path,
  input: RequestInput | undefined,
  base: ExchangeRequest | undefined,
  reading: ExchangeContext,
  extra: readonly string[],
): ExchangeRequest | undefined {
  const target = readTarget(path, input, base, reading, extra);
  if (input === undefined) return base;
  const record = (key: 'query' | 'headers') => ({
    ...base?.[key],
    ...templatesOf([...path, key], input[key] ?? {}, reading, extra),
  });
  const { basic } = input;
  const body = readBody(path, input, reading, extra) ?? base?.body;
  const method = input.method ?? base?.method ?? DEFAULT_METHOD;
  if (method === 'GET' && body !== undefined) {
    reading.report.problem(path, 'a GET request has no body; use `method: POST`, or put the fields under `query`');
  }
  checkHeaders([...path, 'headers'], input.headers ?? {}, reading.report);
  if (target === undefined) return undefined;
  return {
    method,
    path: target,
    query: record('query'),
    headers: record('headers'),
    ...(basic ? { basic: readBasic([...path, 'basic'], basic, reading, extra) } : base?.basic && { basic: base.basic }),
    ...(body && { body }),
    ...(base?.oauth2 && { oauth2: base.oauth2 }),
  };
}

/** The request's path, or its whole URL. */
function readTarget(
  at: Path,
  input: RequestInput | undefined,
  base: ExchangeRequest | undefined,
  { report, templates, environment }: ExchangeContext,
  extra: readonly string[],
): string | undefined {
  const { path, url } = input ?? {};
  if (path !== undefined && url !== undefined) {
    report.problem(at, '`path` and `url` are both given; keep one', 'url');
  } else if (url !== undefined) {
    const template = templates.plain([...at, 'url'], url, extra);
    return checkedUrl([...at, 'url'], template, environment, report) === undefined ? undefined : template;
  } else if (path !== undefined) {
    const template = templates.plain([...at, 'path'], path, extra);
    const query = path.includes('?') ? 'put the part after `?` under `query`' : undefined;
    const fault = query ?? pathError(path.replace(/\{\w+\}/g, 'x'));
    if (fault !== undefined) report.problem([...at, 'path'], fault);
    return template;
  } else if (base === undefined) {
    const text = 'the token request needs a `path` below the API, or a whole `url`';
    if (!report.isSilenced([...at, 'url'])) report.problem(at, text, 'path');
  }
  return base?.path;
}

function readBody(
  path: Path,
  input: RequestInput,
  reading: ExchangeContext,
  extra: readonly string[],
): ExchangeRequest['body'] {
  const [encoding, ...others] = ENCODINGS.filter((name) => input[name] !== undefined);
  if (encoding === undefined) return undefined;
  for (const other of others) {
    reading.report.problem(path, `\`${encoding}\` and \`${other}\` are both given; a request has one body`, other);
  }
  return { encoding, fields: templatesOf([...path, encoding], input[encoding] ?? {}, reading, extra) };
}

function readBasic(
  path: Path,
  basic: { username: string; password: string },
  { templates }: ExchangeContext,
  extra: readonly string[],
): readonly [string, string] {
  return [
    templates.text([...path, 'username'], basic.username, extra),
    templates.text([...path, 'password'], basic.password, extra),
  ];
}

function templatesOf(
  path: Path,
  input: Readonly<Record<string, string>>,
  { templates }: ExchangeContext,
  extra: readonly string[],
): Record<string, string> {
  const entries = Object.entries(input);
  return Object.fromEntries(entries.map(([name, value]) => [name, templates.text([...path, name], value, extra)]));
}

function checkHeaders(path: Path, headers: Readonly<Record<string, string>>, report: Diagnostics): void {
  for (const [name, value] of Object.entries(headers)) {
    const fault = name.toLowerCase() === 'authorization' ? undefined : headerError(name);
    if (fault !== undefined) report.problem(path, `\`${name}\`: ${fault}`, name);
    else if (!isHeaderValue(value)) report.problem([...path, name], 'holds a character that no header can carry');
  }
}

function readResponse(
  path: Path,
  input: ResponseInput | undefined,
  base: ExchangeResponse | undefined,
  report: Diagnostics,
): ExchangeResponse | undefined {
  for (const [key, value] of Object.entries(input ?? {})) {
    if (value === undefined || value.split('.').every((part) => part !== '')) continue;
    report.problem([...path, key], 'must be a dotted path into the answer, such as `data.accessToken`');
  }
  const accessToken = input?.access_token ?? base?.accessToken;
  if (accessToken === undefined) {
    report.problem(path, 'say where in the answer the token is, e.g. `access_token: access_token`', 'access_token');
    return undefined;
  }
  return {
    ...base,
    accessToken,
    ...(input?.expires_in !== undefined && { expiresIn: input.expires_in }),
    ...(input?.expires_at !== undefined && { expiresAt: input.expires_at }),
    ...(input?.refresh_token !== undefined && { refreshToken: input.refresh_token }),
  };
}

const AUTHORIZATION = 'authorization';

/** Which header carries the token: the route's, over the provider's. Undefined: as usual. */
export function tokenHeaderOf(
  path: Path,
  base: TokenHeader | undefined,
  { token_header: input }: RouteInput,
  headers: readonly HeaderRule[],
  report: Diagnostics,
): TokenHeader | undefined {
  if (input === undefined) return base;
  const at = [...path, 'token_header'];
  const { name = base?.name ?? BEARER.name } = input;
  const scheme = input.scheme ?? (isAuthorization(name) ? BEARER.scheme : '');
  if (report.keysAt(at).length === 0) report.problem(at, 'is empty; name a header', 'name');
  const fault = isAuthorization(name) ? undefined : headerError(name);
  if (fault !== undefined) report.problem([...at, 'name'], fault);
  else if (headers.some((rule) => plain(rule.name) === plain(name))) {
    report.problem([...at, 'name'], 'is set under `headers` as well; the token goes here');
  }
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/.test(scheme)) {
    report.problem(
      [...at, 'scheme'],
      'must be one word such as `Bearer`, or empty; the space behind it comes by itself',
    );
  }
  return { name, scheme };
}

function isAuthorization(name: string): boolean {
  return name.toLowerCase() === AUTHORIZATION;
}

/** Paths into the token answer by the names of the headers that they fill: the route's, over the provider's. */
export function responseHeadersOf(
  path: Path,
  base: Readonly<Record<string, string>> | undefined,
  { headers_from_token: input }: RouteInput,
  taken: { readonly headers: readonly HeaderRule[]; readonly tokenHeader: TokenHeader | undefined },
  report: Diagnostics,
): Readonly<Record<string, string>> | undefined {
  if (input === undefined) return base;
  const at = [...path, 'headers_from_token'];
  const seen = new Set<string>();
  const faultIn = (name: string) => {
    if (headerError(name) !== undefined) return headerError(name);
    if (seen.has(plain(name))) return 'given twice (names are the same in any case, and with `_` for `-`)';
    if (plain(name) === plain((taken.tokenHeader ?? BEARER).name)) return 'carries the token; choose another header';
    const isSet = taken.headers.some((rule) => plain(rule.name) === plain(name));
    return isSet ? 'is set under `headers` as well; keep one' : undefined;
  };
  for (const [name, value] of Object.entries(input)) {
    const fault = faultIn(name);
    seen.add(plain(name));
    if (fault !== undefined) report.problem(at, `\`${name}\`: ${fault}`, name);
    if (value.split('.').some((part) => part === '')) {
      report.problem([...at, name], 'must be a dotted path into the token answer, such as `data.app_code`');
    }
  }
  const kept = Object.entries(base ?? {}).filter(([name]) => !seen.has(plain(name)));
  return { ...Object.fromEntries(kept), ...input };
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

const LIFETIME_S = 3600;
const REFRESH_LIFETIME_S = 86_400;

/** What a service described by `token:` alone would answer, so that it can be emulated like a built-in one. */
function generatedSamples(
  response: ExchangeResponse,
  deadToken: readonly DeadTokenRule[],
  defaultLifetimeS: number,
): Samples {
  const saysLifetime = response.expiresIn !== undefined || response.expiresAt !== undefined;
  return {
    tokenAnswer: withMapped({}, response),
    tokenFormat: 'opaque',
    accessLifetimeS: saysLifetime ? LIFETIME_S : defaultLifetimeS,
    ...(response.refreshToken !== undefined && { refreshLifetimeS: REFRESH_LIFETIME_S }),
    deniedAnswer: { status: 401, body: { error: 'invalid_client' } },
    deadAnswer: deadTokenResponse(deadToken),
    call: { method: 'GET', path: '/' },
  };
}

/** `answer` with a value at every place where the mapping looks for one. */
function withMapped(answer: JsonObject, response: ExchangeResponse): JsonObject {
  const wanted: [path: string | undefined, value: string | number][] = [
    [response.accessToken, ''],
    [response.refreshToken, ''],
    [response.expiresIn, LIFETIME_S],
    [response.expiresAt, 0],
    ...Object.entries(response.headers ?? {}).map(([name, path]): [string, string] => [path, `emulated-${name}`]),
  ];
  return wanted.reduce<JsonObject>(
    (made, [path, value]) =>
      path === undefined || valueAt(made, path) !== undefined ? made : withValueAt(made, path, value),
    answer,
  );
}

/** An answer that the first of the rules takes for a dead token. */
function deadTokenResponse([rule]: readonly DeadTokenRule[]): Samples['deadAnswer'] {
  const fields = Object.entries(rule?.body ?? { error: 'invalid_token' });
  return {
    status: rule?.status ?? 401,
    body: fields.reduce<JsonObject>((body, [path, value]) => withValueAt(body, path, value), {}),
  };
}

/** Name of the providers that are made from a route's `token` alone. */
const CUSTOM = 'custom';

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
  const lifetimeMs = route.token?.default_lifetime;
  const providerLifetimeS = base?.defaultLifetimeS ?? DEFAULT_LIFETIME_MS / 1000;
  const defaultLifetimeS = lifetimeMs === undefined ? providerLifetimeS : lifetimeMs / 1000;
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
    const below = URL.canParse(url) ? relativePath(locationOf(upstream), locationOf(url)) : undefined;
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
