import type { RouteConfig } from '../../config/config.ts';
import { type Environment, isFixed, type Provider } from '../../providers/provider.ts';

/** Where a route's token is asked for, placeholders and all; undefined for a fixed key. */
export function tokenUrl({ provider, authServer }: Pick<RouteConfig, 'provider' | 'authServer'>): string | undefined {
  if (isFixed(provider.token)) return undefined;
  const { path } = provider.token.request;
  return isWholeUrl(path) ? path : authServer + path;
}

/**
 * The sandbox to try credentials at that the production host refused. Undefined unless the route is a production one
 * at the provider's own hosts, and these are others than the sandbox's.
 */
export function sandboxFor(route: Pick<RouteConfig, 'provider' | 'environment' | 'upstream' | 'authServer'>) {
  const { provider, environment, upstream, authServer } = route;
  const { hosts, token } = provider;
  if (environment !== 'production' || hosts === undefined || isFixed(token)) return undefined;
  const atOwnHosts = upstream === hosts.production.api && authServer === authOf(hosts, 'production');
  if (!atOwnHosts || isWholeUrl(token.request.path)) return undefined;
  const sandbox = authOf(hosts, 'sandbox');
  return sandbox === authServer ? undefined : sandbox;
}

function authOf(hosts: NonNullable<Provider['hosts']>, environment: Environment): string {
  const { api, auth } = hosts[environment];
  return auth ?? api;
}

function isWholeUrl(path: string): boolean {
  return /^https?:\/\//.test(path);
}
