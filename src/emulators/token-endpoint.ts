import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { MiddlewareHandler } from 'hono';
import { parseBody } from 'hono/utils/body';
import type { JsonObject, JsonValue } from '../json.ts';
import { type Encoding, type Exchange, type ExchangeRequest, isRequested } from '../providers/provider.ts';
import { encodedSample, sampleTokenResponse } from '../providers/sample-response.ts';
import { fill, placeholdersIn, templatePieces } from '../providers/template.ts';
import type { Secret } from '../secret.ts';
import type { TokenEndpointMode } from './controls.ts';
import type { EmulatorState } from './emulator-state.ts';
import {
  type EmulatedResponse,
  type EmulatorContext,
  type EmulatorEnv,
  rawTarget,
  sendJson,
  sendRefusal,
} from './provider-emulator.ts';

interface Endpoint {
  readonly exchange: Exchange;
  readonly check: TokenRequestCheck;
  readonly isRefresh: boolean;
}

/** Responds to the token requests of the provider's definition. Other requests go on to `next`. */
export function tokenEndpoints(state: EmulatorState, basePath: string): MiddlewareHandler<EmulatorEnv> {
  const endpoints = endpointsOf(state, basePath);
  return async (c, next) => {
    const { path } = rawTarget(c);
    const withPath = endpoints.filter(({ check }) => check.matchesPath(path));
    const withMethod = withPath.filter(({ exchange }) => exchange.request.method === c.req.method);
    const endpoint = (await matchingEndpoint(c, withMethod)) ?? withPath[0];
    if (endpoint === undefined) return next();
    return respondWithFaults(c, state, endpoint);
  };
}

/** The token endpoint and every refresh path that the provider's sources name. */
function endpointsOf(state: EmulatorState, basePath: string): readonly Endpoint[] {
  const { provider, credentials, providerEmulator } = state;
  if (!isRequested(provider.token)) return [];
  const endpoint = (exchange: Exchange, isRefresh: boolean): Endpoint => ({
    exchange,
    check: new TokenRequestCheck(exchange.request, basePath, credentials, providerEmulator.encodings),
    isRefresh,
  });
  const { token, refresh } = provider;
  if (refresh === undefined) return [endpoint(token, false)];
  const alternativePaths = provider.tokenPaths
    .filter(({ method, path }) => path.includes('{refresh_token}') && method === refresh.request.method)
    .map(({ path }) => path);
  const refreshPaths = new Set([refresh.request.path, ...alternativePaths]);
  return [
    endpoint(token, false),
    ...[...refreshPaths].map((path) => endpoint({ ...refresh, request: { ...refresh.request, path } }, true)),
  ];
}

/** OAuth 2.0 issues and refreshes tokens at the same path: the endpoint is the one whose check the request passes. */
async function matchingEndpoint(c: EmulatorContext, endpoints: readonly Endpoint[]): Promise<Endpoint | undefined> {
  if (endpoints.length < 2) return endpoints[0];
  const received = await receivedTokenRequest(c);
  const kinds = await Promise.all(endpoints.map(async ({ check }) => (await check.check(received)).kind));
  const indices = (['accepted', 'denied'] as const).map((kind) => kinds.indexOf(kind));
  return endpoints[indices.find((index) => index >= 0) ?? 0];
}

async function respondWithFaults(c: EmulatorContext, state: EmulatorState, endpoint: Endpoint): Promise<Response> {
  const { switches, counters, provider, clock } = state;
  counters.token_requests += 1;
  // Read before the delay, so that the request is complete whatever the response.
  const received = await receivedTokenRequest(c);
  if (switches.tokenDelayMs > 0) {
    await new Promise<void>((resolve) => {
      clock.after(switches.tokenDelayMs, resolve);
    });
  }
  const mode = switches.tokenEndpoint;
  if (mode === 'ok') return respondWithTokens(c, state, endpoint, received);
  if (mode === 'truncated') return sendTruncated(c, state, await respondWithTokens(c, state, endpoint, received));
  if (mode === 'down') {
    c.env.incoming.socket.destroy();
    return RESPONSE_ALREADY_SENT;
  }
  if (mode === 'denied' || mode === 'denied-empty') counters.denied += 1;
  if (mode === 'denied') return sendRefusal(c, provider.samples.deniedResponse, 'token_endpoint is set to denied');
  return faultResponse(c, state, mode);
}

