import type { ListenAddress } from '../config/config.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import { maxLeaseWaitMs } from '../tokens/store/coordinator.ts';
import type { MemoryStores } from '../tokens/store/memory.ts';
import { type Lease, type StoredToken, StoreUnavailable, type TokenStore } from '../tokens/store/store.ts';
import { type Rpc, RpcError } from './rpc.ts';

/** The texts that a configuration was read from, by absolute path. */
export type ConfigTexts = ReadonlyMap<string, string>;

/** Requests and notifications from the primary to a worker. */
interface WorkerInterface {
  readonly requests: Pick<ServingProcess, 'snapshot' | 'records' | 'details' | 'refresh'>;
  readonly notifications: {
    /**
     * The first message. `encryptionKey` encrypts what the workers share; `owner` is the worker's name in the store;
     * `viaId` is their common id in `Via`.
     */
    start(settings: WorkerSettings): void;
    applyConfig(texts: ConfigTexts): void;
    drain(): void;
    /** An encrypted event of the credential `name`. */
    storeEvent(name: string, event: string): void;
  };
}

/** Requests and notifications from a worker to the primary. */
interface PrimaryInterface {
  /** The token stores, which are in the memory of the primary. `name` is that of the credential. */
  readonly requests: {
    read(name: string): Promise<StoredToken | undefined>;
    acquire(name: string, ...args: Parameters<TokenStore['acquire']>): Promise<Lease>;
    renew(name: string, ...args: Parameters<TokenStore['renew']>): Promise<boolean>;
    save(name: string, ...args: Parameters<TokenStore['save']>): Promise<boolean>;
    release(name: string, ...args: Parameters<TokenStore['release']>): Promise<void>;
  };
  readonly notifications: {
    ready(address: ListenAddress): void;
    /** The worker could not start. */
    failed(message: string): void;
  };
}

export interface WorkerSettings {
  readonly encryptionKey: string;
  readonly owner: string;
  readonly viaId: string;
  readonly texts: ConfigTexts;
}

/** The end of the channel that a worker holds. */
export type RpcToPrimary = Rpc<PrimaryInterface, WorkerInterface>;

/** The end of the channel that the primary holds for each worker. */
export type RpcToWorker = Rpc<WorkerInterface, PrimaryInterface>;

/** A worker that does not respond within this time is left out of metrics and of the dashboard. */
const SNAPSHOT_TIMEOUT_MS = 1000;

/**
 * The primary responds from its memory. If it takes longer, it hangs: the worker then requests its own token from the
 * provider.
 */
const STORE_TIMEOUT_MS = 2000;

/**
 * Longer than a manual refresh takes: the wait for the lease of another replica, an exchange of the refresh token, and if
 * that fails one of the credentials. The rest is for requests to the token store.
 */
function refreshTimeoutMs(tokenTimeoutMs: number): number {
  return maxLeaseWaitMs(tokenTimeoutMs) + 2 * tokenTimeoutMs + 4 * STORE_TIMEOUT_MS;
}

/**
 * A worker, as the primary's admin listener sees it.
 * @param tokenTimeoutMs the longest time limit of an exchange in the configuration
 */
export function remoteProcess(pid: number, rpc: RpcToWorker, tokenTimeoutMs: () => number): ServingProcess {
  return {
    pid,
    snapshot: () => rpc.request('snapshot', [], SNAPSHOT_TIMEOUT_MS),
    records: (after) => rpc.request('records', [after], SNAPSHOT_TIMEOUT_MS),
    details: (number) => rpc.request('details', [number], SNAPSHOT_TIMEOUT_MS),
    refresh: (route) => rpc.request('refresh', [route], refreshTimeoutMs(tokenTimeoutMs())),
  };
}

/** Serves the primary's stores to a worker. */
export function storeRequests(stores: MemoryStores): PrimaryInterface['requests'] {
  return {
    read: (name) => stores.storeOf(name).read(),
    acquire: (name, ...args) => stores.storeOf(name).acquire(...args),
    renew: (name, ...args) => stores.storeOf(name).renew(...args),
    save: (name, ...args) => stores.storeOf(name).save(...args),
    release: (name, ...args) => stores.storeOf(name).release(...args),
  };
}

/** The primary's stores, as a worker sees them. */
export class RemoteStores {
  readonly #rpc: Pick<RpcToPrimary, 'request'>;
  readonly #listeners = new Map<string, Set<(event: string) => void>>();

  constructor(rpc: Pick<RpcToPrimary, 'request'>) {
    this.#rpc = rpc;
  }

  storeOf(name: string): TokenStore {
    const rpc = this.#rpc;
    return {
      read: () => available(rpc.request('read', [name], STORE_TIMEOUT_MS)),
      acquire: async (...args) => {
        try {
          return await available(rpc.request('acquire', [name, ...args], STORE_TIMEOUT_MS));
        } catch (error) {
          // The primary may have granted the lease in the meantime. It handles this release after that.
          const [owner] = args;
          rpc.request('release', [name, owner, undefined], STORE_TIMEOUT_MS).catch(() => undefined);
          throw error;
        }
      },
      renew: (...args) => available(rpc.request('renew', [name, ...args], STORE_TIMEOUT_MS)),
      save: (...args) => available(rpc.request('save', [name, ...args], STORE_TIMEOUT_MS)),
      release: (...args) => available(rpc.request('release', [name, ...args], STORE_TIMEOUT_MS)),
      subscribe: (onEvent) => {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners.add(onEvent));
        return () => {
          listeners.delete(onEvent);
          if (listeners.size === 0) this.#listeners.delete(name);
        };
      },
    };
  }

  /** Passes an event of the primary on to those who subscribed to the store `name`. */
  onEvent(name: string, event: string): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(event);
  }
}

/** @throws StoreUnavailable in place of an RpcError */
async function available<T>(response: Promise<T>): Promise<T> {
  try {
    return await response;
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    const code = error.reason === 'disconnected' ? 'not_connected' : error.reason;
    throw new StoreUnavailable(code, `primary process: ${error.message}`);
  }
}
