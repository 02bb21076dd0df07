import cluster, { type Worker } from 'node:cluster';
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { adminListener } from '../admin/listener.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { networkCode } from '../errors.ts';
import { formatHostPort } from '../http/host-port.ts';
import { Via } from '../http/via.ts';
import type { Log } from '../logger.ts';
import type { Reloads, ServingProcess } from '../telemetry/snapshot.ts';
import { MemoryStores } from '../tokens/store/memory.ts';
import { createAdminServer, listen } from './http-server.ts';
import { assertNoRestartNeeded } from './reload.ts';
import { Rpc } from './rpc.ts';
import { commit, version } from './version.ts';
import { type ConfigTexts, remoteProcess, type RpcToWorker, storeRequests } from './worker-rpc.ts';

export interface PrimaryOptions {
  readonly log: Log;
  readonly clock?: Clock;
  readonly reloads: () => Reloads;
  /** The texts of the configuration. Workers start from these texts, not from the files on disk. */
  readonly texts: ConfigTexts;
  /** The program of a worker, and its arguments. */
  readonly exec: string;
  readonly args: readonly string[];
}

/** How long the workers may take to start. */
const START_TIMEOUT_MS = 60_000;

/** A worker that lived for a shorter time is replaced after a delay, to avoid a crash loop. */
const MIN_LIFE_MS = 1000;

const RESTART_DELAY_MS = 1000;

/** A worker that has not ended this long after its drain timeout is killed. */
const KILL_DELAY_MS = 5000;

/** Starts the workers, which serve the same address, and replaces those that die. Holds the tokens that they share. */
export class Primary {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #stores: MemoryStores;
  /** Encrypts the tokens that the workers share. */
  readonly #encryptionKey = randomBytes(32).toString('hex');
  readonly #admin: Server;
  readonly #via = new Via();
  /** By the id of the worker. */
  readonly #rpcs = new Map<number, RpcToWorker>();
  /** Workers that are ready, by id. */
  readonly #ready = new Map<number, ServingProcess>();
  /** Functions that cancel the delayed starts of workers. */
  readonly #delayedStarts = new Set<() => void>();
  #config: Config;
  #texts: ConfigTexts;
  #isDraining = false;
  #isClean = true;
  #changed: PromiseWithResolvers<undefined> = Promise.withResolvers();
  #failure: string | undefined;
  #address: ListenAddress | undefined;

  private constructor(config: Config, { log, clock = systemClock, reloads, texts }: PrimaryOptions) {
    this.#config = config;
    this.#texts = texts;
    this.#log = log;
    this.#clock = clock;
    this.#stores = new MemoryStores(clock, (name, event) => {
      for (const rpc of this.#rpcs.values()) rpc.notify('storeEvent', name, event);
    });
    const admin = adminListener({
      ready: () => !this.#isDraining && this.#ready.size > 0,
      reloads,
      config: () => this.#config,
      processes: () => [...this.#ready.values()],
      emulated: false,
      version: version(),
      commit: commit(),
      clock,
    });
    this.#admin = createAdminServer(admin);
  }

