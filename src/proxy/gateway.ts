import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import {
  CORS_EXPOSED_HEADERS,
  countHeaders,
  type HeaderList,
  headerValue,
  refuseFramingInConnection,
} from '../http/header-list.ts';
import { asProxyError, sendProblem } from '../http/problem.ts';
import { maskedUnknownPath } from '../telemetry/mask.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import { RequestRecord } from '../telemetry/request-record.ts';
import type { Tracing } from '../telemetry/otlp.ts';
import type { FoundEndpoints } from '../tokens/discovery.ts';
import type { TokenSources } from '../tokens/token-sources.ts';
import { Access } from './access.ts';
import { noRoute, sendLogin, type Caller } from './login.ts';
import { ProxiedRequest, type RequestContext } from './request.ts';
import { Route, RouteTable } from './route.ts';
import { parseTarget, type Target } from './target.ts';
import { TokenEndpoints, tokenEndpointsOf, TokenPathGuard, tokenPathRefused } from './token-paths.ts';
import type { UpstreamPools } from './upstream-pools.ts';

/** What may be taken over from a client without harm to logs and headers. */
const VALID_REQUEST_ID = /^[A-Za-z0-9._:@/+=-]{1,128}$/;

/** The client's `x-request-id`, if sane, else a new one. */
export function requestIdOf(rawHeaders: readonly string[]): string {
  const given = headerValue(rawHeaders, 'x-request-id');
  return given !== undefined && VALID_REQUEST_ID.test(given) ? given : randomUUID();
}

/** How long a browser may remember a preflight's answer. Seconds. */
const PREFLIGHT_MAX_AGE_S = 600;

const EXPOSED_HEADERS = CORS_EXPOSED_HEADERS.join(', ');

const NONE: Readonly<HeaderList> = [];

/** What lets a page of an allowed origin read an answer (Fetch standard, "CORS protocol"); empty without an origin. */
function corsHeaders(origin: string | undefined): Readonly<HeaderList> {
  if (origin === undefined) return NONE;
  return [
    ...['access-control-allow-origin', origin],
    ...['access-control-expose-headers', EXPOSED_HEADERS],
    ...['vary', 'Origin'],
  ];
}

/** Answers the question that a browser asks before a page's request; it is ours to answer, never the provider's. */
function sendPreflightResponse(
  req: IncomingMessage,
  res: ServerResponse,
  { origin, preflight }: { readonly origin: string | undefined; readonly preflight: string },
  requestId: string,
): void {
  const headers = headerValue(req.rawHeaders, 'access-control-request-headers');
  res.writeHead(204, [
    ...corsHeaders(origin),
    ...['access-control-allow-methods', preflight],
    ...(headers === undefined ? [] : ['access-control-allow-headers', headers]),
    ...['access-control-max-age', String(PREFLIGHT_MAX_AGE_S)],
    ...['x-request-id', requestId],
  ]);
  res.end();
}

/** A request that may come in: to a route, or to none. */
interface Admitted {
  readonly route: Route | undefined;
  readonly caller: Caller;
  /** Path below the route's prefix (the whole path where there is no route), and the query. */
  readonly rest: Target;
}

/**
 * Decides on the raw request alone whether it may come in, and where it goes. Notes on the record who sent it and which
 * route it is for, also where it is refused.
 * @throws ProxyError for every request that must not
 */
export function admit(req: IncomingMessage, access: Access, table: RouteTable<Route>, record: RequestRecord): Admitted {
  const tooMany = tooManyHeaders(req.rawHeaders);
  if (tooMany !== undefined) throw tooMany;
  refuseInvalidFraming(req);
  refuseFramingInConnection(req.rawHeaders);
  const host = headerValue(req.rawHeaders, 'host') ?? '';
  const caller = access.admit(req, host);
  const { client } = caller;
  record.client = client?.name;
  if (req.method === 'TRACE' || req.method === 'CONNECT') throw methodNotAllowed(req.method);
  const target = parseTarget(req.url ?? '', host);
  const route = table.match(target.path);
  record.route = route?.config.name;
  if (route === undefined) return { route, caller, rest: target };
  if (client?.routes !== undefined && !client.routes.includes(route.config.name)) {
    throw new ProxyError('client_forbidden', `The client \`${client.name}\` may not call ${route.config.name}.`);
  }
  const below = { path: target.path.slice(route.prefix.length), query: target.query };
  if (!route.allows(caller.preflight ?? req.method ?? '', below.path)) {
    throw new ProxyError('path_refused', `This call is not in the \`allow\` list of ${route.config.name}.`);
  }
  return { route, caller, rest: below };
}

