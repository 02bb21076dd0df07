import { readFileSync } from 'node:fs';
import { expect, vi } from 'vitest';
import { type Clock, systemClock } from '../../../src/clock.ts';
import type { RedisServers } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { sendRequest } from '../../support/proxy-client.ts';
import { routeTo, type Settings, type StartedProxy, startProxy } from '../../support/proxy-server.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';

export const KEY = 'an encryption key for tests, long enough';
export const CREDENTIAL = 'canary-api-key';

/** Gives scripts more time than in production: the machine may be busy with other tests. */
export const PATIENT: Clock = {
  now: () => systemClock.now(),
  after: (delayMs, callback) => systemClock.after(delayMs < 100 ? 1000 : delayMs, callback),
};

/** Enough for every reconnect, and for the lease of a replica that died to expire. */
export const HEALED = { timeout: 30_000, interval: 500 };

/** The servers of a `token_store` with these keys. */
export function serversOf(settings: object): RedisServers {
  const route = { provider: 'mpesa', credentials: { consumer_key: 'key', consumer_secret: 'secret' } };
  const written = JSON.stringify({ token_store: { encryption_key: KEY, ...settings }, routes: { '/mpesa/*': route } });
  const readFile = (path: string) => (path === 'proxy.config.yaml' ? written : readFileSync(path, 'utf8'));
  const servers = loadConfig('proxy.config.yaml', { readFile, env: {} }).config.tokenStore?.servers;
  if (servers === undefined) throw new Error('no token store');
  return servers;
}

/** A provider that can kill all tokens it issued so far. */
export class Provider {
  readonly upstream: RawUpstream;
  readonly #dead: Set<string>;

  private constructor(upstream: RawUpstream, dead: Set<string>) {
    this.upstream = upstream;
    this.#dead = dead;
  }

  static async start(): Promise<Provider> {
    const dead = new Set<string>();
    const upstream = await RawUpstream.start((request) =>
      dead.has(request.values('authorization')[0] ?? '') ? reply(401, 'dead') : reply(200, 'fine'),
    );
    return new Provider(upstream, dead);
  }

  get exchanges(): number {
    return this.upstream.tokens.length;
  }

  killTokens(): void {
    for (const token of this.upstream.tokens) this.#dead.add(`Bearer ${token}`);
  }

  replica(redis: string, store: Settings = {}, clock: Clock = PATIENT): Promise<StartedProxy> {
    const settings = {
      token_store: { redis, encryption_key: KEY, ...store },
      routes: { '/api/*': routeTo(this.upstream, { credentials: { key: CREDENTIAL } }) },
    };
    return startProxy(settings, clock);
  }
}

export async function statusOf({ port }: StartedProxy): Promise<number> {
  return (await sendRequest(port, '/api/x', { body: '{}' })).status;
}

export async function expectServed(...proxies: readonly StartedProxy[]): Promise<void> {
  expect(await Promise.all(proxies.map(statusOf))).toEqual(proxies.map(() => 200));
}

/** Kills the tokens. @returns how many exchanges all of these need to serve requests again */
export async function exchangesAfterDeath(provider: Provider, ...proxies: readonly StartedProxy[]): Promise<number> {
  const before = provider.exchanges;
  provider.killTokens();
  await expectServed(...proxies.flatMap((proxy) => [proxy, proxy, proxy]));
  return provider.exchanges - before;
}

/** Waits until all of these share one exchange. @returns how many exchanges there were until then */
export async function healed(provider: Provider, ...proxies: readonly StartedProxy[]): Promise<number> {
  const before = provider.exchanges;
  await vi.waitFor(async () => expect(await exchangesAfterDeath(provider, ...proxies)).toBe(1), HEALED);
  return provider.exchanges - before;
}
