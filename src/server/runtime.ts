import { type Clock, systemClock } from '../clock.ts';
import type { Config, TokenStoreConfig } from '../config/config.ts';
import { asProxyError, problemDetail } from '../http/problem.ts';
import { Via } from '../http/via.ts';
import type { Log } from '../logger.ts';
import { hasToken } from '../providers/provider.ts';
import { Gateway } from '../proxy/gateway.ts';
import type { Route } from '../proxy/route.ts';
import { UpstreamPools } from '../proxy/upstream-pools.ts';
import { UpgradeHandler } from '../proxy/websocket.ts';
import { maskedCall } from '../telemetry/mask.ts';
import { copyCounts } from '../telemetry/metrics.ts';
import type { Tracing } from '../telemetry/otlp.ts';
import { RequestLog } from '../telemetry/request-log.ts';
import { BUCKET_MS, bucketIndexAt } from '../telemetry/route-stats.ts';
import {
  type CredentialSnapshot,
  MAX_REFUSED_CALLS,
  type ProcessSnapshot,
  type RefreshResult,
  type RouteSnapshot,
  type TokenSnapshot,
} from '../telemetry/snapshot.ts';
import { openTracing } from '../telemetry/tracing.ts';
import { DiscoveredEndpoints } from '../tokens/discovery.ts';
import type { TokenSharing } from '../tokens/store/open.ts';
import type { Token, TokenSource } from '../tokens/token.ts';
import { TokenSources } from '../tokens/token-sources.ts';
import { networkTransport } from '../tokens/transport.ts';
import { version } from './version.ts';

/** @param bucketIndex the current bucket of the time series */
export function routesSnapshot(
  routes: readonly Route[],
  bucketIndex: number,
): Pick<ProcessSnapshot, 'credentials' | 'routes'> {
  const firstRoutes = new Map<TokenSource, Route>();
  for (const route of routes) {
    if (hasToken(route.config.provider.token) && !firstRoutes.has(route.tokens)) firstRoutes.set(route.tokens, route);
  }
  return {
    credentials: [...firstRoutes.values()].map(credentialSnapshot),
    routes: routes.map((route) => routeSnapshot(route, firstRoutes.get(route.tokens)?.config.name, bucketIndex)),
  };
}

function credentialSnapshot({ config, tokens }: Route): CredentialSnapshot {
  const { token, stats, refusedCalls, ...status } = tokens.status();
  return {
    name: config.name,
    provider: config.provider.name,
    fixed: 'fixed' in config.provider.token,
    token: token && tokenSnapshot(token),
    exchanges: copyCounts(stats.counts),
    clockSkewMs: stats.clockSkewMs,
    refusedCalls: refusedCalls
      .slice(0, MAX_REFUSED_CALLS)
      .map((refused) => ({ ...refused, call: maskedCall(refused.call) })),
    refusedCallCount: refusedCalls.length,
    ...status,
  };
}

function tokenSnapshot(token: Token): TokenSnapshot {
  const { fingerprint, issuedAtMs, expiresAtMs, refreshAtMs, lifetimeSource, generation } = token;
  return { fingerprint, issuedAtMs, expiresAtMs, refreshAtMs, lifetimeSource, generation };
}

function routeSnapshot({ config, stats }: Route, credential: string | undefined, bucketIndex: number): RouteSnapshot {
  const { inFlight, counts, failure } = stats;
  return {
    name: config.name,
    credential,
    inFlight,
    counts: counts && copyCounts(counts),
    failure,
    buckets: stats.buckets(bucketIndex),
  };
}

interface RuntimeOptions {
  readonly log: Log;
  readonly clock?: Clock | undefined;
  /** How workers share tokens. A `token_store` in the configuration takes precedence. */
  readonly sharing?: TokenSharing | undefined;
  /** How many of the last requests the inspector keeps. */
  readonly keep: number;
  /** How this Wakala names itself in `Via`. Default: a new name. */
  readonly via?: Via | undefined;
}

interface Parts {
  readonly sharing: TokenSharing | undefined;
  readonly tracing: Tracing | undefined;
  readonly clock: Clock;
}

/** A proxy without its listeners: routes, tokens, connections to providers, and the records of requests. */
export class Runtime {
  readonly requestLog: RequestLog;
  readonly upgrades: UpgradeHandler;
  readonly #clock: Clock;
  readonly #via: Via;
  readonly #tokenEndpoint: ReturnType<typeof networkTransport>;
  readonly #sharing: TokenSharing | undefined;
  readonly #tracing: Tracing | undefined;
  readonly #pools = new UpstreamPools();
  readonly #discoveredEndpoints = new DiscoveredEndpoints();
  readonly #sources: TokenSources;
  #gateway: Gateway;
  #cancelTick: () => void = () => {};