/** Header lines that a request may have. */
const MAX_HEADERS = 200;

/** The refusal of a request with too many header lines. */
export function tooManyHeaders(rawHeaders: readonly string[]): ProxyError | undefined {
  const count = rawHeaders.length / 2;
  if (count <= MAX_HEADERS) return undefined;
  return new ProxyError(
    'header_too_large',
    `The request has ${count} header lines. Send at most ${MAX_HEADERS}. Nothing was sent.`,
  );
}

/** What node's parser lets through and a strict upstream would not (RFC 9112 3.2, 6.1). */
function refuseInvalidFraming(req: IncomingMessage): void {
  const raw = req.rawHeaders;
  if (req.httpVersionMajor !== 1) throw badRequest('only HTTP/1.1 and HTTP/1.0 are spoken');
  if (countHeaders(raw, 'host') !== 1) throw badRequest('exactly one Host header is needed');
  if (!/^[\w.\-[\]:]*$/.test(headerValue(raw, 'host') ?? '')) throw badRequest('the Host header is malformed');
  const codings = countHeaders(raw, 'transfer-encoding');
  if (codings === 0) return;
  if (codings > 1 || headerValue(raw, 'transfer-encoding')?.toLowerCase() !== 'chunked') {
    throw badRequest('the only Transfer-Encoding taken is `chunked`');
  }
  if (req.httpVersion === '1.0') throw badRequest('HTTP/1.0 knows no Transfer-Encoding');
  if (countHeaders(raw, 'content-length') > 0)
    throw badRequest('Transfer-Encoding and Content-Length exclude each other');
}

export function methodNotAllowed(method: string): ProxyError {
  return new ProxyError('method_not_allowed', `${method} is not forwarded.`);
}

function badRequest(what: string): ProxyError {
  return new ProxyError('bad_request', `The request was refused: ${what}. Nothing was sent.`);
}

interface GatewayContext {
  readonly sources: TokenSources;
  /** Token endpoints that issuers name while this runs. */
  readonly foundEndpoints: FoundEndpoints;
  readonly pools: UpstreamPools;
  readonly clock: Clock;
  readonly requestLog: RequestLog;
  /** Undefined: requests are not traced. */
  readonly tracing: Tracing | undefined;
}

/** One configuration at work: which requests come in, and where each goes. */
export class Gateway {
  readonly routes: readonly Route[];
  readonly #access: Access;
  readonly #table: RouteTable<Route>;
  readonly #requestLog: RequestLog;
  readonly #tracing: Tracing | undefined;
  /** Connections whose bytes cannot be trusted any more: what follows on them may be part of a refused body. */
  readonly #closing = new Set<Socket>();
  readonly #clock: Clock;

  constructor(config: Config, context: GatewayContext) {
    const endpoints = new TokenEndpoints(config.routes.flatMap(tokenEndpointsOf));
    this.routes = config.routes.map(
      (route) =>
        new Route(
          route,
          context.sources.for(route),
          context.pools.for(new URL(route.upstream).origin, route.connectTimeoutMs),
          context.requestLog.statsOf(route.name),
          new TokenPathGuard(route, endpoints, context.foundEndpoints),
        ),
    );
    this.#access = new Access(config, () => context.clock.now());
    this.#table = new RouteTable(this.routes);
    this.#requestLog = context.requestLog;
    this.#tracing = context.tracing;
    this.#clock = context.clock;
  }

