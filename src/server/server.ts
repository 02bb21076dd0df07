import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminListener } from '../admin/listener.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { networkCode } from '../errors.ts';
import { NOT_RESENT_HEADERS } from '../http/header-list.ts';
import { formatHostPort } from '../http/host-port.ts';
import { http } from '../http/node-internals.ts';
import type { Via } from '../http/via.ts';
import type { Log } from '../logger.ts';
import type { RecordedDetails, RecordedRequest } from '../telemetry/recent-requests.ts';
import type { RequestRecord } from '../telemetry/request-record.ts';
import type { ProcessSnapshot, RefreshResult, Reloads, ResendResult, ServingProcess } from '../telemetry/snapshot.ts';
import type { TokenSharing } from '../tokens/store/open.ts';
import type { Connections, ProxyServer } from './connections.ts';
import { applySettings, createAdminServer, createProxyServer, listen } from './http-server.ts';
import { assertNoRestartNeeded, NO_RELOADS } from './reload.ts';
import { Runtime } from './runtime.ts';
import { commit, version } from './version.ts';

/** How long idle connections stay open, so that a request that is already on its way still gets a response. */
const LAME_DUCK_MS = 2000;

/** How long the last accepted connections have to send a request. */
const LAST_REQUEST_WAIT_MS = 100;

const POLL_INTERVAL_MS = 20;

/**
 * Stops a server whose responses close their connections already. It stops accepting connections, then waits until the
 * requests under way are finished or `timeoutMs` is over.
 * @param onClosing runs when no new request can arrive, to end what does not end by itself, such as WebSockets
 * @param isBusy whether a request is under way without a client connection, such as a payment whose client disconnected
 * @returns false if requests were aborted
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
  while ((await openConnections(server)) > 0 && elapsedMs() < lameDuckMs) await sleep(POLL_INTERVAL_MS);
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  // The request of a connection that was accepted last may be on its way.
  await Promise.race([closed, sleep(Math.min(LAST_REQUEST_WAIT_MS, timeoutMs / 4))]);
  onClosing();
  const cancelTimeout = new AbortController();
  // This timer keeps the process alive. An open connection does not always do so.
  const timeout = sleep(Math.max(0, timeoutMs - elapsedMs()), false, { signal: cancelTimeout.signal });
  const clean = await Promise.race([closed.then(() => true), timeout]);
  cancelTimeout.abort();
  if (!clean) server.closeAllConnections();
  while (isBusy() && elapsedMs() < timeoutMs) await sleep(POLL_INTERVAL_MS);
  return clean && !isBusy();
}

function openConnections(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.getConnections((_error, count) => {
      resolve(count);
    });
  });
}

const RESEND_TIMEOUT_MS = 10_000;

/** Sends a recorded request to the proxy again, as the client sent it. Only for emulated providers. */
async function resend(record: RequestRecord | undefined, prefix: string, proxy: ListenAddress): Promise<ResendResult> {
  const problem = resendProblem(record);
  if (record === undefined || problem !== undefined) return { kind: 'refused', why: problem ?? '' };
  const headers: string[] = [];
  for (let i = 0; i < record.requestHeaders.length; i += 2) {
    const [name = '', value = ''] = record.requestHeaders.slice(i, i + 2);
    if (!NOT_RESENT_HEADERS.has(name.toLowerCase())) headers.push(name, value);
  }
  const body = record.bodies?.request ?? new Uint8Array();
  const { host, port } = proxy;
  const own = ['host', `127.0.0.1:${port}`, 'content-length', String(body.length)];
  const path = `${prefix}${record.path ?? ''}${record.query}`;
  const options = {
    host,
    port,
    method: record.method,
    path,
    headers: [...headers, ...own],
    timeout: RESEND_TIMEOUT_MS,
  };
  return new Promise((resolve) => {
    const sent = http.request(options, (response) => {
      const { statusCode: status = 0 } = response;
      // `close` is emitted for an incomplete response too.
      response.resume().once('close', () => {
        resolve({ kind: 'sent', requestId: String(response.headers['x-request-id'] ?? ''), status });
      });
    });
    sent.maxHeadersCount = 0;
    sent.once('timeout', () => sent.destroy());
    sent.on('error', (error) => {
      resolve({ kind: 'refused', why: `The proxy did not respond (${networkCode(error)}).` });
    });
    sent.end(body);
  });
}

