import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../logger.ts';
import type { Secret } from '../../secret.ts';
import type { TokenFetcher } from '../exchange.ts';
import { TokenCipher } from './cipher.ts';
import { SharedTokenFetcher } from './coordinator.ts';
import { RedisStores } from './redis.ts';
import type { StoreStatus, TokenStore } from './store.ts';

interface TokenStoreSettings {
  readonly url: Secret;
  /** The first seals, each opens. */
  readonly keys: readonly [Secret, ...Secret[]];
}

export interface TokenSharing {
  /** Shares what `own` asks for with every replica that knows the credential by the same name. */
  readonly share: (own: TokenFetcher, name: string, provider: string) => TokenFetcher;
  /** Undefined where nothing lies between the processes that could fail. */
  readonly status: (() => StoreStatus) | undefined;
  close(): void;
}

/** What the fetchers of a process share with those of the others. */
interface Sharing {
  readonly stores: { storeOf(name: string): TokenStore; close?(): void; readonly status?: () => StoreStatus };
  readonly cipher: TokenCipher;
  /** This process; no other has the same. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
}

export function createSharing({ stores, ...sharing }: Sharing): TokenSharing {
  let complained = false;
  const onForeignMessage = () => {
    if (!complained) sharing.log.warn('token_store_message_ignored');
    complained = true;
  };
  const context = { ...sharing, onForeignMessage };
  return {
    share: (own, name, provider) =>
      new SharedTokenFetcher(own, { ...context, store: stores.storeOf(name), name, provider }),
    status: stores.status?.bind(stores),
    close: () => stores.close?.(),
  };
}

/** Connects to a token store in the background. Without it, each process asks for its own tokens. */
export async function openTokenStore(
  { url, keys }: TokenStoreSettings,
  context: { readonly clock: Clock; readonly log: Log; readonly random: () => number },
): Promise<TokenSharing> {
  const stores = await RedisStores.open({ url, ...context });
  return createSharing({
    stores,
    cipher: new TokenCipher(keys),
    owner: randomUUID(),
    clock: context.clock,
    log: context.log,
  });
}