  /** Judges a raw request. @throws ProxyError for one that may not come in */
  admit(req: IncomingMessage, record: RequestRecord): Admitted {
    return admit(req, this.#access, this.#table, record);
  }

  /** Whether a connection ends with the answer to a request on it that was refused. */
  isClosing(socket: Socket): boolean {
    return this.#closing.size > 0 && this.#closing.has(socket);
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    res.on('error', destroyOnError);
    if (this.isClosing(req.socket)) return;
    const record = createRecord(req);
    const { requestId } = record;
    try {
      const { route, caller, rest: below } = this.admit(req, record);
      const { client, origin, preflight } = caller;
      if (preflight !== undefined) {
        sendPreflightResponse(req, res, { origin, preflight }, requestId);
        return;
      }
      const verdict = route?.tokenPaths.classify(req.method ?? '', below.path) ?? 'other';
      if (verdict === 'refused') throw tokenPathRefused();
      if (route === undefined || verdict === 'login') {
        const extraHeaders = corsHeaders(origin);
        record.path = maskedUnknownPath(below.path);
        res.once('close', () => {
          record.status = res.statusCode;
          this.#requestLog.finishedLocally(record);
        });
        if (route === undefined) {
          record.code = 'no_route';
          sendProblem(res, noRoute(this.routes, client), requestId, extraHeaders);
        } else {
          sendLogin(res, route, caller, { requestId, nowMs: this.#clock.now(), extraHeaders });
        }
        return;
      }
      refuseWebSocket(req);
      refuseOverload(route);
      const request = new ProxiedRequest(route, req, res, this.createContext(record, route, caller, below));
      res.on('close', () => request.onClientClosed());
      request.start();
    } catch (thrown) {
      this.refuse(req, res, asProxyError(thrown), { record });
    }
  }

  /** Notes what a request that goes to a route asks for, and begins its trace. */
  createContext(record: RequestRecord, route: Route, { client, origin }: Caller, below: Target): RequestContext {
    record.path = below.path;
    record.query = below.query;
    record.redaction = route.redaction;
    if (route.config.inspectBodies) record.keepBodies();
    return {
      requestId: record.requestId,
      client: client?.name,
      rest: below,
      extraHeaders: corsHeaders(origin),
      record: record,
      requestLog: this.#requestLog,
      trace: this.#tracing?.begin(record, route.config),
    };
  }

  /** Answers with a problem. */
  refuse(
    req: IncomingMessage,
    res: ServerResponse,
    error: ProxyError,
    { record = createRecord(req), isUpgrade = false } = {},
  ): void {
    const target = req.url ?? '';
    this.#requestLog.refused(isUpgrade ? 'upgrade_refused' : 'request_refused', record, error, target);
    if (error.status === 400) this.#closeAfterResponse(req.socket, res);
    sendProblem(res, error, record.requestId, corsHeaders(this.#access.allowedOrigin(req.rawHeaders)));
  }

  /** RFC 9112 6.1, 6.3: after bad framing the connection ends with the answer. */
  #closeAfterResponse(socket: Socket, res: ServerResponse): void {
    res.shouldKeepAlive = false;
    this.#closing.add(socket);
    socket.once('close', () => this.#closing.delete(socket));
  }
}

/** Listens for `error` on a response: node:http emits it for a write after the end, for example by a faulty app. */
function destroyOnError(this: ServerResponse): void {
  this.destroy();
}

export function createRecord({ rawHeaders, method = '' }: IncomingMessage): RequestRecord {
  return new RequestRecord(requestIdOf(rawHeaders), method, rawHeaders);
}

function refuseWebSocket(req: IncomingMessage): void {
  if (headerValue(req.rawHeaders, 'upgrade')?.trim().toLowerCase() === 'websocket') throw upgradeRefused();
}

export function upgradeRefused(): ProxyError {
  return new ProxyError(
    'upgrade_refused',
    'This route forwards no WebSockets; `websocket: true` on it lets them through.',
  );
}

export function refuseOverload(route: Route): void {
  const { maxConcurrency, name } = route.config;
  if (maxConcurrency === undefined || route.stats.inFlight < maxConcurrency) return;
  throw new ProxyError('overloaded', `${name} has ${maxConcurrency} requests under way, its max_concurrency.`, {
    reason: { kind: 'limit', key: 'max_concurrency' },
  });
}
