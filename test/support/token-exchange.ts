import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type Exchange, isRequested, type Provider } from '../../src/providers/provider.ts';
import { Secret } from '../../src/secret.ts';
import { ProviderTokenFetcher, type TokenFetcher, type TokenTransport } from '../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../src/tokens/exchange-stats.ts';
import { networkTransport } from '../../src/tokens/transport.ts';
import { ManualClock } from './manual-clock.ts';
import { LogLines } from './token-fakes.ts';

/** The secrets of one made-up app, one for each credential field: odd enough that any spelling of them is found. */
export function secretsOf(provider: Provider): Record<string, string> {
  return Object.fromEntries(provider.credentials.map(({ name }) => [name, `${name}+made/up=1`]));
}

/** The real transport, closed when the test ends. */
export function network(): TokenTransport {
  const { transport, close } = networkTransport(systemClock);
  onTestFinished(close);
  return transport;
}

export interface FetcherFixture {
  readonly fetcher: TokenFetcher;
  readonly clock: ManualClock;
  readonly log: LogLines;
  readonly stats: ExchangeStats;
  readonly secrets: Readonly<Record<string, string>>;
}

/** A token fetcher for a provider at `authServer` or its sandbox. Default transport: the network. */
export function createFetcher(
  provider: Provider,
  {
    authServer,
    transport = network(),
    tokenTimeoutMs = 15_000,
  }: { authServer?: string; transport?: TokenTransport; tokenTimeoutMs?: number } = {},
): FetcherFixture {
  const hosts = provider.hosts?.sandbox;
  const clock = new ManualClock();
  const log = new LogLines();
  const secrets = secretsOf(provider);
  const credentials = new Map(Object.entries(secrets).map(([name, value]) => [name, new Secret(value)]));
  const server = authServer ?? hosts?.auth ?? hosts?.api ?? '';
  const token = exchangeOf(provider);
  const stats = new ExchangeStats();
  const fetcher = new ProviderTokenFetcher({
    provider,
    token,
    authServer: server,
    credentials,
    transport,
    clock,
    log,
    stats,
    tokenTimeoutMs,
  });
  return { fetcher, stats, clock, log, secrets };
}

export function exchangeOf(provider: Provider): Exchange {
  if (!isRequested(provider.token)) throw new Error('no exchange');
  return provider.token;
}
