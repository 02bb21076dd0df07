import { providers } from '../providers/registry.ts';
import type { Provider } from '../providers/provider.ts';

/** The variable that a credential is read from: `MPESA_CONSUMER_KEY`. */
export function variableOf(provider: Provider, field: string): string {
  return `${provider.name}_${field}`.toUpperCase().replace(/\W/g, '_');
}

/** The lines of a route for this provider, as they stand under `routes:`. */
export function routeText(provider: Provider): string {
  return [
    `  /${provider.name}/*:`,
    `    provider: ${provider.name}`,
    ...(provider.hosts === undefined ? ['    upstream: https://api.example.com'] : []),
    '    credentials:',
    ...provider.credentials.map(({ name }) => `      ${name}: \${${variableOf(provider, name)}}`),
    '',
  ].join('\n');
}

/** A file with a route for every built-in provider that has hosts of its own. */
export const STARTER = `routes:\n${providers
  .filter((provider) => provider.hosts !== undefined)
  .map(routeText)
  .join('')}`;
