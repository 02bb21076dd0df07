import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../../src/clock.ts';
import type { RouteConfig } from '../../../src/config/config.ts';
import { ProviderTokenFetcher } from '../../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../../src/tokens/exchange-stats.ts';
import type { TokenRequest } from '../../../src/tokens/token-request.ts';
import { networkTransport } from '../../../src/tokens/transport.ts';
import { routeOf } from '../../config/validate-text.ts';
import { exchangeOf } from '../../support/token-exchange.ts';
import { LogLines } from '../../support/token-fakes.ts';
import { CLIENT_ID, SECRET } from './servers.ts';

export type Settings = Readonly<Record<string, unknown>>;

/** A configuration with one route, `/bank/*`, whose `oauth2` this is. JSON is YAML. */
export function configOf(oauth2: Settings | undefined, settings: Settings = {}): string {
  const secret = oauth2?.['client_auth'] === undefined || String(oauth2['client_auth']).startsWith('client_secret');
  const route = {
    provider: 'oauth2',
    upstream: 'https://api.bank.example',
    credentials: { client_id: CLIENT_ID, ...(secret && { client_secret: SECRET }) },
    ...(oauth2 && { oauth2 }),
    ...settings,
  };
  return JSON.stringify({ routes: { '/bank/*': route } });
}

/** A token fetcher for such a route, over the network. Records its requests. */
export function createFetcher(oauth2: Settings, settings: Settings = {}, clock: Clock = systemClock) {
  const route = routeOf(configOf(oauth2, settings));
  return { route, ...createFetcherFor(route, clock) };
}

export function createFetcherFor(route: RouteConfig, clock: Clock = systemClock) {
  const sent: TokenRequest[] = [];
  const { transport, close } = networkTransport(systemClock);
  onTestFinished(close);
  const log = new LogLines();
  const stats = new ExchangeStats();
  const fetcher = new ProviderTokenFetcher({
    ...route,
    token: exchangeOf(route.provider),
    transport: (request, signal) => {
      sent.push(request);
      return transport(request, signal);
    },
    clock,
    log,
    stats,
  });
  return { fetcher, sent, log, stats };
}

/** The fields of a form that was sent, in order. */
export function formOf(request: TokenRequest | undefined): [name: string, value: string][] {
  return [...new URLSearchParams(Buffer.from(request?.body ?? '').toString('utf8'))];
}

export function fieldOf(request: TokenRequest | undefined, name: string): string {
  return formOf(request).find(([each]) => each === name)?.[1] ?? '';
}
