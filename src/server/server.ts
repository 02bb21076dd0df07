import type { Server } from 'node:http';
import { adminListener, type Reloads } from '../admin/listener.ts';
import { type Clock, systemClock } from '../clock.ts';
import { formatAddress } from '../config/address.ts';
import type { Config, ListenAddress, TokenStore } from '../config/config.ts';
import type { Log } from '../log.ts';
import { http } from '../node-http.ts';
import type { ProcessSnapshot, RefreshResult, ReplayResult, ServingProcess } from '../admin/snapshot.ts';
import { asProxyError } from '../proxy/problem.ts';
import { Gateway } from '../proxy/gateway.ts';
import { UpgradeHandler } from '../proxy/upgrade.ts';
import { UpstreamPools } from '../proxy/upstream.ts';
import { Journal } from '../telemetry/journal.ts';
import { STEP_MS, stepAt } from '../telemetry/series.ts';
import { openTracing, type Tracing } from '../telemetry/tracing.ts';
import type { Trail } from '../telemetry/trail.ts';
import { TokenSources } from '../tokens/sources.ts';
import type { OpenTokenStore } from '../tokens/shared/open.ts';
import { networkTransport } from '../tokens/transport.ts';
import type { Connections } from './connections.ts';
import { drainServer } from './drain.ts';
import { createProxyServer, listen, type ProxyServer, setCertificates } from './http-server.ts';
import { replay } from './replay.ts';
import { NO_RELOADS } from './reload.ts';
import { refuseRestart } from './restart.ts';
import { routesSnapshot } from './snapshot.ts';
import { version } from './version.ts';

export interface ServerOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** What became of changed configurations. */
  readonly reloads?: () => Reloads;
  /** Of a worker: what it shares its tokens with, unless the configuration has a token store. */
  readonly shared?: OpenTokenStore;
  /** The providers are emulated: requests may be sent again by hand. */
  readonly emulated?: boolean;
}

/** How many of the last requests are kept for the inspector. */
const KEPT_REQUESTS = 500;

/** A proxy at work: its listeners, and the configuration that they serve. */
export class RunningServer implements ServingProcess {
  readonly pid = process.pid;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #tokenEndpoint: ReturnType<typeof networkTransport>;
  readonly #tokenStore: OpenTokenStore | undefined;
  readonly #tracing: Tracing | undefined;
  readonly #journal: Journal;
  readonly #startedAtMs: number;
  readonly #pools = new UpstreamPools();
  readonly #sources: TokenSources;
  readonly #upgrades: UpgradeHandler;
  readonly #proxy: ProxyServer;
  readonly #connections: Connections;
  readonly #admin: Server;
  readonly replay: ServingProcess['replay'];
  #cancelTick: () => void = () => {};
  #config: Config;
  #gateway: Gateway;
  #draining = false;
  #address: ListenAddress;
  #adminAddress: ListenAddress | undefined;

