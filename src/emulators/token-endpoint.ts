import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { MiddlewareHandler } from 'hono';
import { parseBody } from 'hono/utils/body';
import type { JsonObject } from '../json.ts';
import { type Encoding, type Exchange, type ExchangeRequest, isFixed, type Provider } from '../providers/provider.ts';
import { sampleTokenResponse } from '../providers/sample-response.ts';
import { fill, placeholdersIn } from '../providers/template.ts';
import type { Secret } from '../secret.ts';
import type { TokenEndpointMode } from './controls.ts';
import type { EmulatorState } from './emulator-state.ts';
import type { IssuedTokens } from './issuer.ts';
import { type EmulatorContext, type EmulatorEnv, rawTarget, send, sendRefusal } from './provider-emulator.ts';

const MEDIA_TYPES: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
};

/** The fields of a body in one of the encodings, each with all its values; or, as a string, why it is none. */
async function bodyFields(
  body: Uint8Array,
  contentType: string,
  encodings: readonly Encoding[],
): Promise<ReadonlyMap<string, readonly unknown[]> | string> {
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase();
  const encoding = encodings.find((candidate) => MEDIA_TYPES[candidate] === mediaType);
  if (encoding === undefined) {
    return `expected content-type ${encodings.map((each) => MEDIA_TYPES[each]).join(' or ')}`;
  }
  try {
    if (encoding === 'json') return jsonFields(body);
    const request = new Request('http://127.0.0.1/', {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: Buffer.from(body),
    });
    return everyValue(await parseBody(request, { all: true }));
  } catch {
    return `the body is not ${MEDIA_TYPES[encoding]}`;
  }
}

function jsonFields(body: Uint8Array): ReadonlyMap<string, readonly unknown[]> {
  const value: unknown = JSON.parse(Buffer.from(body).toString());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object');
  return new Map(Object.entries(value).map(([name, field]) => [name, [field]]));
}

function everyValue(fields: Readonly<Record<string, unknown>>): ReadonlyMap<string, readonly unknown[]> {
  return new Map(
    Object.entries(fields).map(([name, value]): [string, unknown[]] => [name, Array.isArray(value) ? value : [value]]),
  );
}

/** A request that came to a token endpoint, as it was on the wire. */
interface ReceivedExchange {
  readonly method: string;
  /** Percent-encoded, without the query. */
  readonly path: string;
  /** Without the `?`. */
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** `malformed`: not the question this endpoint expects. `denied`: the right question with a wrong credential. */
type Verdict =
  | { readonly kind: 'accepted'; readonly refreshToken: string | undefined }
  | { readonly kind: 'malformed' | 'denied'; readonly reason: string };

/** Thrown within the check alone, as soon as the verdict is clear. Reasons name fields, never values. */
class Refusal extends Error {
  readonly kind: 'malformed' | 'denied';

  constructor(kind: 'malformed' | 'denied', reason: string) {
    super(reason);
    this.kind = kind;
  }
}

/** Judges requests to one token endpoint by its definition. */
class ExchangeCheck {
  readonly #request: ExchangeRequest;
  readonly #encodings: readonly Encoding[];
  readonly #credentials: ReadonlyMap<string, Secret>;
  readonly #pathNames: readonly string[];
  readonly #pathPattern: RegExp;
  readonly #query: readonly (readonly [string, string])[];

  /** `encodings` are accepted beside the one that the definition names. */
  constructor(
    request: ExchangeRequest,
    basePath: string,
    credentials: ReadonlyMap<string, Secret>,
    encodings: readonly Encoding[] = [],
  ) {
    const [path = '', query = ''] = pathOf(request.path, basePath).split('?', 2);
    this.#request = request;
    this.#credentials = credentials;
    this.#encodings = request.body === undefined ? [] : [...new Set([request.body.encoding, ...encodings])];
    this.#pathNames = placeholdersIn(path);
    this.#pathPattern = new RegExp(
      `^${path
        .split(/\{[a-z][a-z0-9_]*\}/)
        .map(literally)
        .join('([^/]+)')}$`,
    );
    this.#query = [...new URLSearchParams(query), ...Object.entries(request.query ?? {})];
  }

