import type { Server } from 'node:http';
import { adminListener } from '../admin/listener.ts';
import { type Clock, systemClock } from '../clock.ts';
import { formatAddress } from '../config/address.ts';
import type { Config, ListenAddress, TokenStore } from '../config/config.ts';
import type { Log } from '../log.ts';
import { isLoopbackName } from '../loopback.ts';
import { http } from '../node-http.ts';
import { Gateway } from '../proxy/gateway.ts';
import { UpgradeHandler } from '../proxy/upgrade.ts';
import { UpstreamPools } from '../proxy/upstream.ts';
import { TokenSources } from '../tokens/sources.ts';
import type { OpenTokenStore } from '../tokens/shared/open.ts';
import { networkTransport } from '../tokens/transport.ts';
import type { Connections } from './connections.ts';
import { drainServer } from './drain.ts';
import { createProxyServer, listen, type ProxyServer, setCertificates } from './http-server.ts';
import { refuseRestart } from './restart.ts';

export interface ServerOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** Why the configuration on disk is not the one that serves; shown by `/readyz`. */
  readonly reloadFailure?: () => string | undefined;
  /** Of a worker: what it shares its tokens with, unless the configuration has a token store. */
  readonly shared?: OpenTokenStore;
}

/** A proxy at work: its listeners, and the configuration that they serve. */
export class RunningServer {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #tokenEndpoint: ReturnType<typeof networkTransport>;
  readonly #tokenStore: OpenTokenStore | undefined;
  readonly #pools = new UpstreamPools();
  readonly #sources: TokenSources;
  readonly #upgrades: UpgradeHandler;
  readonly #proxy: ProxyServer;
  readonly #connections: Connections;
  readonly #admin: Server;
  #config: Config;
  #gateway: Gateway;
  #draining = false;
  #address: ListenAddress;
  #adminAddress: ListenAddress | undefined;

  private constructor(
    config: Config,
    tokenStore: OpenTokenStore | undefined,
    options: Required<Omit<ServerOptions, 'shared'>>,
  ) {
    const { log, clock, reloadFailure } = options;
    this.#log = log;
    this.#clock = clock;
    this.#config = config;
    this.#address = config.listen;
    this.#tokenEndpoint = networkTransport(clock);
    this.#tokenStore = tokenStore;
    this.#sources = new TokenSources({
      clock,
      log,
      random: Math.random,
      transport: this.#tokenEndpoint.transport,
      share: tokenStore?.share,
    });
    this.#gateway = this.#gatewayOf(config);
    this.#upgrades = new UpgradeHandler(() => this.#gateway, log);
    const { server, connections } = createProxyServer({
      gateway: () => this.#gateway,
      upgrades: this.#upgrades,
      config: () => this.#config,
      draining: () => this.#draining,
    });
    this.#proxy = server;
    this.#connections = connections;
    const admin = adminListener({
      ready: () => !this.#draining,
      reloadFailure,
      loopback: isLoopbackName(config.admin?.host ?? ''),
      token: () => this.#config.adminToken,
    });
    this.#admin = http.createServer(admin);
  }

  /** @throws Error if an address cannot be listened on */
  static async start(config: Config, options: ServerOptions): Promise<RunningServer> {
    const { log, clock = systemClock, reloadFailure = () => undefined } = options;
    const { tokenStore } = config;
    const store = tokenStore === undefined ? options.shared : await openStore(tokenStore, { clock, log });
    const server = new RunningServer(config, store, { log, clock, reloadFailure });
    try {
      server.#address = await listen(server.#proxy, config.listen, '--listen');
      if (config.admin !== undefined) server.#adminAddress = await listen(server.#admin, config.admin, '--admin');
    } catch (error) {
      server.#proxy.close();
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
    this.#admin.close();
    this.#admin.closeAllConnections();
    this.#sources.close();
    this.#tokenStore?.close();
    this.#tokenEndpoint.close();
    await this.#pools.close();
    this.#log.info({ clean }, 'stopped');
    return clean;
  }

  #gatewayOf(config: Config): Gateway {
    return new Gateway(config, { sources: this.#sources, pools: this.#pools, clock: this.#clock, log: this.#log });
  }
}

/** Loaded for those who have one. */
async function openStore(settings: TokenStore, context: { clock: Clock; log: Log }): Promise<OpenTokenStore> {
  const { openTokenStore } = await import('../tokens/shared/open.ts');
  return await openTokenStore(settings, { ...context, random: Math.random });
}

/** Starts the proxy of a valid configuration. @throws Error if an address cannot be listened on */
export function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  return RunningServer.start(config, options);
}