  private constructor(config: Config, { log, keep, via }: RuntimeOptions, { sharing, tracing, clock }: Parts) {
    this.#clock = clock;
    this.#via = via ?? new Via();
    this.#tokenEndpoint = networkTransport(clock);
    this.#sharing = sharing;
    this.#tracing = tracing;
    this.requestLog = new RequestLog({ log, keep });
    this.requestLog.logsSuccess = config.log.requests;
    this.#sources = new TokenSources({
      clock,
      log,
      random: Math.random,
      transport: this.#tokenEndpoint.transport,
      share: sharing?.share,
      discoveredEndpoints: this.#discoveredEndpoints,
    });
    this.#gateway = this.#gatewayOf(config);
    this.upgrades = new UpgradeHandler(() => this.#gateway, log, this.requestLog);
    this.#tick();
  }

  /** @throws Error if the packages for tracing are not installed */
  static async open(config: Config, options: RuntimeOptions): Promise<Runtime> {
    const { log, clock = systemClock } = options;
    const tracing = await tracingOf(config, log);
    const sharing = config.tokenStore ? await openStore(config.tokenStore, { clock, log }) : options.sharing;
    return new Runtime(config, options, { sharing, tracing, clock });
  }

  get gateway(): Gateway {
    return this.#gateway;
  }

  /**
   * Applies another configuration from the next request on. Requests under way finish with the old one. A token stays
   * if its credential did not change.
   * @param commit runs before the change; if it throws, the old configuration stays in use
   */
  apply(config: Config, commit: () => void): void {
    try {
      const gateway = this.#gatewayOf(config);
      commit();
      this.requestLog.logsSuccess = config.log.requests;
      this.#gateway = gateway;
      this.#sharing?.setTls?.(config.tokenStore?.servers.tls);
    } finally {
      // If this throws, these close what was opened for the new configuration.
      this.#sources.retain(tokenTimeouts(this.#gateway.routes));
      this.#pools.retain(new Set(this.#gateway.routes.map((route) => route.pool)));
    }
  }

  snapshot(): Omit<
    ProcessSnapshot,
    'pid' | 'startedAtMs' | 'rssBytes' | 'cpuSeconds' | 'connections' | 'logLinesDropped'
  > {
    return {
      websockets: this.upgrades.openCount,
      recordsDropped: this.requestLog.recentRequests?.dropped ?? 0,
      tokenStore: this.#sharing?.status?.(),
      upstreams: this.#pools.stats(),
      unrouted: { ...this.requestLog.unrouted.counts?.errors },
      ...routesSnapshot(this.#gateway.routes, bucketIndexAt(this.#clock.now())),
    };
  }

  /** Requests a new token for the credential of a route. */
  async refresh(route: string): Promise<RefreshResult> {
    const found = this.#gateway.routes.find(({ config }) => config.name === route);
    if (found === undefined) return { kind: 'no such route' };
    if (!hasToken(found.config.provider.token)) return { kind: 'no token' };
    try {
      const token = await found.tokens.renew();
      if (token === undefined) return { kind: 'fixed' };
      return { kind: 'refreshed', fingerprint: token.fingerprint, expiresAtMs: token.expiresAtMs };
    } catch (error) {
      const failure = asProxyError(error);
      const { code, retryAfterS } = failure;
      return { kind: 'failed', code, detail: problemDetail(failure), retryAfterS };
    }
  }

  /** Closes every connection to a provider, with the requests on it. */
  async close(): Promise<void> {
    this.#cancelTick();
    this.upgrades.close();
    this.#sources.close();
    this.#sharing?.close();
    this.#tokenEndpoint.close();
    this.#pools.close();
    await this.#tracing?.close();
  }

  /** Starts the next bucket of the request statistics at the right time, again and again. */
  #tick(): void {
    const nowMs = this.#clock.now();
    this.#cancelTick = this.#clock.after(BUCKET_MS - (nowMs % BUCKET_MS), () => {
      const sources = new Map(this.#gateway.routes.map(({ config, tokens }) => [config.name, tokens]));
      const exchanges = (route: string) => sources.get(route)?.status().stats.total ?? 0;
      this.requestLog.tick(bucketIndexAt(nowMs), exchanges);
      this.#tick();
    });
  }

  #gatewayOf(config: Config): Gateway {
    return new Gateway(config, {
      sources: this.#sources,
      discoveredEndpoints: this.#discoveredEndpoints,
      pools: this.#pools,
      clock: this.#clock,
      via: this.#via,
      requestLog: this.requestLog,
      tracing: this.#tracing,
    });
  }
}

/** The token sources of the routes, each with the longest time limit that its routes have for an exchange. */
function tokenTimeouts(routes: readonly Route[]): Map<TokenSource, number> {
  const longestMs = new Map<TokenSource, number>();
  for (const { tokens, config } of routes) {
    longestMs.set(tokens, Math.max(longestMs.get(tokens) ?? 0, config.tokenTimeoutMs));
  }
  return longestMs;
}

/** The client for Redis is loaded only if there is a token store. */
async function openStore(settings: TokenStoreConfig, context: { clock: Clock; log: Log }): Promise<TokenSharing> {
  const { openTokenStore } = await import('../tokens/store/open.ts');
  return await openTokenStore(settings, { ...context, random: Math.random });
}

/** @throws Error if the configuration has `tracing` and OpenTelemetry is not installed */
async function tracingOf({ tracing, listen, tls }: Config, log: Log): Promise<Tracing | undefined> {
  if (tracing === undefined) return undefined;
  return await openTracing({ ...tracing, listen, scheme: tls ? 'https' : 'http', version: version(), log });
}
