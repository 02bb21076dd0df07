import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { RedisServers, TokenStoreConfig } from '../../config/config.ts';
import type { Log } from '../../logger.ts';
import type { TokenFetcher, TokenRequester } from '../exchange.ts';
import { TokenCipher } from './cipher.ts';
import { SharedTokenFetcher } from './coordinator.ts';
import { RedisStores } from './redis.ts';
import type { StoreStatus, TokenStore } from './store.ts';

/** Lets the replicas share their tokens: copies of Wakala with one Redis, or the workers of one primary. */
export interface TokenSharing {
  /**
   * Makes a fetcher share its tokens with all replicas.
   * @param name stands for the credential; it is the same in all replicas
   * @param provider for the log
   */
  readonly share: (fetcher: TokenRequester, name: string, provider: string) => TokenFetcher;
  /** Undefined for workers, which have no connection that could fail. */
  readonly status: (() => StoreStatus) | undefined;
  /** The next connection uses these certificates. Undefined for workers. */
  readonly setTls?: ((tls: RedisServers['tls']) => void) | undefined;
  close(): void;
}

interface SharingContext {
  readonly stores: { storeOf(name: string): TokenStore; close?(): void; readonly status?: () => StoreStatus };
  readonly cipher: TokenCipher;
  /** Name of this replica; each has another. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
}

export function createSharing({ stores, ...context }: SharingContext): TokenSharing {
  let isLogged = false;
  const onForeignMessage = () => {
    if (!isLogged) context.log.warn('token_store_message_ignored');
    isLogged = true;
  };
  return {
    share: (fetcher, name, provider) =>
      new SharedTokenFetcher(fetcher, {
        ...context,
        onForeignMessage,
        store: stores.storeOf(name),
        refreshTokenStore: stores.storeOf(`${name}:refresh`),
        name,
        provider,
      }),
    status: stores.status?.bind(stores),
    close: () => stores.close?.(),
  };
}

/**
 * Connects to Redis. It waits up to a second, and goes on connecting in the background: while there is no connection,
 * each process requests its own tokens.
 */
export async function openTokenStore(
  { servers, keys }: TokenStoreConfig,
  context: { readonly clock: Clock; readonly log: Log; readonly random: () => number },
): Promise<TokenSharing> {
  const stores = await RedisStores.open({ servers, ...context });
  const { clock, log } = context;
  const sharing = createSharing({ stores, cipher: new TokenCipher(keys), owner: randomUUID(), clock, log });
  return { ...sharing, setTls: (tls) => stores.setTls(tls) };
}