function resendProblem(record: RequestRecord | undefined): string | undefined {
  if (record === undefined) return 'This request is no longer recorded.';
  if (record.route === undefined || record.path === undefined || record.attempts.length === 0) {
    return 'This request was not sent to a provider.';
  }
  const recordedBytes = record.bodies?.request.length ?? 0;
  return recordedBytes < record.requestBytes ? 'Only a part of the request body was recorded.' : undefined;
}

interface ServerOptions {
  readonly log: Log;
  readonly clock?: Clock;
  /** The results of reloads, for the admin listener. */
  readonly reloads?: () => Reloads;
  /** Only for workers: how they share tokens. A `token_store` in the configuration takes precedence. */
  readonly sharing?: TokenSharing;
  /** How this Wakala names itself in `Via`. Default: a new name. */
  readonly via?: Via;
  /** Whether the providers are emulated. Requests can be resent then. */
  readonly emulated?: boolean;
}

/** How many of the last requests the inspector keeps. */
const KEPT_REQUESTS = 500;

/** A running proxy: its listeners, and the configuration that they serve. */
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

  private constructor(config: Config, runtime: Runtime, options: Required<Omit<ServerOptions, 'sharing' | 'via'>>) {
    const { log, clock, reloads, emulated } = options;
    this.#log = log;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    this.#config = config;
    this.#runtime = runtime;
    this.#address = config.listen;
    const { server, connections } = createProxyServer({
      log,
      gateway: () => runtime.gateway,
      upgrades: runtime.upgrades,
      config: () => this.#config,
      draining: () => this.#draining,
    });
    this.#proxy = server;
    this.#connections = connections;
    this.resend = emulated ? (number) => this.#resend(number) : undefined;
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

  /** @throws Error if an address cannot be used, or the packages for tracing are not installed */
  static async start(config: Config, options: ServerOptions): Promise<RunningServer> {
    const { log, sharing, clock = systemClock, reloads = () => NO_RELOADS, emulated = false, via } = options;
    // The admin listener of the primary shows the requests of workers.
    const keep = config.admin !== undefined || sharing !== undefined ? KEPT_REQUESTS : 0;
    const runtime = await Runtime.open(config, { log, clock, sharing, keep, via });
    const server = new RunningServer(config, runtime, { log, clock, reloads, emulated });
    try {
      server.#address = await listen(server.#proxy, config.listen, '--listen');
      if (config.admin !== undefined) server.#adminAddress = await listen(server.#admin, config.admin, '--admin');
    } catch (error) {
      server.#proxy.close();
      await runtime.close();
      throw error;
    }
    // With workers, the primary logs this once for all of them.
    const level = sharing === undefined ? 'info' : 'debug';
    log[level]('ready', { listen: formatHostPort(server.#address), routes: config.routes.length });
    return server;
  }

  /** The address of the proxy, with its real port. */
  get address(): ListenAddress {
    return this.#address;
  }

  get admin(): ListenAddress | undefined {
    return this.#adminAddress;
  }

  /**
   * Applies another configuration from the next request on. Requests under way finish with the old one. A token stays
   * if its credential did not change.
   * @throws Error if the change needs a restart
   */
  apply(config: Config): void {
    assertNoRestartNeeded(this.#config, config);
    this.#runtime.apply(config, () => applySettings(this.#proxy, config));
    this.#config = config;
  }

  /** Finishes the requests under way, then stops. @returns false if requests were aborted */
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
      logLinesDropped: this.#log.droppedLines ?? 0,
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

  #resend(number: number): Promise<ResendResult> {
    const found = this.#runtime.requestLog.recentRequests?.unmasked(number);
    const prefix = this.#config.routes.find(({ name }) => name === found?.route)?.prefix ?? '';
    return resend(found, prefix, this.#address);
  }
}

/** Starts a proxy with a valid configuration. @throws Error if an address cannot be used */
export function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  return RunningServer.start(config, options);
}