  matchesPath(path: string): boolean {
    return this.#pathPattern.test(path);
  }

  async check(received: ReceivedExchange): Promise<Verdict> {
    const found: string[] = [];
    try {
      this.#checkMethod(received);
      const fields = this.#request.body === undefined ? undefined : await this.#fields(received);
      if (fields === undefined && received.body.length > 0) throw new Refusal('malformed', 'expected no body');
      this.#checkQuery(received, found);
      this.#checkHeaders(received.headers, found);
      for (const [name, template] of Object.entries(this.#request.body?.fields ?? {})) {
        this.#compare(`body field ${name}`, template, fields?.get(name) ?? [], found);
      }
      this.#checkPath(received.path, found);
      this.#checkBasic(received.headers, found);
      return { kind: 'accepted', refreshToken: found[0] };
    } catch (error) {
      if (error instanceof Refusal) return { kind: error.kind, reason: error.message };
      throw error;
    }
  }

  #checkMethod({ method }: ReceivedExchange): void {
    const expected = this.#request.method;
    if (method !== expected) throw new Refusal('malformed', `expected ${expected}, not ${method}`);
  }

  async #fields(received: ReceivedExchange): Promise<ReadonlyMap<string, readonly unknown[]>> {
    const fields = await bodyFields(received.body, received.headers.get('content-type') ?? '', this.#encodings);
    if (typeof fields === 'string') throw new Refusal('malformed', fields);
    return fields;
  }

  #checkQuery(received: ReceivedExchange, found: string[]): void {
    const query = new URLSearchParams(received.query);
    for (const [name, template] of this.#query) {
      this.#compare(`query parameter ${name}`, template, query.getAll(name), found);
    }
  }

  #checkHeaders(headers: Headers, found: string[]): void {
    for (const [name, template] of Object.entries(this.#request.headers ?? {})) {
      const value = headers.get(name);
      // A client that takes more than the definition's own type is as good.
      if (name.toLowerCase() === 'accept' && admits(value ?? '*/*', template)) continue;
      this.#compare(`header ${name}`, template, value === null ? [] : [value], found);
    }
  }

  #checkPath(path: string, found: string[]): void {
    const values = this.#pathPattern.exec(path)?.slice(1) ?? [];
    for (const [index, name] of this.#pathNames.entries()) {
      this.#compare('path', `{${name}}`, [decoded(values[index] ?? '')], found);
    }
  }

  /** RFC 7617: the user ends at the first colon. */
  #checkBasic(headers: Headers, found: string[]): void {
    if (this.#request.basic === undefined) return;
    const encoded = /^basic ([a-z0-9+/]+={0,2})$/i.exec(headers.get('authorization') ?? '')?.[1];
    if (encoded === undefined) throw new Refusal('denied', 'expected Authorization: Basic');
    const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
    this.#compare('Basic user', this.#request.basic[0], [user], found);
    this.#compare('Basic password', this.#request.basic[1], [password], found);
  }

  /** Exactly one value is there and is what the template says; a refresh token in it is put into `found`. */
  #compare(what: string, template: string, values: readonly unknown[], found: string[]): void {
    const [value, ...more] = values;
    if (typeof value !== 'string' || more.length > 0) throw new Refusal('malformed', `expected one ${what}, a string`);
    const expected = fill(template, (name) => this.#credentials.get(name)?.reveal());
    const [before = '', after] = expected.split('{refresh_token}', 2);
    if (after !== undefined && value.startsWith(before) && value.endsWith(after)) {
      found.push(value.slice(before.length, value.length - after.length));
    } else if (value !== expected) {
      const kind = placeholdersIn(template).length > 0 ? 'denied' : 'malformed';
      throw new Refusal(kind, kind === 'denied' ? `wrong ${what}` : `expected ${what} to be ${template}`);
    }
  }
}