function faultResponse(
  c: EmulatorContext,
  state: EmulatorState,
  mode: Exclude<TokenEndpointMode, 'ok' | 'truncated' | 'down' | 'denied'>,
): Response {
  const { retryAfterS } = state.switches;
  if (retryAfterS !== undefined && (mode === '429' || mode === '500')) c.header('retry-after', String(retryAfterS));
  switch (mode) {
    case '429':
      return sendJson(c, { status: 429, body: { error: 'too_many_requests' } });
    case '500':
      return sendJson(c, { status: 500, body: { error: 'internal_server_error' } });
    case 'html':
      return c.html('<!doctype html><title>Request blocked</title><h1>Request blocked</h1><p>Support ID: 0</p>');
    case 'empty':
      return c.body('');
    case 'denied-empty':
      c.status(state.provider.samples.deniedResponse.status as 400);
      return c.body('');
  }
}

async function respondWithTokens(
  c: EmulatorContext,
  state: EmulatorState,
  { check, exchange, isRefresh }: Endpoint,
  received: ReceivedTokenRequest,
): Promise<Response> {
  const { issuer, provider, providerEmulator } = state;
  const blocked = providerEmulator.firewall?.(received.headers);
  if (blocked !== undefined) return blocked;
  const result = await check.check(received);
  if (result.kind !== 'accepted') return refuse(c, state, result.kind, result.reason);
  const refusal = providerEmulator.checkTokenRequest?.(received, state);
  if (refusal !== undefined) {
    state.counters.denied += 1;
    return sendRefusal(c, refusal, refusal.reason);
  }
  const rotate = exchange.response.refreshToken !== undefined;
  const tokens = isRefresh ? issuer.refresh(result.refreshToken ?? '', { rotate }) : issuer.issue();
  if (tokens === undefined) return refuse(c, state, 'denied', 'the refresh token is used, revoked, expired or unknown');
  state.counters[isRefresh ? 'refreshes' : 'exchanges'] += 1;
  const sample = sampleTokenResponse(provider, exchange.response, { ...tokens, nowMs: tokens.issuedAtMs });
  const { contentType, body } = encodedSample(sample, exchange.response);
  return c.body(body, 200, { 'content-type': contentType });
}

function refuse(c: EmulatorContext, state: EmulatorState, kind: 'malformed' | 'denied', reason: string): Response {
  const { provider, providerEmulator, random } = state;
  state.counters.denied += 1;
  state.log.debug('emulator_token_refused', { emulator: provider.name, reason });
  if (kind === 'denied') return sendRefusal(c, provider.samples.deniedResponse, reason);
  const response = providerEmulator.malformedRequestResponse?.(reason, random) ?? invalidRequest(reason);
  return sendRefusal(c, response, reason);
}

/** RFC 6749, section 5.2. */
function invalidRequest(reason: string): EmulatedResponse {
  return { status: 400, body: { error: 'invalid_request', error_description: reason } };
}

/** Sends half of a token response with the content length of the whole, then closes the connection. */
async function sendTruncated(c: EmulatorContext, state: EmulatorState, response: Response): Promise<Response> {
  if (response.status !== 200) return response;
  const text = Buffer.from(await response.arrayBuffer());
  const { outgoing, incoming } = c.env;
  outgoing.writeHead(200, {
    'content-type': 'application/json',
    'content-length': text.length,
    'x-emulated-by': 'wakala',
    date: new Date(state.clock.now()).toUTCString(),
  });
  outgoing.write(text.subarray(0, Math.floor(text.length / 2)), () => incoming.socket.destroy());
  return RESPONSE_ALREADY_SENT;
}

/** A request to a token endpoint, as the client sent it. */
interface ReceivedTokenRequest {
  readonly method: string;
  /** Percent-encoded, without the query. */
  readonly path: string;
  /** Without the `?`. */
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

async function receivedTokenRequest(c: EmulatorContext): Promise<ReceivedTokenRequest> {
  const body = new Uint8Array(await c.req.arrayBuffer());
  return { ...rawTarget(c), method: c.req.method, headers: c.req.raw.headers, body };
}

/** `malformed`: not a token request of this provider. `denied`: a token request with a wrong credential. */
type CheckResult =
  | { readonly kind: 'accepted'; readonly refreshToken: string | undefined }
  | { readonly kind: 'malformed' | 'denied'; readonly reason: string };

/** Ends a check. The reason names fields, never values. */
class CheckFailure extends Error {
  readonly kind: 'malformed' | 'denied';

  constructor(kind: 'malformed' | 'denied', reason: string) {
    super(reason);
    this.kind = kind;
  }
}

/** Compares requests with the definition of one token endpoint. */
class TokenRequestCheck {
  readonly #request: ExchangeRequest;
  readonly #encodings: readonly Encoding[];
  readonly #credentials: ReadonlyMap<string, Secret>;
  readonly #pathNames: readonly string[];
  readonly #pathPattern: RegExp;
  readonly #query: readonly (readonly [string, string])[];

