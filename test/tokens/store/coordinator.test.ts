import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { Secret } from '../../../src/secret.ts';
import type { TokenFetcher } from '../../../src/tokens/exchange.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import {
  encryptEvent,
  failureEvent,
  LEASE_DURATION_MS,
  SharedTokenFetcher,
  type StoreEvent,
  MAX_LEASE_WAIT_MS,
} from '../../../src/tokens/store/coordinator.ts';
import { MemoryStores } from '../../../src/tokens/store/memory.ts';
import type { StoredToken, TokenStore } from '../../../src/tokens/store/store.ts';
import { makeToken, type Token } from '../../../src/tokens/token.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';
import { LogLines, refusalOf } from '../../support/token-fakes.ts';

const ALONE = 'token_store_unavailable';
const UNREADABLE = 'token_store_token_unreadable';
const SEAL = new TokenCipher([new Secret('an encryption key for tests, long enough')]);
const NAME = 'credential';
const HOUR_MS = 3_600_000;
const CENTURY_MS = 100 * 365 * 24 * HOUR_MS;

/** Replicas at one store in memory. `store` is theirs, for someone else who gets at it; so are `tell` and `reads`. */
function bench() {
  const clock = new ManualClock();
  const listeners = new Set<(news: string) => void>();
  const tell = (news: string) => {
    for (const listener of [...listeners]) listener(news);
  };
  const memory = new MemoryStores(clock, (_name, news) => tell(news)).storeOf(NAME);
  const counts = { reads: 0, exchanges: 0, foreign: 0 };
  const store: TokenStore = {
    ...memory,
    read: () => {
      counts.reads += 1;
      return memory.read();
    },
    subscribe: (onNews) => {
      listeners.add(onNews);
      return () => listeners.delete(onNews);
    },
  };
  const log = new LogLines();
  const replica = (owner: string, own: Partial<TokenFetcher> = {}, changed: Partial<TokenStore> = {}) => {
    const fetch = async () => {
      counts.exchanges += 1;
      return tokenNamed(`${owner}-${counts.exchanges}`, clock);
    };
    return new SharedTokenFetcher(
      { fetch, ...own },
      {
        store: { ...store, ...changed },
        cipher: SEAL,
        name: NAME,
        provider: 'mpesa',
        owner,
        clock,
        log,
        onForeignMessage: () => (counts.foreign += 1),
      },
    );
  };
  return { clock, store, tell, counts, log, replica };
}

function tokenNamed(name: string, clock: ManualClock): Token {
  return makeToken(name, undefined, { lifetimeMs: HOUR_MS, source: 'expires_in' }, clock.now());
}

function postedAs(name: string, generation: number, remainingMs: number, clock: ManualClock): StoredToken {
  return { generation, encrypted: SEAL.encrypt(tokenNamed(name, clock), NAME, generation), remainingMs };
}

const nameOf = (token: Token) => token.accessToken.reveal();
const news = (sent: StoreEvent, clock: ManualClock) => encryptEvent(sent, { cipher: SEAL, name: NAME, clock });

