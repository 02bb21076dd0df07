import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { Secret } from '../../../src/secret.ts';
import type { TokenFetcher } from '../../../src/tokens/exchange.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { SharedTokenFetcher } from '../../../src/tokens/store/coordinator.ts';
import { MemoryStores } from '../../../src/tokens/store/memory.ts';
import { makeToken, type Token } from '../../../src/tokens/token.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const APP_CODE = ['X-App-Code', new Secret('7310')] as const;
const shown = ({ headers }: Token) => headers.map(([name, value]) => [name, value.reveal()]);

/** Two replicas at one store; `before` are the tokens in whose place each was asked for another. */
function replicas() {
  const clock = new ManualClock();
  const stores = new MemoryStores(clock, () => {});
  const seal = new TokenCipher([new Secret('an encryption key for tests, long enough')]);
  const before: (Token | undefined)[] = [];
  const own: TokenFetcher = {
    fetch: async (_refreshToken, after) => {
      before.push(after);
      const lifetime = { lifetimeMs: 3_600_000, source: 'expires_in' } as const;
      return makeToken(`token-${before.length}`, 'refresh', lifetime, clock.now(), [APP_CODE]);
    },
  };
  const replica = (owner: string) => {
    const store = { ...stores.storeOf('credential'), subscribe: () => () => {} };
    const context = { cipher: seal, name: 'credential', provider: 'jpay', owner, clock, log: silentLog };
    return new SharedTokenFetcher(own, { ...context, store: store, onForeignMessage: () => {} });
  };
  return { one: replica('one'), two: replica('two'), before };
}

describe('headers that came with a token', () => {
  it('come to every replica that takes the token over', async () => {
    const { one, two, before } = replicas();
    await one.fetch(undefined);
    expect(shown(await two.fetch(undefined))).toEqual([['X-App-Code', '7310']]);
    expect(before).toEqual([undefined]);
  });

  it('are at hand for the replica that refreshes a token which another one got', async () => {
    const { one, two, before } = replicas();
    await one.fetch(undefined);
    const taken = await two.fetch(undefined);
    await two.fetch(taken.refreshToken, taken);
    expect(before.slice(1).map((token) => token && shown(token))).toEqual([[['X-App-Code', '7310']]]);
  });
});
