import { describe, expect, it } from 'vitest';
import type { TokenFetcher } from '../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../src/tokens/exchange-stats.ts';
import { makeToken, type Token } from '../../src/tokens/token.ts';
import { CachedTokenSource } from '../../src/tokens/token-source.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';
import { callOf } from '../support/token-fakes.ts';

const HOUR_MS = 3_600_000;
const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function numbered(generation: number, name = `token-${generation}`): Token {
  return { ...makeToken(name, undefined, { lifetimeMs: HOUR_MS, source: 'expires_in' }, 0), generation };
}

/** A fetcher whose results and events the test controls. */
class HandAsker implements TokenFetcher {
  readonly asked: (Token | undefined)[] = [];
  respond: (token: Token) => void = () => {};
  tell: (token: Token) => void = () => {};

  fetch(_refreshToken: unknown, after?: Token): Promise<Token> {
    this.asked.push(after);
    return new Promise((resolve) => (this.respond = resolve));
  }

  watch(adopt: (token: Token) => void): () => void {
    this.tell = adopt;
    return () => (this.tell = () => {});
  }
}

function source() {
  const fetcher = new HandAsker();
  const clock = new ManualClock(0);
  const context = {
    provider: 'test',
    clock,
    random: () => 0,
    log: SILENT,
    stats: new ExchangeStats(),
  };
  return { fetcher, clock, cache: new CachedTokenSource(fetcher, context) };
}

describe('a cached token that replicas share', () => {
  it('is replaced when another replica stores a newer one', () => {
    const { fetcher, cache } = source();
    fetcher.tell(numbered(1));
    expect(cache.current()?.generation).toBe(1);
    fetcher.tell(numbered(3));
    fetcher.tell(numbered(2));
    expect(cache.current()?.generation).toBe(3);
    expect(fetcher.asked).toEqual([]);
  });

  it('is the same token by an event and by a fetch: its refusal forces an exchange', async () => {
    const { fetcher, cache } = source();
    const waiting = cache.token();
    // The event arrives before the response to the same exchange.
    fetcher.tell(numbered(1));
    fetcher.respond(numbered(1));
    const held = await waiting;
    const next = cache.reject(numbered(1), callOf('GET', '/x'));
    await settled();
    expect(fetcher.asked).toHaveLength(2);
    expect(fetcher.asked[1]?.generation).toBe(held.generation);
    fetcher.respond(numbered(2));
    expect((await next)?.generation).toBe(2);
  });

  it('does not suppress a call if it was issued before the first refusal', async () => {
    const { fetcher, cache, clock } = source();
    fetcher.tell(numbered(1));
    await clock.advance(5000);
    const call = callOf('GET', '/x');
    const rejected = cache.reject(numbered(1), call);
    // Another replica got this one meanwhile, and it died too.
    fetcher.respond(numbered(2));
    const second = await rejected;
    cache.refusedAgain(second!, call);
    expect(cache.status().refusedCalls).toEqual([]);
    void cache.reject(second!, callOf('GET', '/x'));
    expect(fetcher.asked).toHaveLength(2);
  });

  it('is not replaced by an older result after a newer event', async () => {
    const { fetcher, cache } = source();
    const waiting = cache.token();
    fetcher.tell(numbered(5));
    fetcher.respond(numbered(4));
    expect((await waiting).generation).toBe(5);
    expect(cache.current()?.generation).toBe(5);
  });

  it('is not replaced after the source is closed', () => {
    const { fetcher, cache } = source();
    cache.close();
    fetcher.tell(numbered(1));
    expect(cache.current()).toBeUndefined();
  });
});
