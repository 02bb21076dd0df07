import type { Server } from 'node:http';
import { adminListener, type Reloads } from '../admin/listener.ts';
import type { ProcessSnapshot, RefreshResult, ReplayResult, ServingProcess } from '../admin/snapshot.ts';
import { type Clock, systemClock } from '../clock.ts';
import { formatAddress } from '../config/address.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import type { Log } from '../log.ts';
import type { RecordedDetails, RecordedRequest } from '../telemetry/recorder.ts';
import type { OpenTokenStore } from '../tokens/shared/open.ts';
import type { Connections } from './connections.ts';
import { Runtime } from './core.ts';
import { drainServer } from './drain.ts';
import { createAdminServer, createProxyServer, listen, type ProxyServer, setCertificates } from './http-server.ts';
import { NO_RELOADS } from './reload.ts';
import { resend } from './replay.ts';
import { refuseRestart } from './restart.ts';
import { commit, version } from './version.ts';

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
  readonly replay: ServingProcess['replay'];
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  readonly #core: Runtime;
  readonly #proxy: ProxyServer;
  readonly #connections: Connections;
  readonly #admin: Server;
  #config: Config;
  #draining = false;
  #address: ListenAddress;
  #adminAddress: ListenAddress | undefined;

  private constructor(config: Config, core: Runtime, options: Required<Omit<ServerOptions, 'shared'>>) {
    const { log, clock, reloads, emulated } = options;
    this.#log = log;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    this.#config = config;
    this.#core = core;
    this.#address = config.listen;
    const { server, connections } = createProxyServer({
      gateway: () => core.gateway,
      upgrades: core.upgrades,
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
      commit: commit(),
      clock,
    });
    this.#admin = createAdminServer(admin);
  }

  /** @throws Error if an address cannot be listened on, or what traces take is not installed */
  static async start(config: Config, options: ServerOptions): Promise<RunningServer> {
    const { log, shared, clock = systemClock, reloads = () => NO_RELOADS, emulated = false } = options;
    // Of a worker's requests, the primary's admin listener tells.
    const keep = config.admin !== undefined || shared !== undefined ? KEPT_REQUESTS : 0;
    const core = await Runtime.open(config, { log, clock, shared, keep });
    const server = new RunningServer(config, core, { log, clock, reloads, emulated });
    try {
      server.#address = await listen(server.#proxy, config.listen, '--listen');
      if (config.admin !== undefined) server.#adminAddress = await listen(server.#admin, config.admin, '--admin');
    } catch (error) {
      server.#proxy.close();
      await core.close();
      throw error;
    }
    // Of workers, the primary tells it once for all.
    const level = shared === undefined ? 'info' : 'debug';
    log[level]({ listen: formatAddress(server.#address), routes: config.routes.length }, 'ready');
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
    this.#core.apply(config, () => setCertificates(this.#proxy, config.tls));
    this.#config = config;
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
        this.#core.upgrades.close();
        this.#connections.closeQuiet();
      },
      () => this.#core.journal.inFlight > 0,
    );
    this.#admin.close();
    this.#admin.closeAllConnections();
    await this.#core.close();
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
      ...this.#core.snapshot(),
    };
  }

  async records(after: number): Promise<readonly RecordedRequest[]> {
    return this.#core.journal.recorder?.since(after) ?? [];
  }

  async details(number: number): Promise<RecordedDetails | undefined> {
    return this.#core.journal.recorder?.details(number);
  }

  refresh(route: string): Promise<RefreshResult> {
    return this.#core.refresh(route);
  }

  #replay(number: number): Promise<ReplayResult> {
    const found = this.#core.journal.recorder?.unmasked(number);
    const prefix = this.#config.routes.find(({ name }) => name === found?.route)?.prefix ?? '';
    return resend(found, prefix, this.#address);
  }
}

/** Starts the proxy of a valid configuration. @throws Error if an address cannot be listened on */
export function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  return RunningServer.start(config, options);
}