  /** `encodings` are accepted besides the encoding of the definition. */
  constructor(
    request: ExchangeRequest,
    basePath: string,
    credentials: ReadonlyMap<string, Secret>,
    encodings: readonly Encoding[] = [],
  ) {
    const [path = '', query = ''] = pathOnEmulator(request.path, basePath).split('?', 2);
    this.#request = request;
    this.#credentials = credentials;
    this.#encodings = request.body === undefined ? [] : [...new Set([request.body.encoding, ...encodings])];
    this.#pathNames = placeholdersIn(path);
    const literals = path.split(/\{[a-z][a-z0-9_]*\}/).map(escapeRegExp);
    this.#pathPattern = new RegExp(`^${literals.join('([^/]+)')}$`);
    this.#query = [...new URLSearchParams(query), ...Object.entries(request.query ?? {})];
  }

  matchesPath(path: string): boolean {
    return this.#pathPattern.test(path);
  }

  async check(received: ReceivedTokenRequest): Promise<CheckResult> {
    const refreshTokens: string[] = [];
    try {
      this.#checkMethod(received);
      const fields = this.#request.body === undefined ? undefined : await this.#bodyFields(received);
      if (fields === undefined && received.body.length > 0) throw new CheckFailure('malformed', 'expected no body');
      this.#checkQuery(received, refreshTokens);
      this.#checkHeaders(received.headers, refreshTokens);
      for (const [name, template] of Object.entries(this.#request.body?.fields ?? {})) {
        this.#compareField(`body field ${name}`, template, fields?.get(name) ?? [], refreshTokens);
      }
      this.#checkPath(received.path, refreshTokens);
      this.#checkBasic(received.headers, refreshTokens);
      return { kind: 'accepted', refreshToken: refreshTokens[0] };
    } catch (error) {
      if (error instanceof CheckFailure) return { kind: error.kind, reason: error.message };
      throw error;
    }
  }

  #checkMethod({ method }: ReceivedTokenRequest): void {
    const expected = this.#request.method;
    if (method !== expected) throw new CheckFailure('malformed', `expected ${expected}, not ${method}`);
  }

  async #bodyFields(received: ReceivedTokenRequest): Promise<BodyFields> {
    const { headers = {}, body } = this.#request;
    const contentType = received.headers.get('content-type') ?? '';
    // The definition may set another Content-Type for its encoding.
    const isOwnType = Object.entries(headers).some(
      ([name, value]) => name.toLowerCase() === 'content-type' && value === contentType,
    );
    const type = isOwnType && body !== undefined ? MEDIA_TYPES[body.encoding] : contentType;
    const fields = await parseFields(received.body, type, this.#encodings);
    if (typeof fields === 'string') throw new CheckFailure('malformed', fields);
    return fields;
  }

  #checkQuery(received: ReceivedTokenRequest, refreshTokens: string[]): void {
    const query = new URLSearchParams(received.query);
    for (const [name, template] of this.#query) {
      this.#compare(`query parameter ${name}`, template, query.getAll(name), refreshTokens);
    }
  }

  #checkHeaders(headers: Headers, refreshTokens: string[]): void {
    for (const [name, template] of Object.entries(this.#request.headers ?? {})) {
      const value = headers.get(name);
      // A client may accept more media types than the definition names.
      if (name.toLowerCase() === 'accept' && acceptIncludes(value ?? '*/*', template)) continue;
      // Read with the body, which a client may send in another encoding.
      if (name.toLowerCase() === 'content-type') continue;
      this.#compare(`header ${name}`, template, value === null ? [] : [value], refreshTokens);
    }
  }

