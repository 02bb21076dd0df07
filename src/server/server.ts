import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminListener } from '../admin/listener.ts';
import type { ProcessSnapshot, RefreshResult, Reloads, ResendResult, ServingProcess } from '../telemetry/snapshot.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { formatAddress } from '../config/values.ts';
import { networkCode } from '../errors.ts';
import { NOT_RESENT_HEADERS } from '../http/header-list.ts';
import { http } from '../http/node-internals.ts';
import type { Log } from '../logger.ts';
import type { RecordedDetails, RecordedRequest } from '../telemetry/recent-requests.ts';
import type { RequestRecord } from '../telemetry/request-record.ts';
import type { TokenSharing } from '../tokens/store/open.ts';
import type { Connections, ProxyServer } from './connections.ts';
import { createAdminServer, createProxyServer, listen, setCertificates } from './http-server.ts';
import { NO_RELOADS, assertNoRestartNeeded } from './reload.ts';
import { Runtime } from './runtime.ts';
import { commit, version } from './version.ts';

/** How long idle connections stay open, so that a request already on its way on one of them is still answered. */
const LAME_DUCK_MS = 2000;

/** How long a connection that was accepted last has to send its request. */
const ACCEPTED_MS = 100;

const POLL_MS = 20;

/**
 * Lets a server finish: answers close their connections by now, then nothing new is taken, then what is under way may
 * finish until `timeoutMs` is over. `onClosing` is called when nothing more can come, to end what never ends by itself.
 * @param isBusy whether anything is under way that no connection of a client shows, such as a payment whose client left
 * @returns true if nothing had to be cut off
 */
export async function drainServer(
  server: Server,
  timeoutMs: number,
  now: () => number,
  onClosing: () => void,
  isBusy: () => boolean,
): Promise<boolean> {
  const startedMs = now();
  const elapsedMs = () => now() - startedMs;
  const lameDuckMs = Math.min(LAME_DUCK_MS, timeoutMs / 2);
  while ((await openConnections(server)) > 0 && elapsedMs() < lameDuckMs) await sleep(POLL_MS);
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  // What was accepted last may have its request on the way.
  await Promise.race([closed, sleep(Math.min(ACCEPTED_MS, timeoutMs / 4))]);
  onClosing();
  const isOver = new AbortController();
  // This timer keeps the process alive. An open connection does not always do so.
  const late = sleep(Math.max(0, timeoutMs - elapsedMs()), false, { signal: isOver.signal });
  const clean = await Promise.race([closed.then(() => true), late]);
  isOver.abort();
  if (!clean) server.closeAllConnections();
  while (isBusy() && elapsedMs() < timeoutMs) await sleep(POLL_MS);
  return clean && !isBusy();
}

function openConnections(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.getConnections((_error, count) => {
      resolve(count);
    });
  });
}

const TIMEOUT_MS = 10_000;

/** Sends a recorded request through the proxy once more, as the client sent it. Only for emulated providers. */
async function resend(record: RequestRecord | undefined, prefix: string, proxy: ListenAddress): Promise<ResendResult> {
  const why = refusalOf(record);
  if (record === undefined || why !== undefined) return { kind: 'refused', why: why ?? '' };
  const headers: string[] = [];
  for (let i = 0; i < record.requestHeaders.length; i += 2) {
    const [name = '', value = ''] = record.requestHeaders.slice(i, i + 2);
    if (!NOT_RESENT_HEADERS.has(name.toLowerCase())) headers.push(name, value);
  }
  const body = record.bodies?.request ?? new Uint8Array();
  const { host, port } = proxy;
  const own = ['host', `127.0.0.1:${port}`, 'content-length', String(body.length)];
  const path = `${prefix}${record.path ?? ''}${record.query}`;
  const options = { host, port, method: record.method, path, headers: [...headers, ...own], timeout: TIMEOUT_MS };
  return new Promise((resolve) => {
    const sent = http.request(options, (answer) => {
      const { statusCode: status = 0 } = answer;
      // Also where the answer breaks off.
      answer.resume().once('close', () => {
        resolve({ kind: 'sent', requestId: String(answer.headers['x-request-id'] ?? ''), status });
      });
    });
    sent.maxHeadersCount = 0;
    sent.once('timeout', () => sent.destroy());
    sent.on('error', (error) => {
      resolve({ kind: 'refused', why: `The proxy gave no answer (${networkCode(error)}).` });
    });
    sent.end(body);
  });
}

