import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/secret.ts';
import { ProviderTokenFetcher, type TokenTransport } from '../../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../../src/tokens/exchange-stats.ts';
import { TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { SharedTokenFetcher } from '../../../src/tokens/store/coordinator.ts';
import { MemoryStores } from '../../../src/tokens/store/memory.ts';
import { StoreUnavailable, type TokenStore } from '../../../src/tokens/store/store.ts';
import type { Token } from '../../../src/tokens/token.ts';
import { routeOf } from '../../config/validate-text.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { exchangeOf } from '../../support/token-exchange.ts';
import { expectNoSecret, LogLines, refusalOf } from '../../support/token-fakes.ts';

const GIVEN = 'given-made-up';
const HOUR_MS = 3_600_000;
const ROUTE = routeOf(
  JSON.stringify({
    routes: {
      '/bank/*': {
        provider: 'oauth2',
        upstream: 'https://api.bank.example',
        credentials: { client_id: 'id', client_secret: 'made-up' },
        oauth2: { token_endpoint: 'https://login.bank.example/token', refresh_token: GIVEN },
      },
    },
  }),
);

/** A server that accepts each refresh token once, and revokes all of them if one is used again. */
function system(server: { rotates?: boolean; echoes?: boolean } = {}) {
  const { echoes = true } = server;
  const clock = new ManualClock();
  const log = new LogLines();
  const memory = new MemoryStores(clock, () => {});
  const state = {
    sent: [] as string[],
    valid: GIVEN as string | undefined,
    status: 200,
    storeIsDown: false,
    stopsStore: false,
  };
  const transport: TokenTransport = async ({ body }) => {
    const { refresh_token: refreshToken = '' } = Object.fromEntries(
      new URLSearchParams(String(Buffer.from(body ?? ''))),
    );
    state.sent.push(refreshToken);
    // The store stops between the read and the save.
    if (state.stopsStore) state.storeIsDown = true;
    if (state.status !== 200) return { status: state.status, headers: {}, body: '{}' };
    if (refreshToken !== state.valid) {
      state.valid = undefined;
      return { status: 400, headers: {}, body: '{"error":"invalid_grant"}' };
    }
    const n = state.sent.length;
    if (server.rotates ?? true) state.valid = `refresh-${n}`;
    const token = { access_token: `token-${n}`, expires_in: 3600, ...(echoes && { refresh_token: state.valid }) };
    return { status: 200, headers: {}, body: JSON.stringify(token) };
  };
  const storeOf = (name: string): TokenStore => {
    const store = memory.storeOf(name);
    const reached = <Args extends unknown[], T>(method: (...args: Args) => Promise<T>) => {
      return async (...args: Args) => {
        if (state.storeIsDown) throw new StoreUnavailable('ECONNREFUSED');
        return await method(...args);
      };
    };
    return {
      read: reached(store.read),
      acquire: reached(store.acquire),
      renew: reached(store.renew),
      save: reached(store.save),
      release: reached(store.release),
      subscribe: () => () => {},
    };
  };
  /** A replica that has just started. */
  const replica = (owner: string, key = 'an encryption key for tests, long enough') => {
    const requester = new ProviderTokenFetcher({
      ...ROUTE,
      token: exchangeOf(ROUTE.provider),
      transport,
      clock,
      log,
      stats: new ExchangeStats(),
    });
    const fetcher = new SharedTokenFetcher(requester, {
      store: storeOf('credential'),
      refreshTokenStore: storeOf('credential:refresh'),
      cipher: new TokenCipher([new Secret(key)]),
      name: 'credential',
      provider: 'oauth2',
      owner,
      clock,
      log,
      onForeignMessage: () => {},
    });
    let token: Token | undefined;
    return async () => (token = await fetcher.fetch(token?.refreshToken, token));
  };
  return { clock, log, state, replica };
}

describe('the newest of the refresh tokens that replace one in the configuration', () => {
  it('is used by every replica, also after a restart when its access token has expired', async () => {
    const { clock, log, state, replica } = system();
    const [one, two] = [replica('one'), replica('two')];
    for (const fetch of [one, two, one, replica('one, restarted'), two]) {
      await fetch();
      await clock.advance(2 * HOUR_MS);
    }
    await clock.advance(300 * 24 * HOUR_MS);
    await replica('one, restarted again')();
    expect(state.sent).toEqual([GIVEN, 'refresh-1', 'refresh-2', 'refresh-3', 'refresh-4', 'refresh-5']);
    expectNoSecret(log.lines, ...state.sent);
  });

  it('is followed by the one in the configuration if it is refused, and the log says so', async () => {
    const { clock, log, state, replica } = system();
    await replica('one')();
    await clock.advance(2 * HOUR_MS);
    state.valid = GIVEN;
    const fetch = replica('two');
    const refused = await refusalOf(fetch());
    // The server revoked everything.
    expect(refused.code).toBe('token_denied');
    expect(state.sent).toEqual([GIVEN, 'refresh-1', GIVEN]);
    expect(log.events.filter((event) => event === 'refresh_token_refused')).toHaveLength(1);
    state.valid = GIVEN;
    await fetch();
    await clock.advance(2 * HOUR_MS);
    await replica('three')();
    expect(state.sent.slice(3)).toEqual([GIVEN, 'refresh-4']);
  });

  it('is used again after a failure that is no refusal, and the one in the configuration is not', async () => {
    const { clock, state, replica } = system();
    const fetch = replica('one');
    await fetch();
    for (const status of [500, 502, 404]) {
      state.status = status;
      await clock.advance(2 * HOUR_MS);
      expect((await refusalOf(fetch())).code).toBe('token_unavailable');
    }
    state.status = 200;
    await fetch();
    expect(state.sent).toEqual([GIVEN, 'refresh-1', 'refresh-1', 'refresh-1', 'refresh-1']);
  });

  it('is not replaced by an older one while the store is unavailable: at a start, and later', async () => {
    const { clock, log, state, replica } = system();
    const running = replica('running');
    await running();
    await clock.advance(2 * HOUR_MS);
    state.storeIsDown = true;
    for (const fetch of [running, replica('restarted')]) {
      const refused = await refusalOf(fetch());
      expect(refused).toMatchObject({
        code: 'token_unavailable',
        reason: { kind: 'refresh_token_unavailable', code: 'ECONNREFUSED' },
      });
    }
    expect(state.sent).toEqual([GIVEN]);
    expect(log.events.filter((event) => event === 'token_store_unavailable')).toHaveLength(2);
    state.storeIsDown = false;
    await running();
    expect(state.sent).toEqual([GIVEN, 'refresh-1']);
  });

  it('is stored as soon as the store is available again', async () => {
    const { clock, log, state, replica } = system();
    const fetch = replica('one');
    await fetch();
    await clock.advance(2 * HOUR_MS);
    state.stopsStore = true;
    await fetch();
    expect(log.events.filter((event) => event === 'refresh_token_not_stored')).toHaveLength(1);
    await clock.advance(60_000);
    state.storeIsDown = false;
    await clock.advance(2000);
    expect(log.events.filter((event) => event === 'refresh_token_not_stored')).toHaveLength(1);
    await replica('one, restarted')();
    expect(state.sent).toEqual([GIVEN, 'refresh-1', 'refresh-2']);
  });

  it('that another key encrypts is not replaced by an older one', async () => {
    const { clock, log, state, replica } = system();
    await replica('one')();
    await clock.advance(2 * HOUR_MS);
    const refused = await refusalOf(replica('two', 'another encryption key for tests, long enough')());
    expect(refused.reason).toEqual({ kind: 'refresh_token_unavailable', code: 'unreadable' });
    expect(state.sent).toEqual([GIVEN]);
    expect(log.events).toContain('token_store_token_unreadable');
  });
});

describe('a refresh token in the configuration that the server does not replace', () => {
  it.each([
    ['returns', true],
    ['does not return', false],
  ])('but %s with each token is used without the store too, once that was read', async (_, echoes) => {
    const { clock, state, replica } = system({ rotates: false, echoes });
    const fetch = replica('one');
    await fetch();
    await clock.advance(2 * HOUR_MS);
    state.storeIsDown = true;
    await fetch();
    expect(state.sent).toEqual([GIVEN, GIVEN]);
  });

  it('but does later is stored when the store is available again', async () => {
    const server = { rotates: false };
    const { clock, state, replica } = system(server);
    const fetch = replica('one');
    await fetch();
    await clock.advance(2 * HOUR_MS);
    state.storeIsDown = true;
    server.rotates = true;
    await fetch();
    state.storeIsDown = false;
    await clock.advance(2 * HOUR_MS);
    await replica('one, restarted')();
    expect(state.sent).toEqual([GIVEN, GIVEN, 'refresh-2']);
  });
});
