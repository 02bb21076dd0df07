import { randomBytes } from 'node:crypto';
import cluster, { type Worker } from 'node:cluster';
import type { Server } from 'node:http';
import { adminListener } from '../admin/listener.ts';
import type { Reloads, ServingProcess } from '../telemetry/snapshot.ts';
import { type Clock, systemClock } from '../clock.ts';
import { formatAddress } from '../config/values.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { networkCode } from '../errors.ts';
import type { Log } from '../logger.ts';
import { MemoryStores } from '../tokens/store/memory.ts';
import { createAdminServer, listen } from './http-server.ts';
import { assertNoRestartNeeded } from './reload.ts';
import { Rpc } from './rpc.ts';
import { commit, version } from './version.ts';
import { type ConfigTexts, remoteProcess, storeRequests, type WorkerRpc } from './worker-rpc.ts';

export interface PrimaryOptions {
  readonly log: Log;
  readonly clock?: Clock;
  readonly reloads: () => Reloads;
  /** What the configuration was read from: a worker reads the same, whatever lies on the disk by then. */
  readonly texts: ConfigTexts;
  /** Program and arguments of a worker. */
  readonly exec: string;
  readonly args: readonly string[];
}

/** How long a worker may take to be ready. */
const START_MS = 60_000;

/** A worker that lived shorter than this is replaced after the same time, to avoid a crash loop. */
const SHORT_LIFE_MS = 1000;

/** What a worker may take longer than its own drain before it is killed. */
const GRACE_MS = 5000;

/** Several processes that serve one address: it starts them, replaces those that die, and keeps what they share. */
export class Primary {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #stores: MemoryStores;
  /** Seals what the workers share, for as long as this process lives. */
  readonly #key = randomBytes(32).toString('hex');
  readonly #admin: Server;
  /** By the id of the worker. */
  readonly #rpcs = new Map<number, WorkerRpc>();
  /** Workers that are ready, by id. */
  readonly #ready = new Map<number, ServingProcess>();
  /** Functions that cancel the delayed starts of workers. */
  readonly #restarts = new Set<() => void>();
  #config: Config;
  #texts: ConfigTexts;
  #draining = false;
  #clean = true;
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
      ready: () => !this.#draining && this.#ready.size > 0,
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

  /** Resolves when every worker is ready. @throws Error if an address cannot be listened on */
  static async start(config: Config, options: PrimaryOptions): Promise<Primary> {
    const primary = new Primary(config, options);
    // Structured clones, in which `undefined` stays what it is.
    cluster.setupPrimary({ exec: options.exec, args: [...options.args], serialization: 'advanced' });
    try {
      if (config.admin !== undefined) await listen(primary.#admin, config.admin, '--admin');
      for (let i = 0; i < config.workers; i++) primary.#fork();
      await primary.#allReady();
    } catch (error) {
      primary.#forkNoMore();
      primary.#admin.close();
      for (const worker of workers()) worker.process.kill('SIGKILL');
      throw error;
    }
    const address = primary.#address === undefined ? '' : formatAddress(primary.#address);
    options.log.info('ready', { listen: address, routes: config.routes.length, workers: config.workers });
    return primary;
  }

  /** Has every worker take a configuration over. @throws Error if that takes a restart */
  apply(config: Config, texts: ConfigTexts): void {
    assertNoRestartNeeded(this.#config, config);
    this.#config = config;
    this.#texts = texts;
    for (const rpc of this.#rpcs.values()) rpc.notify('applyConfig', texts);
  }

  /** Has every worker finish what it has under way, then stops. @returns true if nothing had to be cut off */
  async drain(): Promise<boolean> {
    this.#forkNoMore();
    this.#log.info('draining', { timeout_ms: this.#config.drainTimeoutMs });
    for (const rpc of this.#rpcs.values()) rpc.notify('drain');
    const late = this.#clock.after(this.#config.drainTimeoutMs + GRACE_MS, () => {
      this.#clean = false;
      for (const worker of workers()) worker.process.kill('SIGKILL');
    });
    while (workers().length > 0) await this.#changed.promise;
    late();
    this.#admin.close();
    this.#admin.closeAllConnections();
    this.#log.info('stopped', { clean: this.#clean });
    return this.#clean;
  }

  #fork(): void {
    try {
      this.#follow(cluster.fork(), this.#clock.now());
    } catch (error) {
      this.#onNotStarted(error);
    }
  }

  #follow(worker: Worker, startedMs: number): void {
    const rpc = this.#connect(worker);
    // Also emitted for a message to a worker that is about to end. `exit` follows then.
    worker.on('error', (error: unknown) => {
      if (worker.process.pid === undefined) this.#onNotStarted(error);
    });
    worker.on('disconnect', () => rpc.close());
    worker.on('exit', (code, signal) => {
      rpc.close();
      this.#rpcs.delete(worker.id);
      this.#ready.delete(worker.id);
      this.#stores.releaseAll(ownerOf(worker));
      if (this.#draining) {
        if (code !== 0) this.#clean = false;
      } else {
        this.#log.error('worker_died', { worker: worker.id, code, signal });
        if (this.#clock.now() - startedMs < SHORT_LIFE_MS) this.#forkLater();
        else this.#fork();
      }
      this.#change();
    });
    if (worker.process.pid === undefined) return;
    this.#rpcs.set(worker.id, rpc);
    rpc.notify('start', { encryptionKey: this.#key, owner: ownerOf(worker), texts: this.#texts });
  }

  #connect(worker: Worker): WorkerRpc {
    const rpc: WorkerRpc = new Rpc({
      clock: this.#clock,
      send: (message) => {
        if (!worker.isConnected()) return false;
        // The callback gets the error of a worker that is about to end. `disconnect` follows.
        worker.send(message, () => undefined);
        return true;
      },
      handlers: {
        requests: storeRequests(this.#stores),
        notifications: {
          ready: (address) => {
            // A message may arrive after the exit of its worker.
            if (!this.#rpcs.has(worker.id)) return;
            this.#ready.set(worker.id, remoteProcess(worker.process.pid ?? 0, rpc));
            this.#address = address;
            this.#change();
          },
          failed: (message) => {
            this.#failure = message;
            this.#change();
          },
        },
      },
    });
    worker.on('message', (message: unknown) => rpc.receive(message));
    return rpc;
  }

  /** The machine is out of processes, memory or file descriptors, or the binary of Node is being replaced. */
  #onNotStarted(error: unknown): void {
    this.#log.error('worker_start_failed', { error: networkCode(error) });
    this.#forkLater();
  }

  #forkLater(): void {
    if (this.#draining) return;
    const cancel = this.#clock.after(
      SHORT_LIFE_MS,
      () => {
        this.#restarts.delete(cancel);
        this.#fork();
      },
      // Nothing else keeps this process alive when there is no worker and no admin listener.
      { ref: true },
    );
    this.#restarts.add(cancel);
  }

  #forkNoMore(): void {
    this.#draining = true;
    for (const cancel of this.#restarts) cancel();
  }

  async #allReady(): Promise<void> {
    const late = this.#clock.after(START_MS, () => {
      this.#failure = 'the workers were not ready in time';
      this.#change();
    });
    while (this.#ready.size < this.#config.workers && this.#failure === undefined) await this.#changed.promise;
    late();
    if (this.#failure !== undefined) throw new Error(this.#failure);
  }

  #change(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers();
  }
}

/** Running workers. Node also lists those that could not be started. */
function workers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker?.process.pid !== undefined) as Worker[];
}

function ownerOf(worker: Worker): string {
  return `worker ${worker.id}`;
}