  private constructor(
    config: Config,
    tokenStore: OpenTokenStore | undefined,
    tracing: Tracing | undefined,
    options: Required<Omit<ServerOptions, 'shared'>> & { readonly keep: number },
  ) {
    const { log, clock, reloads, emulated, keep } = options;
    this.#log = log;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    this.#config = config;
    this.#journal = new Journal({ log, keep });
    this.#journal.logsSuccess = config.log.requests;
    this.#address = config.listen;
    this.#tokenEndpoint = networkTransport(clock);
    this.#tokenStore = tokenStore;
    this.#tracing = tracing;
    this.#sources = new TokenSources({
      clock,
      log,
      random: Math.random,
      transport: this.#tokenEndpoint.transport,
      share: tokenStore?.share,
    });
    this.#gateway = this.#gatewayOf(config);
    this.#upgrades = new UpgradeHandler(() => this.#gateway, log, this.#journal);
    const { server, connections } = createProxyServer({
      gateway: () => this.#gateway,
      upgrades: this.#upgrades,
      config: () => this.#config,
      draining: () => this.#draining,
    });
    this.#proxy = server;
    this.#connections = connections;
    this.replay = emulated ? (number) => this.#replay(number) : undefined;
    const admin = adminListener({
      ready: () => !this.#draining,
      reloads,
      config: () => this.#config,
      processes: () => [this],
      emulated,
      version: version(),
      clock,
    });
    this.#admin = http.createServer(admin);
    this.#tick();
  }

  /** @throws Error if an address cannot be listened on, or what traces take is not installed */
  static async start(config: Config, options: ServerOptions): Promise<RunningServer> {
    const { log, clock = systemClock, reloads = () => NO_RELOADS, emulated = false } = options;
    const { tokenStore } = config;
    const tracing = await tracingOf(config, log);
    const store = tokenStore === undefined ? options.shared : await openStore(tokenStore, { clock, log });
    // Of a worker's requests, the primary's admin listener tells.
    const keep = config.admin !== undefined || options.shared !== undefined ? KEPT_REQUESTS : 0;
    const server = new RunningServer(config, store, tracing, { log, clock, reloads, emulated, keep });
    try {
      server.#address = await listen(server.#proxy, config.listen, '--listen');
      if (config.admin !== undefined) server.#adminAddress = await listen(server.#admin, config.admin, '--admin');
    } catch (error) {
      server.#proxy.close();
      server.#cancelTick();
      store?.close();
      throw error;
    }
    // Of workers, the primary tells it once for all.
    const level = options.shared === undefined ? 'info' : 'debug';
    options.log[level]({ listen: formatAddress(server.#address), routes: config.routes.length }, 'ready');
    return server;
  }

  /** With its real port. */
  get address(): ListenAddress {
    return this.#address;
  }

  get admin(): ListenAddress | undefined {
    return this.#adminAddress;
  }

  /**
   * Serves another configuration from the next request on; those under way finish with the old one. Tokens whose
   * credentials did not change are kept.
   * @throws Error if it would need other listeners than there are
   */
  apply(config: Config): void {
    refuseRestart(this.#config, config);
    const gateway = this.#gatewayOf(config);
    setCertificates(this.#proxy, config.tls);
    this.#config = config;
    this.#journal.logsSuccess = config.log.requests;
    this.#gateway = gateway;
    this.#sources.retain(new Set(gateway.routes.map((route) => route.tokens)));
    this.#pools.retain(new Set(gateway.routes.map((route) => route.pool)));
  }

  /** Finishes what is under way, then stops. @returns true if nothing had to be cut off */
  async drain(): Promise<boolean> {
    this.#draining = true;
    const { drainTimeoutMs } = this.#config;
    this.#log.info({ timeout_ms: drainTimeoutMs }, 'draining');
    this.#connections.endWithAnswers();
    const clean = await drainServer(
      this.#proxy,
      drainTimeoutMs,
      () => this.#clock.now(),
      () => {
        this.#upgrades.close();
        this.#connections.closeQuiet();
      },
    );
    this.#cancelTick();
    this.#admin.close();
    this.#admin.closeAllConnections();
    this.#sources.close();
    this.#tokenStore?.close();
    this.#tokenEndpoint.close();
    await Promise.all([this.#pools.close(), this.#tracing?.close()]);
    this.#log.info({ clean }, 'stopped');
    return clean;
  }

  async snapshot(): Promise<ProcessSnapshot> {
    const { user, system } = process.cpuUsage();
    return {
      pid: this.pid,
      startedAtMs: this.#startedAtMs,
      rssBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
      connections: this.#connections.open,
      websockets: this.#upgrades.open,
      recordsDropped: this.#journal.recorder?.dropped ?? 0,
      tokenStore: this.#tokenStore?.status?.(),
      upstreams: this.#pools.stats(),
      unrouted: Object.fromEntries(this.#journal.unrouted.counts?.errors ?? []),
      ...routesSnapshot(this.#gateway.routes, stepAt(this.#clock.now())),
    };
  }

  async records(after: number): Promise<readonly Trail[]> {
    return this.#journal.recorder?.since(after) ?? [];
  }

  async refresh(route: string): Promise<RefreshResult> {
    const source = this.#gateway.routes.find(({ config }) => config.name === route)?.tokens;
    if (source === undefined) return { kind: 'no such route' };
    try {
      const token = await source.renew();
      if (token === undefined) return { kind: 'fixed' };
      return { kind: 'refreshed', fingerprint: token.fingerprint, expiresAtMs: token.expiresAtMs };
    } catch (error) {
      const { code, message, retryAfterS } = asProxyError(error);
      return { kind: 'failed', code, detail: message, retryAfterS };
    }
  }

  #replay(number: number): Promise<ReplayResult> {
    const trail = this.#journal.recorder?.since(number - 1).at(-1);
    const found = trail?.number === number ? trail : undefined;
    const prefix = this.#config.routes.find(({ name }) => name === found?.route)?.prefix ?? '';
    return replay(found, prefix, this.#address);
  }

  /** Ends a step of the last quarter of an hour, as long as this runs. */
  #tick(): void {
    const nowMs = this.#clock.now();
    this.#cancelTick = this.#clock.after(STEP_MS - (nowMs % STEP_MS), () => {
      const sources = new Map(this.#gateway.routes.map(({ config, tokens }) => [config.name, tokens]));
      const exchanges = (route: string) => sources.get(route)?.status().tally.total ?? 0;
      this.#journal.tick(stepAt(nowMs), exchanges);
      this.#tick();
    });
  }

  #gatewayOf(config: Config): Gateway {
    return new Gateway(config, {
      sources: this.#sources,
      pools: this.#pools,
      clock: this.#clock,
      journal: this.#journal,
      tracing: this.#tracing,
    });
  }
}

/** Loaded for those who have one. */
async function openStore(settings: TokenStore, context: { clock: Clock; log: Log }): Promise<OpenTokenStore> {
  const { openTokenStore } = await import('../tokens/shared/open.ts');
  return await openTokenStore(settings, { ...context, random: Math.random });
}

/** @throws Error if OpenTelemetry is needed and not installed */
async function tracingOf({ tracing, listen, tls }: Config, log: Log): Promise<Tracing | undefined> {
  if (tracing === undefined) return undefined;
  return await openTracing({ ...tracing, listen, scheme: tls ? 'https' : 'http', version: version(), log });
}

/** Starts the proxy of a valid configuration. @throws Error if an address cannot be listened on */
export function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  return RunningServer.start(config, options);
}
