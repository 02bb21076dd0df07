import { connectionKey, type ConnectOptions } from '../http/client/connect-options.ts';
import { ConnectionPool, type PoolStats } from '../http/client/pool.ts';
import { ReadBuffers } from '../http/client/read-buffers.ts';

/** What the connections of a pool depend on. */
interface UpstreamOptions {
  /** Such as `https://api.example.com`. */
  readonly origin: string;
  readonly connectTimeoutMs: number;
  readonly connection: ConnectOptions;
  /** Value of the Host header. Undefined: that of the origin. */
  readonly hostHeader: string | undefined;
  readonly maxResponseHeaderBytes: number;
}

/** The connection pools of this process, one for each origin with the same options. They outlive a reload. */
export class UpstreamPools {
  readonly #pools = new Map<string, { readonly origin: string; readonly pool: ConnectionPool }>();
  /** Pools that no route uses any more, until their last request has finished. */
  readonly #retired = new Set<ConnectionPool>();
  readonly #buffers = new ReadBuffers();

  for({ origin, connection, ...limits }: UpstreamOptions): ConnectionPool {
    const { connectTimeoutMs, hostHeader, maxResponseHeaderBytes } = limits;
    const key = JSON.stringify([
      origin,
      connectTimeoutMs,
      connectionKey(connection),
      hostHeader,
      maxResponseHeaderBytes,
    ]);
    const known = this.#pools.get(key);
    if (known !== undefined) return known.pool;
    const pool = new ConnectionPool(origin, {
      ...connection,
      ...{ connectTimeoutMs, hostHeader, maxResponseHeaderBytes },
      buffers: this.#buffers,
    });
    this.#pools.set(key, { origin, pool });
    return pool;
  }

  /** Retires every other pool. Its requests in flight finish and can still make a second attempt. */
  retain(used: ReadonlySet<ConnectionPool>): void {
    for (const pool of this.#retired) {
      if (isUnused(pool)) this.#retired.delete(pool);
    }
    for (const [key, { pool }] of this.#pools) {
      if (used.has(pool)) continue;
      pool.retire();
      this.#retired.add(pool);
      this.#pools.delete(key);
    }
  }

  stats(): (PoolStats & { readonly origin: string })[] {
    return [...this.#pools.values()].map(({ origin, pool }) => ({ origin, ...pool.stats() }));
  }

  /** Closes all connections. Requests in flight fail. */
  close(): void {
    for (const { pool } of this.#pools.values()) pool.close();
    for (const pool of this.#retired) pool.close();
  }
}

function isUnused(pool: ConnectionPool): boolean {
  const { busy, idle, waiting } = pool.stats();
  return busy + idle + waiting === 0;
}