describe('a replica that waits for the turn of another', () => {
  it('asks alone once the turn has lasted longer than any exchange may, and says so once', async () => {
    const { clock, store, counts, log, replica } = bench();
    await store.acquire('a stranger', LEASE_DURATION_MS, 0);
    const holding = () => {
      void store.renew('a stranger', LEASE_DURATION_MS);
      clock.after(LEASE_DURATION_MS / 2, holding);
    };
    holding();
    const fetcher = replica('one');
    for (const exchanges of [1, 2]) {
      const asked = fetcher.fetch(undefined);
      await clock.advance(MAX_LEASE_WAIT_MS - 1);
      expect(counts.exchanges).toBe(exchanges - 1);
      await clock.advance(1);
      expect(nameOf(await asked)).toBe(`one-${exchanges}`);
    }
    expect(log.lines.filter(({ event }) => event === ALONE)).toMatchObject([
      { level: 'warn', fields: { provider: 'mpesa', error: 'the turns of others do not end' } },
    ]);
  });

  it('does not look more often for news that were sent before, however often they come', async () => {
    const { clock, store, tell, counts, replica } = bench();
    await store.acquire('a stranger', 60_000, 0);
    void replica('one').fetch(undefined);
    await settled();
    const { reads } = counts;
    const genuine = news({ kind: 'posted', generation: 5 }, clock);
    for (let i = 0; i < 1000; i++) {
      tell(genuine);
      await Promise.resolve();
    }
    await settled();
    expect(counts.reads - reads).toBe(1);
  });

  it('takes the failure of the other for its own, with its code and wait, and none of its words', async () => {
    const { replica, counts } = bench();
    const failing = Promise.withResolvers<Token>();
    const first = replica('one', { fetch: () => failing.promise }).fetch(undefined);
    await settled();
    const second = replica('two').fetch(undefined);
    await settled();
    failing.reject(new ProxyError('token_denied', 'canary', { retryAfterS: 9 }));
    expect(await refusalOf(first)).toMatchObject({ code: 'token_denied', message: 'canary' });
    const told = await refusalOf(second);
    expect(told).toMatchObject({ code: 'token_denied', retryAfterS: 9 });
    expect(told.message).not.toContain('canary');
    expect(counts).toMatchObject({ exchanges: 0, foreign: 0 });
  });

  it('is not misled by a failure from before the token that it knows', async () => {
    const { clock, store, tell, replica } = bench();
    const one = replica('one');
    const first = await one.fetch(undefined);
    const old = failureEvent(new ProxyError('token_denied', 'no'), first.generation);
    await store.acquire('a stranger', LEASE_DURATION_MS, 0);
    const asked = one.fetch(undefined, first);
    await settled();
    tell(news(old!, clock));
    await clock.advance(LEASE_DURATION_MS);
    expect(nameOf(await asked)).toBe('one-2');
  });
});

describe('a replica that is told of a new token', () => {
  it('reads it once, and adopts it', async () => {
    const { counts, replica } = bench();
    const adopted: string[] = [];
    replica('two').watch((token) => adopted.push(nameOf(token)));
    await replica('one').fetch(undefined);
    await settled();
    expect(adopted).toEqual(['one-1']);
    // One of each: that of the replica that asked, and that of the one that was told.
    expect(counts.reads).toBe(2);
  });

  it('reads nothing for news that nobody with a known key sent', async () => {
    const { tell, counts, replica } = bench();
    replica('one').watch(() => {});
    for (let i = 0; i < 1000; i++) tell(JSON.stringify({ kind: 'posted', generation: i }));
    await settled();
    expect(counts).toMatchObject({ reads: 0, foreign: 1000 });
  });

  it('has one read under way and one more waiting at most, however many news are played back', async () => {
    const { clock, tell, counts, replica } = bench();
    const slow = Promise.withResolvers<undefined>();
    const read = () => {
      counts.reads += 1;
      return slow.promise;
    };
    replica('one', {}, { read }).watch(() => {});
    for (let i = 1; i <= 1000; i++) tell(news({ kind: 'posted', generation: i }, clock));
    for (let i = 1; i <= 1000; i++) tell(news({ kind: 'posted', generation: i }, clock));
    await settled();
    expect(counts.reads).toBe(1);
    slow.resolve(undefined);
    await settled();
    for (let i = 1; i <= 1000; i++) tell(news({ kind: 'posted', generation: i }, clock));
    await settled();
    expect(counts.reads).toBe(2);
  });

  it('goes on hearing news after a read that failed', async () => {
    const { clock, tell, counts, replica } = bench();
    const read = () => {
      counts.reads += 1;
      return Promise.reject(new Error('canary'));
    };
    replica('one', {}, { read }).watch(() => {});
    for (const generation of [1, 2]) {
      tell(news({ kind: 'posted', generation }, clock));
      await settled();
      expect(counts.reads).toBe(generation);
    }
  });
});