/** An absolute URL names another host; here it is served under its path. */
function pathOf(path: string, basePath: string): string {
  const [origin] = /^https?:\/\/[^/?]+/i.exec(path) ?? [];
  return origin === undefined ? basePath + path : path.slice(origin.length);
}

/** The text as a pattern that matches it alone. */
function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Whether an Accept line takes a media type (RFC 9110 12.5.1), whatever its weights. */
function admits(accept: string, type: string): boolean {
  const [kind = ''] = type.split('/', 1);
  const ranges = accept.split(',').map((range) => (range.split(';', 1)[0] ?? '').trim().toLowerCase());
  return ranges.some((range) => range === type || range === `${kind}/*` || range === '*/*');
}

interface Endpoint {
  readonly exchange: Exchange;
  readonly check: ExchangeCheck;
  readonly isRefresh: boolean;
}

/** Answers the token requests of the provider's definition; everything else goes on to `next`. */
export function tokenEndpoints(core: EmulatorState, basePath: string): MiddlewareHandler<EmulatorEnv> {
  const endpoints = endpointsOf(core, basePath);
  return async (c, next) => {
    const { path } = rawTarget(c);
    const here = endpoints.filter(({ check }) => check.matchesPath(path));
    const asked = here.filter(({ exchange }) => exchange.request.method === c.req.method);
    const endpoint = (await meant(c, asked)) ?? here[0];
    if (endpoint === undefined) return next();
    return answerWithFaults(c, core, endpoint);
  };
}

/** Of exchanges at one place, the one whose question this is: OAuth 2.0 refreshes where it issues. */
async function meant(c: EmulatorContext, endpoints: readonly Endpoint[]): Promise<Endpoint | undefined> {
  if (endpoints.length < 2) return endpoints[0];
  const body = new Uint8Array(await c.req.arrayBuffer());
  const received = { ...rawTarget(c), method: c.req.method, headers: c.req.raw.headers, body };
  const verdicts = await Promise.all(endpoints.map(async ({ check }) => (await check.check(received)).kind));
  const indices = (['accepted', 'denied'] as const).map((kind) => verdicts.indexOf(kind));
  return endpoints[indices.find((index) => index >= 0) ?? 0];
}

/** Where a provider's sources name two refresh paths, both work. */
function endpointsOf(core: EmulatorState, basePath: string): readonly Endpoint[] {
  const { provider, credentials, special } = core;
  if (isFixed(provider.token)) return [];
  const endpoint = (exchange: Exchange, isRefresh: boolean): Endpoint => {
    const check = new ExchangeCheck(exchange.request, basePath, credentials, special.encodings);
    return { exchange, check, isRefresh };
  };
  const refresh = provider.refresh;
  const refreshPaths = provider.tokenPaths
    .filter(({ method, path }) => path.includes('{refresh_token}') && method === refresh?.request.method)
    .map(({ path }) => path);
  const refreshes = refresh === undefined ? [] : [...new Set([refresh.request.path, ...refreshPaths])];
  return [
    endpoint(provider.token, false),
    ...refreshes.flatMap((path) =>
      refresh === undefined ? [] : [endpoint({ ...refresh, request: { ...refresh.request, path } }, true)],
    ),
  ];
}

async function answerWithFaults(c: EmulatorContext, core: EmulatorState, endpoint: Endpoint): Promise<Response> {
  const { switches, counters, provider, clock } = core;
  counters.token_requests += 1;
  const body = new Uint8Array(await c.req.arrayBuffer());
  if (switches.tokenDelayMs > 0) {
    await new Promise<void>((resolve) => {
      clock.after(switches.tokenDelayMs, resolve);
    });
  }
  const mode = switches.tokenEndpoint;
  if (mode === 'ok') return exchangeTokens(c, core, endpoint, body);
  if (mode === 'truncated') return truncated(c, core, await exchangeTokens(c, core, endpoint, body));
  if (mode === 'down') {
    c.env.incoming.socket.destroy();
    return RESPONSE_ALREADY_SENT;
  }
  if (mode === 'denied' || mode === 'denied-empty') counters.denied += 1;
  if (mode === 'denied') return sendRefusal(c, provider.samples.deniedAnswer, 'token_endpoint is set to denied');
  return faultAnswer(c, core, mode);
}

