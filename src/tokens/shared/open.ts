import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import type { Secret } from '../../secret.ts';
import type { TokenAsker } from '../exchange.ts';
import { SharedAsker } from './asker.ts';
import { RedisBoards } from './redis.ts';
import { Seal } from './seal.ts';

export interface TokenStoreSettings {
  readonly url: Secret;
  /** The first seals, each opens. */
  readonly keys: readonly [Secret, ...Secret[]];
}

export interface OpenTokenStore {
  /** Shares what `own` asks for with every replica that knows the credential by the same name. */
  readonly share: (own: TokenAsker, name: string, provider: string) => TokenAsker;
  close(): void;
}

/** Connects to a token store in the background. Without it, each process asks for its own tokens. */
export async function openTokenStore(
  { url, keys }: TokenStoreSettings,
  context: { readonly clock: Clock; readonly log: Log; readonly random: () => number },
): Promise<OpenTokenStore> {
  const boards = await RedisBoards.open({ url, ...context });
  const seal = new Seal(keys);
  const owner = randomUUID();
  return {
    share: (own, name, provider) =>
      new SharedAsker(own, { ...context, board: boards.board(name), seal, name, provider, owner }),
    close: () => boards.close(),
  };
}