describe('a token on the store', () => {
  it.each([
    ['a century', CENTURY_MS, HOUR_MS],
    ['for ever', Infinity, HOUR_MS],
    ['half an hour', HOUR_MS / 2, HOUR_MS / 2],
  ])('that is said to live %s lives no longer than when it was issued', async (_, remainingMs, expectedMs) => {
    const { clock, replica } = bench();
    const read = async () => postedAs('posted', 7, remainingMs, clock);
    const token = await replica('one', {}, { read }).fetch(undefined);
    expect([nameOf(token), token.expiresAtMs - clock.now()]).toEqual(['posted', expectedMs]);
  });

  it.each([NaN, -1, -2, 0, 999, undefined as never, 'soon' as never])('with %s ms left is passed over', async (ms) => {
    const { clock, replica } = bench();
    const read = async () => postedAs('posted', 7, ms, clock);
    expect(nameOf(await replica('one', {}, { read }).fetch(undefined))).toBe('one-1');
  });

  it.each([0, -1, 1.5, NaN, 2 ** 53, 1e300])(
    'with the number %s is passed over, and it is said once',
    async (number) => {
      const { clock, log, replica } = bench();
      const read = async () => postedAs('posted', number, HOUR_MS, clock);
      const fetcher = replica('one', {}, { read });
      expect(nameOf(await fetcher.fetch(undefined))).toBe('one-1');
      expect(log.events.filter((event) => event === UNREADABLE)).toHaveLength(1);
    },
  );

  it('that lay there before is not taken for a newer one, whatever life it is given', async () => {
    const { clock, replica } = bench();
    let under: StoredToken | undefined;
    const fetcher = replica('two', {}, { read: async () => under });
    const old = (under = postedAs('old', 7, HOUR_MS, clock));
    await fetcher.fetch(undefined);
    under = postedAs('newer', 8, HOUR_MS, clock);
    const newer = await fetcher.fetch(undefined);
    expect([nameOf(newer), (await fetcher.fetch(undefined)) === newer]).toEqual(['newer', true]);
    await clock.advance(HOUR_MS / 2);
    // One that was asked for alone has no number: it is compared by its time.
    const alone = tokenNamed('alone', clock);
    await clock.advance(1000);
    const replayed = [old, { ...postedAs('newer', 8, HOUR_MS, clock) }];
    for (const posted of replayed) {
      under = { ...posted, remainingMs: CENTURY_MS };
      expect(nameOf(await fetcher.fetch(undefined, alone))).toMatch(/^two-/);
    }
  });
});

describe('the number of a turn', () => {
  it.each([NaN, -1, 0, 7.5, 2 ** 53, 1e300, Infinity])(
    '%s is not taken: the replica asks alone',
    async (fencingNumber) => {
      const { log, replica } = bench();
      const released: string[] = [];
      const changed: Partial<TokenStore> = {
        acquire: async () => ({ fencingNumber: fencingNumber, stored: undefined }),
        release: async (owner) => void released.push(owner),
        save: () => Promise.reject(new Error('posted')),
      };
      const token = await replica('one', {}, changed).fetch(undefined);
      expect([nameOf(token), token.generation, released]).toEqual(['one-1', 0, ['one']]);
      expect(log.lines.filter(({ event }) => event === ALONE)).toMatchObject([
        { fields: { error: 'its numbers are out of range' } },
      ]);
    },
  );

  it('is above that of every token that the replica knows, also on a store that forgot all', async () => {
    const { clock, replica } = bench();
    const known = clock.now() * 1000;
    let under: StoredToken | undefined = postedAs('posted', known, HOUR_MS, clock);
    const fetcher = replica('one', {}, { read: async () => under });
    const first = await fetcher.fetch(undefined);
    under = undefined;
    expect((await fetcher.fetch(undefined, first)).generation).toBe(known + 1);
  });
});
