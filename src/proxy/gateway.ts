import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { TokenSources } from '../tokens/sources.ts';
import { Access } from './access.ts';
import { admit, type Admitted } from './admission.ts';
import { ProxiedRequest } from './handler.ts';
import { headerOf } from './headers.ts';
import { LiveRoute } from './live-route.ts';
import { localApp } from './local-app.ts';
import { asProxyError, sendProblem } from './problem.ts';
import { requestIdOf } from './request-id.ts';
import { RouteTable } from './routes.ts';
import type { UpstreamPools } from './upstream.ts';

export interface GatewayContext {
  readonly sources: TokenSources;
  readonly pools: UpstreamPools;
  readonly clock: Clock;
  readonly log: Log;
}

/** One configuration at work: which requests come in, and where each goes. */
export class Gateway {
  readonly routes: readonly LiveRoute[];
  readonly #access: Access;
  readonly #table: RouteTable<LiveRoute>;
  readonly #log: Log;
  readonly #requestIds = new WeakMap<object, string>();
  readonly #local: (req: IncomingMessage, res: ServerResponse) => Promise<void>;

  constructor(config: Config, context: GatewayContext) {
    this.routes = config.routes.map(
      (route) =>
        new LiveRoute(
          route,
          context.sources.for(route),
          context.pools.for(new URL(route.upstream).origin, route.connectTimeoutMs),
        ),
    );
    this.#access = new Access(config);
    this.#table = new RouteTable(this.routes);
    this.#log = context.log;
    const app = localApp(this.routes, () => context.clock.now());
    // Only a proxied request's bytes matter; here node's own request and response must stay what they are.
    this.#local = getRequestListener(
      (request, { incoming }) => app.fetch(request, { requestId: this.#requestIds.get(incoming) ?? '' }),
      { overrideGlobalObjects: false },
    );
  }

  /** Judges a raw request. @throws ProxyError for one that may not come in */
  admit(req: IncomingMessage): Admitted {
    return admit(req, this.#access, this.#table);
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const requestId = requestIdOf(req.rawHeaders);
    try {
      const { route, below } = this.admit(req);
      const verdict = route?.tokenPaths.judge(req.method ?? '', below.path) ?? 'other';
      if (route === undefined || verdict === 'login') this.#handleLocally(req, res, requestId);
      else if (verdict === 'refused') throw tokenPathRefused();
      else {
        refuseUpgrade(req);
        refuseOverload(route);
        new ProxiedRequest(route, req, res, { requestId, below, log: this.#log }).start();
      }
    } catch (thrown) {
      const error = asProxyError(thrown);
      // The path may be a token path with a refresh token in it: it is not logged.
      this.#log.info({ request_id: requestId, method: req.method, code: error.code }, 'request refused');
      sendProblem(res, error, requestId);
    }
  }

  #handleLocally(req: IncomingMessage, res: ServerResponse, requestId: string): void {
    this.#requestIds.set(req, requestId);
    void this.#local(req, res);
  }
}

export function tokenPathRefused(): ProxyError {
  return new ProxyError('path_refused', "The provider's token endpoint is not reachable through wakala.");
}

function refuseUpgrade(req: IncomingMessage): void {
  if (headerOf(req.rawHeaders, 'upgrade')?.trim().toLowerCase() !== 'websocket') return;
  throw new ProxyError(
    'upgrade_refused',
    'This route forwards no WebSockets; `websocket: true` on it lets them through.',
  );
}

export function refuseOverload(route: LiveRoute): void {
  const { maxConcurrency, name } = route.config;
  if (maxConcurrency === undefined || route.inFlight < maxConcurrency) return;
  throw new ProxyError('overloaded', `${name} has ${maxConcurrency} requests under way, its max_concurrency.`);
}