  #checkPath(path: string, refreshTokens: string[]): void {
    const values = this.#pathPattern.exec(path)?.slice(1) ?? [];
    for (const [index, name] of this.#pathNames.entries()) {
      this.#compare('path', `{${name}}`, [decodePathSegment(values[index] ?? '')], refreshTokens);
    }
  }

  /** RFC 7617: the user ends at the first colon. */
  #checkBasic(headers: Headers, refreshTokens: string[]): void {
    if (this.#request.basic === undefined) return;
    const encoded = /^basic ([a-z0-9+/]+={0,2})$/i.exec(headers.get('authorization') ?? '')?.[1];
    if (encoded === undefined) throw new CheckFailure('denied', 'expected Authorization: Basic');
    const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
    this.#compare('Basic user', this.#request.basic[0], [user], refreshTokens);
    this.#compare('Basic password', this.#request.basic[1], [password], refreshTokens);
  }

  /** Compares a field of a body: texts with their templates, at any depth, and other values as they are. */
  #compareField(what: string, template: JsonValue, values: readonly unknown[], refreshTokens: string[]): void {
    if (typeof template === 'string') {
      this.#compare(what, template, values, refreshTokens);
    } else if (typeof template === 'object' && template !== null) {
      const given = new Map(Object.entries((values[0] ?? {}) as Readonly<Record<string, unknown>>));
      for (const [key, each] of Object.entries<JsonValue>(template as JsonObject)) {
        this.#compareField(`${what}.${key}`, each, given.has(key) ? [given.get(key)] : [], refreshTokens);
      }
    } else if (values.length !== 1 || String(values[0]) !== String(template)) {
      throw new CheckFailure('malformed', `expected ${what} to be ${String(template)}`);
    }
  }

  /**
   * Compares a field of a token request with its template.
   * @param values the values of the field in the request; exactly one is valid
   * @param refreshTokens gets the refresh token, if the template has one
   * @throws CheckFailure if the value is missing, repeated or different
   */
  #compare(what: string, template: string, values: readonly unknown[], refreshTokens: string[]): void {
    const [value, ...more] = values;
    if (typeof value !== 'string' || more.length > 0) {
      throw new CheckFailure('malformed', `expected one ${what}, a string`);
    }
    if (this.#isComputed(template)) {
      if (this.#computedPattern(template).test(value)) return;
      throw new CheckFailure('malformed', `expected ${what} to be like ${template}`);
    }
    const expected = fill(template, (name) => this.#credentials.get(name)?.reveal());
    const [before = '', after] = expected.split('{refresh_token}', 2);
    if (after !== undefined && value.startsWith(before) && value.endsWith(after)) {
      refreshTokens.push(value.slice(before.length, value.length - after.length));
    } else if (value !== expected) {
      const hasCredential = placeholdersIn(template).length > 0;
      if (hasCredential) throw new CheckFailure('denied', `wrong ${what}`);
      throw new CheckFailure('malformed', `expected ${what} to be ${template}`);
    }
  }

  #isComputed(template: string): boolean {
    return placeholdersIn(template).some((name) => Object.hasOwn(this.#request.values ?? {}, name));
  }

  /** Matches the text with anything for a computed value. Only the emulator of its provider can check it. */
  #computedPattern(template: string): RegExp {
    const pieces = templatePieces(template).map((piece) => {
      if (typeof piece === 'string') return escapeRegExp(piece);
      const credential = this.#credentials.get(piece.name)?.reveal();
      return credential === undefined ? '.+' : escapeRegExp(credential);
    });
    return new RegExp(`^${pieces.join('')}$`, 's');
  }
}

/** The path under which the emulator serves a token URL. An absolute URL keeps its path. */
function pathOnEmulator(path: string, basePath: string): string {
  const [origin] = /^https?:\/\/[^/?]+/i.exec(path) ?? [];
  return origin === undefined ? basePath + path : path.slice(origin.length);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function decodePathSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Whether an `Accept` header includes a media type (RFC 9110, section 12.5.1). Weights are ignored. */
function acceptIncludes(accept: string, mediaType: string): boolean {
  const [type = ''] = mediaType.split('/', 1);
  const ranges = accept.split(',').map((range) => (range.split(';', 1)[0] ?? '').trim().toLowerCase());
  return ranges.some((range) => range === mediaType || range === `${type}/*` || range === '*/*');
}

/** Every value of each field, because a field may be repeated. */
type BodyFields = ReadonlyMap<string, readonly unknown[]>;

const MEDIA_TYPES: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
};

/** Parses a body in one of the encodings. @returns its fields, or the reason why it has none */
async function parseFields(
  body: Uint8Array,
  contentType: string,
  encodings: readonly Encoding[],
): Promise<BodyFields | string> {
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase();
  const encoding = encodings.find((candidate) => MEDIA_TYPES[candidate] === mediaType);
  if (encoding === undefined) {
    return `expected content-type ${encodings.map((each) => MEDIA_TYPES[each]).join(' or ')}`;
  }
  try {
    return encoding === 'json' ? jsonFields(body) : await formFields(body, contentType);
  } catch {
    return `the body is not ${MEDIA_TYPES[encoding]}`;
  }
}

function jsonFields(body: Uint8Array): BodyFields {
  const value: unknown = JSON.parse(Buffer.from(body).toString());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object');
  return new Map(Object.entries(value).map(([name, field]) => [name, [field]]));
}

async function formFields(body: Uint8Array, contentType: string): Promise<BodyFields> {
  const headers = { 'content-type': contentType };
  const request = new Request('http://127.0.0.1/', { method: 'POST', headers, body: Buffer.from(body) });
  const fields = Object.entries(await parseBody(request, { all: true }));
  return new Map(fields.map(([name, value]): [string, unknown[]] => [name, Array.isArray(value) ? value : [value]]));
}