  /** Resolves when every worker is ready. @throws Error if an address cannot be used */
  static async start(config: Config, options: PrimaryOptions): Promise<Primary> {
    const primary = new Primary(config, options);
    // `advanced` keeps `undefined` and maps.
    cluster.setupPrimary({ exec: options.exec, args: [...options.args], serialization: 'advanced' });
    try {
      if (config.admin !== undefined) await listen(primary.#admin, config.admin, '--admin');
      for (let i = 0; i < config.workers; i++) primary.#fork();
      await primary.#allReady();
    } catch (error) {
      primary.#stopForking();
      primary.#admin.close();
      for (const worker of workers()) worker.process.kill('SIGKILL');
      throw error;
    }
    const address = primary.#address === undefined ? '' : formatHostPort(primary.#address);
    options.log.info('ready', { listen: address, routes: config.routes.length, workers: config.workers });
    return primary;
  }

  /** Applies another configuration in every worker. @throws Error if the change needs a restart */
  apply(config: Config, texts: ConfigTexts): void {
    assertNoRestartNeeded(this.#config, config);
    this.#config = config;
    this.#texts = texts;
    for (const rpc of this.#rpcs.values()) rpc.notify('applyConfig', texts);
  }

  /** Lets every worker finish its requests, then stops. @returns false if requests were aborted */
  async drain(): Promise<boolean> {
    this.#stopForking();
    this.#log.info('draining', { timeout_ms: this.#config.drainTimeoutMs });
    for (const rpc of this.#rpcs.values()) rpc.notify('drain');
    const cancelTimeout = this.#clock.after(this.#config.drainTimeoutMs + KILL_DELAY_MS, () => {
      this.#isClean = false;
      for (const worker of workers()) worker.process.kill('SIGKILL');
    });
    while (workers().length > 0) await this.#changed.promise;
    cancelTimeout();
    this.#admin.close();
    this.#admin.closeAllConnections();
    this.#log.info('stopped', { clean: this.#isClean });
    return this.#isClean;
  }

  get #tokenTimeoutMs(): number {
    return Math.max(...this.#config.routes.map((route) => route.tokenTimeoutMs));
  }

  #fork(): void {
    try {
      this.#superviseWorker(cluster.fork(), this.#clock.now());
    } catch (error) {
      this.#onNotStarted(error);
    }
  }

  #superviseWorker(worker: Worker, startedMs: number): void {
    const rpc = this.#connect(worker);
    // Also emitted for a message to a worker that is ending. `exit` follows then.
    worker.on('error', (error: unknown) => {
      if (worker.process.pid === undefined) this.#onNotStarted(error);
    });
    worker.on('disconnect', () => rpc.close());
    worker.on('exit', (code, signal) => {
      rpc.close();
      this.#rpcs.delete(worker.id);
      this.#ready.delete(worker.id);
      this.#stores.releaseAll(leaseOwner(worker));
      if (this.#isDraining) {
        if (code !== 0) this.#isClean = false;
      } else {
        this.#log.error('worker_died', { worker: worker.id, code, signal });
        if (this.#clock.now() - startedMs < MIN_LIFE_MS) this.#forkAfterDelay();
        else this.#fork();
      }
      this.#notifyChange();
    });
    if (worker.process.pid === undefined) return;
    this.#rpcs.set(worker.id, rpc);
    rpc.notify('start', {
      encryptionKey: this.#encryptionKey,
      owner: leaseOwner(worker),
      viaId: this.#via.id,
      texts: this.#texts,
    });
  }

  #connect(worker: Worker): RpcToWorker {
    const rpc: RpcToWorker = new Rpc({
      clock: this.#clock,
      send: (message) => {
        if (!worker.isConnected()) return false;
        // The callback ignores the error of a worker that is ending. `disconnect` follows.
        worker.send(message, () => undefined);
        return true;
      },
      handlers: {
        requests: storeRequests(this.#stores),
        notifications: {
          ready: (address) => {
            // A message may arrive after the exit of its worker.
            if (!this.#rpcs.has(worker.id)) return;
            this.#ready.set(
              worker.id,
              remoteProcess(worker.process.pid ?? 0, rpc, () => this.#tokenTimeoutMs),
            );
            this.#address = address;
            this.#notifyChange();
          },
          failed: (message) => {
            this.#failure = message;
            this.#notifyChange();
          },
        },
      },
    });
    worker.on('message', (message: unknown) => rpc.receive(message));
    return rpc;
  }

  /**
   * The fork failed, for example because there are no free processes, memory or file descriptors, or because the Node
   * binary is being replaced.
   */
  #onNotStarted(error: unknown): void {
    this.#log.error('worker_start_failed', { error: networkCode(error) });
    this.#forkAfterDelay();
  }

  #forkAfterDelay(): void {
    if (this.#isDraining) return;
    const cancel = this.#clock.after(
      RESTART_DELAY_MS,
      () => {
        this.#delayedStarts.delete(cancel);
        this.#fork();
      },
      // Keeps the process alive when it has neither workers nor an admin listener.
      { ref: true },
    );
    this.#delayedStarts.add(cancel);
  }

  #stopForking(): void {
    this.#isDraining = true;
    for (const cancel of this.#delayedStarts) cancel();
  }

  async #allReady(): Promise<void> {
    const cancelTimeout = this.#clock.after(START_TIMEOUT_MS, () => {
      this.#failure = `the workers did not start within ${START_TIMEOUT_MS / 1000} s`;
      this.#notifyChange();
    });
    while (this.#ready.size < this.#config.workers && this.#failure === undefined) await this.#changed.promise;
    cancelTimeout();
    if (this.#failure !== undefined) throw new Error(this.#failure);
  }

  #notifyChange(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }
}

/** The running workers. Node also lists those that could not be started. */
function workers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker?.process.pid !== undefined) as Worker[];
}

/** The name of a worker in the token stores. */
function leaseOwner(worker: Worker): string {
  return `worker ${worker.id}`;
}
