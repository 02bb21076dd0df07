import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { MiddlewareHandler } from 'hono';
import type { JsonObject } from '../json.ts';
import { type Exchange, isFixed, type Provider } from '../providers/provider.ts';
import { sampleTokenResponse } from '../providers/token-answer.ts';
import type { EmulatorState } from './core.ts';
import { ExchangeCheck } from './exchange-check.ts';
import type { TokenEndpointMode } from './faults.ts';
import { type EmulatorContext, type EmulatorEnv, rawTarget, send, sendRefusal } from './http.ts';
import type { IssuedTokens } from './issuer.ts';

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