function faultAnswer(
  c: EmulatorContext,
  core: EmulatorState,
  mode: Exclude<TokenEndpointMode, 'ok' | 'truncated' | 'down' | 'denied'>,
): Response {
  const { retryAfterS } = core.switches;
  if (retryAfterS !== undefined && (mode === '429' || mode === '500')) c.header('retry-after', String(retryAfterS));
  switch (mode) {
    case '429':
      return send(c, { status: 429, body: { error: 'too_many_requests' } });
    case '500':
      return send(c, { status: 500, body: { error: 'internal_server_error' } });
    case 'html':
      return c.html('<!doctype html><title>Request blocked</title><h1>Request blocked</h1><p>Support ID: 0</p>');
    case 'empty':
      return c.body('');
    case 'denied-empty':
      c.status(core.provider.samples.deniedAnswer.status as 400);
      return c.body('');
  }
}

async function exchangeTokens(
  c: EmulatorContext,
  core: EmulatorState,
  { check, exchange, isRefresh }: Endpoint,
  body: Uint8Array,
): Promise<Response> {
  const blocked = core.special.firewall?.(c.req.raw.headers);
  if (blocked !== undefined) return blocked;
  const verdict = await check.check({ ...rawTarget(c), method: c.req.method, headers: c.req.raw.headers, body });
  if (verdict.kind !== 'accepted') return refuse(c, core, verdict.kind, verdict.reason);
  const rotate = exchange.response.refreshToken !== undefined;
  const tokens = isRefresh ? core.issuer.refresh(verdict.refreshToken ?? '', { rotate }) : core.issuer.issue();
  if (tokens === undefined) return refuse(c, core, 'denied', 'the refresh token is used, revoked, expired or unknown');
  core.counters[isRefresh ? 'refreshes' : 'exchanges'] += 1;
  return send(c, { status: 200, body: answerOf(core.provider, exchange, tokens) });
}

function answerOf(provider: Provider, exchange: Exchange, tokens: IssuedTokens): JsonObject {
  return sampleTokenResponse(provider, exchange.response, { ...tokens, nowMs: tokens.issuedAtMs });
}

function refuse(c: EmulatorContext, core: EmulatorState, kind: 'malformed' | 'denied', reason: string): Response {
  core.counters.denied += 1;
  core.log.debug({ emulator: core.provider.name, reason }, 'token request refused');
  const malformed = core.special.malformedAnswer ?? malformedAnswer;
  return sendRefusal(
    c,
    kind === 'denied' ? core.provider.samples.deniedAnswer : malformed(reason, core.random),
    reason,
  );
}

/** RFC 6749, section 5.2. */
function malformedAnswer(reason: string): { status: number; body: JsonObject } {
  return { status: 400, body: { error: 'invalid_request', error_description: reason } };
}

/** Sends the first half of a good answer under the length of the whole, then destroys the socket. */
async function truncated(c: EmulatorContext, core: EmulatorState, answer: Response): Promise<Response> {
  if (answer.status !== 200) return answer;
  const text = Buffer.from(await answer.arrayBuffer());
  const { outgoing, incoming } = c.env;
  outgoing.writeHead(200, {
    'content-type': 'application/json',
    'content-length': text.length,
    'x-emulated-by': 'wakala',
    date: new Date(core.clock.now()).toUTCString(),
  });
  outgoing.write(text.subarray(0, Math.floor(text.length / 2)), () => incoming.socket.destroy());
  return RESPONSE_ALREADY_SENT;
}
