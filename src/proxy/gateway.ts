import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Client, Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import {
  CORS_EXPOSED_HEADERS,
  countHeaders,
  type HeaderList,
  headerValue,
  refuseFramingInConnection,
} from '../http/header-list.ts';
import { asProxyError, sendProblem } from '../http/problem.ts';
import type { Via } from '../http/via.ts';
import { maskedUnknownPath } from '../telemetry/mask.ts';
import type { Tracing } from '../telemetry/otlp.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import { RequestRecord } from '../telemetry/request-record.ts';
import type { DiscoveredEndpoints } from '../tokens/discovery.ts';
import type { TokenSources } from '../tokens/token-sources.ts';
import { Access, type Caller } from './access.ts';
import { sendLogin } from './login.ts';
import { ProxiedRequest, type RequestContext } from './request.ts';
import { notAllowed, Route, RouteTable } from './route.ts';
import { parseTarget, type Target } from './target.ts';
import { TokenEndpoints, tokenEndpointsOf, TokenPathGuard, tokenPathRefused } from './token-paths.ts';
import type { UpstreamPools } from './upstream-pools.ts';

interface GatewayContext {
  readonly sources: TokenSources;
  /** Token endpoints that issuers name at run time. */
  readonly discoveredEndpoints: DiscoveredEndpoints;
  readonly pools: UpstreamPools;
  readonly clock: Clock;
  /** How this Wakala names itself in `Via`. */
  readonly via: Via;
  readonly requestLog: RequestLog;
  /** Undefined if requests are not traced. */
  readonly tracing: Tracing | undefined;
}

/** A request that passed admission. */
interface Admitted {
  /** Undefined if no route has this path. */
  readonly route: Route | undefined;
  readonly caller: Caller;
  /** Path without the route's prefix, and query. The whole path if there is no route. */
  readonly target: Target;
}

/** Admits and dispatches the requests of one configuration: `handle` -> `admit` -> `#dispatch` -> `ProxiedRequest`. */
export class Gateway {
  readonly routes: readonly Route[];
  readonly #access: Access;
  readonly #table: RouteTable<Route>;
  readonly #requestLog: RequestLog;
  readonly #tracing: Tracing | undefined;
  readonly #clock: Clock;
  /** Connections that close after a 400: what follows on them may be part of the refused request. */
  readonly #closing = new Set<Socket>();

  constructor(config: Config, context: GatewayContext) {
    const endpoints = new TokenEndpoints(config.routes.flatMap(tokenEndpointsOf));
    this.routes = config.routes.map(
      (route) =>
        new Route(
          route,
          context.sources.for(route),
          context.pools.for({ ...route, origin: new URL(route.upstream).origin }),
          context.requestLog.statsOf(route.name),
          context.via,
          new TokenPathGuard(route, endpoints, context.discoveredEndpoints),
          context.clock,
        ),
    );
    this.#access = new Access(config, () => context.clock.now());
    this.#table = new RouteTable(this.routes);
    this.#requestLog = context.requestLog;
    this.#tracing = context.tracing;
    this.#clock = context.clock;
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    res.on('error', destroyOnError);
    if (this.isClosing(req.socket)) return;
    const record = createRecord(req);
    try {
      this.#dispatch(req, res, this.admit(req, record), record);
    } catch (error) {
      this.refuse(req, res, asProxyError(error), { record });
    }
  }

