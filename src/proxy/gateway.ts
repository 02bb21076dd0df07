import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { Journal } from '../telemetry/journal.ts';
import { maskedUnknownPath } from '../telemetry/mask.ts';
import type { RequestTrace, Tracing } from '../telemetry/tracing.ts';
import { Trail } from '../telemetry/trail.ts';
import type { TokenSources } from '../tokens/sources.ts';
import { Access } from './access.ts';
import { admit, type Admitted } from './admission.ts';
import { answerPreflight, corsHeaders } from './cors.ts';
import { ProxiedRequest } from './handler.ts';
import { headerOf } from './headers.ts';
import { discardBody } from './linger.ts';
import { LiveRoute } from './live-route.ts';
import type { LocalBindings, LocalListener } from './local-app.ts';
import { asProxyError, sendProblem } from './problem.ts';
import { requestIdOf } from './request-id.ts';
import { RouteTable } from './routes.ts';
import type { Target } from './target.ts';
import type { UpstreamPools } from './upstream.ts';

export interface GatewayContext {
  readonly sources: TokenSources;
  readonly pools: UpstreamPools;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Undefined: requests are not traced. */
  readonly tracing: Tracing | undefined;
}

/** One configuration at work: which requests come in, and where each goes. */
export class Gateway {
  readonly routes: readonly LiveRoute[];
  readonly #access: Access;
  readonly #table: RouteTable<LiveRoute>;
  readonly #journal: Journal;
  readonly #tracing: Tracing | undefined;
  /** Connections whose bytes cannot be trusted any more: what follows on them may be part of a refused body. */
  readonly #distrusted = new Set<Socket>();
  readonly #bindings = new WeakMap<object, LocalBindings>();
  readonly #loadLocal: () => Promise<LocalListener>;
  #local: Promise<LocalListener> | undefined;

  constructor(config: Config, context: GatewayContext) {
    this.routes = config.routes.map(
      (route) =>
        new LiveRoute(
          route,
          context.sources.for(route),
          context.pools.for(new URL(route.upstream).origin, route.connectTimeoutMs),
          context.journal.activity(route.name),
        ),
    );
    this.#access = new Access(config, () => context.clock.now());
    this.#table = new RouteTable(this.routes);
    this.#journal = context.journal;
    this.#tracing = context.tracing;
    this.#loadLocal = async () => {
      const { localListener } = await import('./local-app.ts');
      return localListener(this.routes, this.#bindings, () => context.clock.now());
    };
  }

  /** Judges a raw request. @throws ProxyError for one that may not come in */
  admit(req: IncomingMessage, trail: Trail): Admitted {
    return admit(req, this.#access, this.#table, trail);
  }

  /** Begins the trace of a request that goes to a route; undefined unless requests are traced. */
  trace(trail: Trail, { config }: LiveRoute): RequestTrace | undefined {
    return this.#tracing?.begin(trail, config);
  }

  /** Whether a connection ends with the answer to a request on it that was refused. */
  distrusts(socket: Socket): boolean {
    return this.#distrusted.size > 0 && this.#distrusted.has(socket);
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
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
        trail.path = maskedUnknownPath(below.path);
        if (route === undefined) trail.code = 'no_route';
        this.#handleLocally(req, res, { requestId, client, extraHeaders: corsHeaders(origin) });
        res.once('close', () => {
          trail.status = res.statusCode;
          this.#journal.answeredHere(trail);
        });
        return;
      }
      refuseUpgrade(req);
      refuseOverload(route);
      this.beginTrail(trail, route, below);
      const trace = this.trace(trail, route);
      const context = { trail, below, journal: this.#journal, trace, extraHeaders: corsHeaders(origin) };
      new ProxiedRequest(route, req, res, context).start();
    } catch (thrown) {
      this.refuse(req, res, asProxyError(thrown), { trail });
    }
  }

  /** Notes what a request that goes to a route asks for. */
  beginTrail(trail: Trail, route: LiveRoute, { path, query }: Target): void {
    trail.path = path;
    trail.query = query;
    trail.redaction = route.redaction;
    if (route.config.inspectBodies) trail.keepBodies();
  }

  /** Answers with a problem. `message`: for the log. */
  refuse(
    req: IncomingMessage,
    res: ServerResponse,
    error: ProxyError,
    { trail = trailOf(req), message = 'request refused' } = {},
  ): void {
    this.#journal.refused(trail, error, message, req.url ?? '');
    if (error.status === 400) this.#distrust(req.socket, res);
    sendProblem(res, error, trail.requestId, corsHeaders(this.#access.allowedOrigin(req.rawHeaders)));
  }

  /** RFC 9112 6.1, 6.3: after bad framing the connection ends with the answer. */
  #distrust(socket: Socket, res: ServerResponse): void {
    res.shouldKeepAlive = false;
    this.#distrusted.add(socket);
    socket.once('close', () => this.#distrusted.delete(socket));
  }

  #handleLocally(req: IncomingMessage, res: ServerResponse, bindings: LocalBindings): void {
    this.#bindings.set(req, bindings);
    discardBody(req);
    // Loaded for the first that needs it: an app that gets its tokens here never does.
    this.#local ??= this.#loadLocal();
    this.#local
      .then((handle) => handle(req, res))
      .catch((cause: unknown) => sendProblem(res, asProxyError(cause), bindings.requestId, bindings.extraHeaders));
  }
}

export function trailOf({ rawHeaders, method = '' }: IncomingMessage): Trail {
  return new Trail(requestIdOf(rawHeaders), method, rawHeaders);
}

export function tokenPathRefused(): ProxyError {
  return new ProxyError('path_refused', "The provider's token endpoint is not reachable through wakala.");
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

export function refuseOverload(route: LiveRoute): void {
  const { maxConcurrency, name } = route.config;
  if (maxConcurrency === undefined || route.activity.inFlight < maxConcurrency) return;
  throw new ProxyError('overloaded', `${name} has ${maxConcurrency} requests under way, its max_concurrency.`);
}
