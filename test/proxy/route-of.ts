import type { RouteConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { madeUp } from '../support/made-up.ts';

/** A resolved route of a built-in provider, with made-up values for its required credentials. */
export function routeNamed(name: string, settings: Readonly<Record<string, unknown>> = {}): RouteConfig {
  const fields = (providerNamed(name)?.credentials ?? []).filter(({ optional }) => optional !== true);
  const credentials = Object.fromEntries(fields.map(({ name: field }) => [field, madeUp(field, `value-of-${field}`)]));
  const written = { routes: { [`/${name}/*`]: { provider: name, credentials, ...settings } } };
  const { config } = loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} });
  return config.routes[0]!;
}