  /**
   * Checks framing, caller, method, target and `allow` on the raw request, and finds its route. Writes caller and route to
   * the record, also for a request that is refused.
   * @throws ProxyError for a request that must not be forwarded
   */
  admit(req: IncomingMessage, record: RequestRecord): Admitted {
    const countError = headerCountError(req.rawHeaders);
    if (countError !== undefined) throw countError;
    refuseInvalidFraming(req);
    refuseFramingInConnection(req.rawHeaders);
    const host = headerValue(req.rawHeaders, 'host') ?? '';
    const caller = this.#access.admit(req, host);
    const { client } = caller;
    record.client = client?.name;
    if (req.method === 'TRACE' || req.method === 'CONNECT') throw methodNotAllowed(req.method);
    const requestTarget = parseTarget(req.url ?? '', host);
    const route = this.#table.match(requestTarget.path);
    record.route = route?.config.name;
    if (route === undefined) return { route, caller, target: requestTarget };
    const { name } = route.config;
    if (client?.routes !== undefined && !client.routes.includes(name)) {
      const detail = `The client \`${client.name}\` may not use ${name}. Add the route to its \`routes\`.`;
      throw new ProxyError('client_forbidden', detail);
    }
    const target = { path: requestTarget.path.slice(route.prefix.length), query: requestTarget.query };
    if (!route.allows(caller.preflight ?? req.method ?? '', target.path)) {
      throw notAllowed(name);
    }
    return { route, caller, target };
  }

  /** Responds to the request here, or starts to forward it. @throws ProxyError */
  #dispatch(req: IncomingMessage, res: ServerResponse, admitted: Admitted, record: RequestRecord): void {
    const { route, caller, target } = admitted;
    const { client, origin, preflight } = caller;
    const { requestId } = record;
    if (preflight !== undefined) {
      sendPreflightResponse(req, res, { origin, preflight }, requestId);
      return;
    }
    const tokenPath = route?.tokenPaths.classify(req.method ?? '', target.path) ?? 'other';
    if (tokenPath === 'refused') throw tokenPathRefused();
    if (route === undefined || tokenPath === 'login') {
      const extraHeaders = corsHeaders(origin);
      record.path = maskedUnknownPath(target.path);
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
    if (headerValue(req.rawHeaders, 'upgrade')?.trim().toLowerCase() === 'websocket') throw upgradeRefused();
    refuseOverload(route);
    const request = new ProxiedRequest(route, req, res, this.beginRequest(record, route, caller, target));
    res.on('close', () => request.onClientClosed());
    request.start();
  }

  /** Writes the target of a request that goes to a route to the record, and starts its trace. */
  beginRequest(record: RequestRecord, route: Route, { client, origin }: Caller, target: Target): RequestContext {
    record.path = target.path;
    record.query = target.query;
    record.redaction = route.redaction;
    if (route.config.inspectBodies) record.keepBodies();
    return {
      requestId: record.requestId,
      client: client?.name,
      target,
      extraHeaders: corsHeaders(origin),
      record,
      requestLog: this.#requestLog,
      trace: this.#tracing?.begin(record, route.config),
    };
  }

  /** Logs the error and sends it as a problem response. */
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

  /** Whether a connection closes after a response that was already decided. Further requests on it are ignored. */
  isClosing(socket: Socket): boolean {
    return this.#closing.size > 0 && this.#closing.has(socket);
  }

  /** RFC 9112 6.1, 6.3: after invalid framing, the connection closes after the response. */
  #closeAfterResponse(socket: Socket, res: ServerResponse): void {
    res.shouldKeepAlive = false;
    this.#closing.add(socket);
    socket.once('close', () => this.#closing.delete(socket));
  }
}

/** Listener for `error` on a response. node:http emits it for a write after the end, for example by an app. */
function destroyOnError(this: ServerResponse): void {
  this.destroy();
}

// Request ID and record

/** What is safe in log lines and headers. */
const VALID_REQUEST_ID = /^[A-Za-z0-9._:@/+=-]{1,128}$/;

/** The client's `x-request-id` if it is valid, otherwise a new UUID. */
export function requestIdOf(rawHeaders: readonly string[]): string {
  const given = headerValue(rawHeaders, 'x-request-id');
  return given !== undefined && VALID_REQUEST_ID.test(given) ? given : randomUUID();
}

export function createRecord({ rawHeaders, method = '' }: IncomingMessage): RequestRecord {
  return new RequestRecord(requestIdOf(rawHeaders), method, rawHeaders);
}

// Admission

/** Limit for the number of header lines of a request. */
const MAX_HEADERS = 200;

