import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { RequestLog } from '../telemetry/journal.ts';
import { maskedUnknownPath } from '../telemetry/mask.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { RequestRecord } from '../telemetry/trail.ts';
import type { FoundEndpoints } from '../tokens/found-endpoints.ts';
import type { TokenSources } from '../tokens/sources.ts';
import { Access, type Caller } from './access.ts';
import { admit, type Admitted } from './admission.ts';
import { answerPreflight, corsHeaders } from './cors.ts';
import { headerOf } from './headers.ts';
import { Route } from './live-route.ts';
import { noRoute, sendLogin } from './local-app.ts';
import { asProxyError, sendProblem } from './problem.ts';
import { ProxiedRequest, type RequestContext } from './request.ts';
import { requestIdOf } from './request-id.ts';
import { RouteTable } from './routes.ts';
import type { Target } from './target.ts';
import { TokenEndpoints, tokenEndpointsOf, TokenPathGuard, tokenPathRefused } from './token-paths.ts';
import type { UpstreamPools } from './upstream-pools.ts';

export interface GatewayContext {
  readonly sources: TokenSources;
  /** Token endpoints that issuers name while this runs. */
  readonly foundEndpoints: FoundEndpoints;
  readonly pools: UpstreamPools;
  readonly clock: Clock;
  readonly journal: RequestLog;
  /** Undefined: requests are not traced. */
  readonly tracing: Tracing | undefined;
}

/** One configuration at work: which requests come in, and where each goes. */
export class Gateway {
  readonly routes: readonly Route[];
  readonly #access: Access;
  readonly #table: RouteTable<Route>;
  readonly #journal: RequestLog;
  readonly #tracing: Tracing | undefined;
  /** Connections whose bytes cannot be trusted any more: what follows on them may be part of a refused body. */
  readonly #distrusted = new Set<Socket>();
  readonly #clock: Clock;

  constructor(config: Config, context: GatewayContext) {
    const endpoints = new TokenEndpoints(config.routes.flatMap(tokenEndpointsOf));
    this.routes = config.routes.map(
      (route) =>
        new Route(
          route,
          context.sources.for(route),
          context.pools.for(new URL(route.upstream).origin, route.connectTimeoutMs),
          context.journal.activity(route.name),
          new TokenPathGuard(route, endpoints, context.foundEndpoints),
        ),
    );
    this.#access = new Access(config, () => context.clock.now());
    this.#table = new RouteTable(this.routes);
    this.#journal = context.journal;
    this.#tracing = context.tracing;
    this.#clock = context.clock;
  }

  /** Judges a raw request. @throws ProxyError for one that may not come in */
  admit(req: IncomingMessage, trail: RequestRecord): Admitted {
    return admit(req, this.#access, this.#table, trail);
  }

  /** Whether a connection ends with the answer to a request on it that was refused. */
  distrusts(socket: Socket): boolean {
    return this.#distrusted.size > 0 && this.#distrusted.has(socket);
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    res.on('error', breakOff);
    if (this.distrusts(req.socket)) return;
    const trail = trailOf(req);
    const { requestId } = trail;
    try {
      const { route, caller, below } = this.admit(req, trail);
      const { client, origin, preflight } = caller;
      if (preflight !== undefined) {
        answerPreflight(req, res, { origin, preflight }, requestId);
        return;
      }
      const verdict = route?.tokenPaths.judge(req.method ?? '', below.path) ?? 'other';
      if (verdict === 'refused') throw tokenPathRefused();
      if (route === undefined || verdict === 'login') {
        const extraHeaders = corsHeaders(origin);
        trail.path = maskedUnknownPath(below.path);
        res.once('close', () => {
          trail.status = res.statusCode;
          this.#journal.answeredHere(trail);
        });
        if (route === undefined) {
          trail.code = 'no_route';
          sendProblem(res, noRoute(this.routes, client), requestId, extraHeaders);
        } else {
          sendLogin(res, route, caller, { requestId, nowMs: this.#clock.now(), extraHeaders });
        }
        return;
      }
      refuseUpgrade(req);
      refuseOverload(route);
      const request = new ProxiedRequest(route, req, res, this.begin(trail, route, caller, below));
      res.on('close', () => request.onClientClosed());
      request.start();
    } catch (thrown) {
      this.refuse(req, res, asProxyError(thrown), { trail });
    }
  }

  /** Notes what a request that goes to a route asks for, and begins its trace. */
  begin(trail: RequestRecord, route: Route, { client, origin }: Caller, below: Target): RequestContext {
    trail.path = below.path;
    trail.query = below.query;
    trail.redaction = route.redaction;
    if (route.config.inspectBodies) trail.keepBodies();
    return {
      requestId: trail.requestId,
      client: client?.name,
      below,
      extraHeaders: corsHeaders(origin),
      trail,
      journal: this.#journal,
      trace: this.#tracing?.begin(trail, route.config),
    };
  }

  /** Answers with a problem. */
  refuse(
    req: IncomingMessage,
    res: ServerResponse,
    error: ProxyError,
    { trail = trailOf(req), isUpgrade = false } = {},
  ): void {
    const target = req.url ?? '';
    if (isUpgrade) this.#journal.refused(trail, error, 'upgrade refused', target);
    else this.#journal.refused(trail, error, 'request refused', target);
    if (error.status === 400) this.#distrust(req.socket, res);
    sendProblem(res, error, trail.requestId, corsHeaders(this.#access.allowedOrigin(req.rawHeaders)));
  }

  /** RFC 9112 6.1, 6.3: after bad framing the connection ends with the answer. */
  #distrust(socket: Socket, res: ServerResponse): void {
    res.shouldKeepAlive = false;
    this.#distrusted.add(socket);
    socket.once('close', () => this.#distrusted.delete(socket));
  }
}

/** Listens for `error` on a response: node:http emits it for a write after the end, for example by a faulty app. */
function breakOff(this: ServerResponse): void {
  this.destroy();
}

export function trailOf({ rawHeaders, method = '' }: IncomingMessage): RequestRecord {
  return new RequestRecord(requestIdOf(rawHeaders), method, rawHeaders);
}

function refuseUpgrade(req: IncomingMessage): void {
  if (headerOf(req.rawHeaders, 'upgrade')?.trim().toLowerCase() === 'websocket') throw upgradeRefused();
}

export function upgradeRefused(): ProxyError {
  return new ProxyError(
    'upgrade_refused',
    'This route forwards no WebSockets; `websocket: true` on it lets them through.',
  );
}

export function refuseOverload(route: Route): void {
  const { maxConcurrency, name } = route.config;
  if (maxConcurrency === undefined || route.activity.inFlight < maxConcurrency) return;
  throw new ProxyError('overloaded', `${name} has ${maxConcurrency} requests under way, its max_concurrency.`);
}