function refusalOf(record: RequestRecord | undefined): string | undefined {
  if (record === undefined) return 'This request is not kept any more.';
  if (record.route === undefined || record.path === undefined || record.attempts.length === 0) {
    return 'This request went to no provider.';
  }
  const kept = record.bodies?.request.length ?? 0;
  return kept < record.requestBytes ? 'Its body is longer than what is kept of it.' : undefined;
}

interface ServerOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** What became of changed configurations. */
  readonly reloads?: () => Reloads;
  /** Of a worker: what it shares its tokens with, unless the configuration has a token store. */
  readonly shared?: TokenSharing;
  /** The providers are emulated: requests may be sent again by hand. */
  readonly emulated?: boolean;
}

/** How many of the last requests are kept for the inspector. */
const KEPT_REQUESTS = 500;

/** A proxy at work: its listeners, and the configuration that they serve. */
export class RunningServer implements ServingProcess {
  readonly pid = process.pid;
  readonly resend: ServingProcess['resend'];
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  readonly #runtime: Runtime;
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
    this.#runtime = core;
    this.#address = config.listen;
    const { server, connections } = createProxyServer({
      gateway: () => core.gateway,
      upgrades: core.upgrades,
      config: () => this.#config,
      draining: () => this.#draining,
    });
    this.#proxy = server;
    this.#connections = connections;
    this.resend = emulated ? (number) => this.#replay(number) : undefined;
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
    log[level]('ready', { listen: formatAddress(server.#address), routes: config.routes.length });
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
    assertNoRestartNeeded(this.#config, config);
    this.#runtime.apply(config, () => setCertificates(this.#proxy, config.tls));
    this.#config = config;
  }

  /** Finishes what is under way, then stops. @returns true if nothing had to be cut off */
  async drain(): Promise<boolean> {
    this.#draining = true;
    const { drainTimeoutMs } = this.#config;
    this.#log.info('draining', { timeout_ms: drainTimeoutMs });
    this.#connections.closeAfterResponses();
    const clean = await drainServer(
      this.#proxy,
      drainTimeoutMs,
      () => this.#clock.now(),
      () => {
        this.#runtime.upgrades.close();
        this.#connections.closeIdle();
      },
      () => this.#runtime.requestLog.inFlight > 0,
    );
    this.#admin.close();
    this.#admin.closeAllConnections();
    await this.#runtime.close();
    this.#log.info('stopped', { clean });
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
      ...this.#runtime.snapshot(),
    };
  }

  async records(after: number): Promise<readonly RecordedRequest[]> {
    return this.#runtime.requestLog.recentRequests?.since(after) ?? [];
  }

  async details(number: number): Promise<RecordedDetails | undefined> {
    return this.#runtime.requestLog.recentRequests?.details(number);
  }

  refresh(route: string): Promise<RefreshResult> {
    return this.#runtime.refresh(route);
  }

  #replay(number: number): Promise<ResendResult> {
    const found = this.#runtime.requestLog.recentRequests?.unmasked(number);
    const prefix = this.#config.routes.find(({ name }) => name === found?.route)?.prefix ?? '';
    return resend(found, prefix, this.#address);
  }
}

/** Starts the proxy of a valid configuration. @throws Error if an address cannot be listened on */
export function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  return RunningServer.start(config, options);
}