/** The error for a request with too many header lines. Undefined if the number is within the limit. */
export function headerCountError(rawHeaders: readonly string[]): ProxyError | undefined {
  const count = rawHeaders.length / 2;
  if (count <= MAX_HEADERS) return undefined;
  return new ProxyError(
    'header_too_large',
    `The request has ${count} header lines. Send at most ${MAX_HEADERS}. Nothing was sent.`,
  );
}

/**
 * Refuses framing that Node's parser accepts and a strict upstream would not: RFC 9112 3.2 (Host), 6.1
 * (Transfer-Encoding).
 */
function refuseInvalidFraming(req: IncomingMessage): void {
  const raw = req.rawHeaders;
  if (req.httpVersionMajor !== 1) throw badRequest('only HTTP/1.1 and HTTP/1.0 are supported');
  if (countHeaders(raw, 'host') !== 1) throw badRequest('it must have exactly one Host header');
  if (!/^[\w.\-[\]:]*$/.test(headerValue(raw, 'host') ?? '')) throw badRequest('its Host header is malformed');
  const codings = countHeaders(raw, 'transfer-encoding');
  if (codings === 0) return;
  if (codings > 1 || headerValue(raw, 'transfer-encoding')?.toLowerCase() !== 'chunked') {
    throw badRequest('only the Transfer-Encoding `chunked` is supported');
  }
  if (req.httpVersion === '1.0') throw badRequest('HTTP/1.0 has no Transfer-Encoding');
  if (countHeaders(raw, 'content-length') > 0) throw badRequest('it has both Transfer-Encoding and Content-Length');
}

function badRequest(fault: string): ProxyError {
  return new ProxyError('bad_request', `The request was refused: ${fault}. Nothing was sent.`);
}

export function methodNotAllowed(method: string): ProxyError {
  return new ProxyError('method_not_allowed', `${method} requests are not forwarded.`);
}

export function upgradeRefused(): ProxyError {
  const detail = 'This route does not forward WebSockets. To allow them, set `websocket: true` on it.';
  return new ProxyError('upgrade_refused', detail);
}

export function refuseOverload(route: Route): void {
  const { maxConcurrency, name } = route.config;
  if (maxConcurrency === undefined || route.stats.inFlight < maxConcurrency) return;
  const detail = `${name} has ${maxConcurrency} requests in flight, the limit set by max_concurrency. Send it again later.`;
  throw new ProxyError('overloaded', detail, { reason: { kind: 'limit', key: 'max_concurrency' } });
}

/** For a path without a route. Names only the routes that this client may use. */
function noRoute(routes: readonly Route[], client: Client | undefined): ProxyError {
  const names = routes.map(({ config }) => config.name).filter((name) => client?.routes?.includes(name) ?? true);
  return new ProxyError('no_route', `No route has this path. Configured: ${names.join(', ')}.`);
}

// CORS

/** How long a browser may cache a preflight response. Seconds. */
const PREFLIGHT_MAX_AGE_S = 600;

const EXPOSED_HEADERS = CORS_EXPOSED_HEADERS.join(', ');

const NONE: Readonly<HeaderList> = [];

/** Headers that let a page of an allowed origin read a response (Fetch standard, "CORS protocol"). */
function corsHeaders(origin: string | undefined): Readonly<HeaderList> {
  if (origin === undefined) return NONE;
  return ['access-control-allow-origin', origin, 'access-control-expose-headers', EXPOSED_HEADERS, 'vary', 'Origin'];
}

/** Responds to a CORS preflight. It is never forwarded. */
function sendPreflightResponse(
  req: IncomingMessage,
  res: ServerResponse,
  { origin, preflight }: { readonly origin: string | undefined; readonly preflight: string },
  requestId: string,
): void {
  const headers = headerValue(req.rawHeaders, 'access-control-request-headers');
  res.writeHead(204, [
    ...corsHeaders(origin),
    'access-control-allow-methods',
    preflight,
    ...(headers === undefined ? [] : ['access-control-allow-headers', headers]),
    'access-control-max-age',
    String(PREFLIGHT_MAX_AGE_S),
    'x-request-id',
    requestId,
  ]);
  res.end();
}
