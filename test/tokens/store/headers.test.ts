import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { Secret } from '../../../src/secret.ts';
import type { TokenRequester } from '../../../src/tokens/exchange.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { SharedTokenFetcher } from '../../../src/tokens/store/coordinator.ts';
import { MemoryStores } from '../../../src/tokens/store/memory.ts';
import { makeToken, type Token } from '../../../src/tokens/token.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const APP_CODE = ['X-App-Code', new Secret('7310')] as const;
const shown = ({ headers }: Token) => headers.map(([name, value]) => [name, value.reveal()]);

/** Two replicas with one store. `before`: the tokens that each request to the provider was to replace. */
function replicas() {
  const clock = new ManualClock();
  const stores = new MemoryStores(clock, () => {});
  const cipher = new TokenCipher([new Secret('an encryption key for tests, long enough')]);
  const before: (Token | undefined)[] = [];
  const provider: TokenRequester = {
    timeoutMs: 15_000,
    configuredRefreshToken: undefined,
    fetch: async (_refreshToken, after) => {
      before.push(after);
      const lifetime = { lifetimeMs: 3_600_000, source: 'expires_in' } as const;
      return makeToken(`token-${before.length}`, 'refresh', lifetime, clock.now(), [APP_CODE]);
    },
  };
  const replica = (owner: string) => {
    const store = { ...stores.storeOf('credential'), subscribe: () => () => {} };
    const context = { cipher, name: 'credential', provider: 'jpay', owner, clock, log: silentLog };
    return new SharedTokenFetcher(provider, { ...context, store, onForeignMessage: () => {} });
  };
  return { one: replica('one'), two: replica('two'), before };
}

describe('headers of a token response', () => {
  it('reach every replica that uses the token', async () => {
    const { one, two, before } = replicas();
    await one.fetch(undefined);
    expect(shown(await two.fetch(undefined))).toEqual([['X-App-Code', '7310']]);
    expect(before).toEqual([undefined]);
  });

  it('are known to the replica that refreshes a token of another replica', async () => {
    const { one, two, before } = replicas();
    await one.fetch(undefined);
    const shared = await two.fetch(undefined);
    await two.fetch(shared.refreshToken, shared);
    expect(before.slice(1).map((token) => token && shown(token))).toEqual([[['X-App-Code', '7310']]]);
  });
});
