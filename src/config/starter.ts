import type { CredentialField, Provider } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';

/** The name of the environment variable of a credential: `MPESA_CONSUMER_KEY`. */
export function variableOf(provider: Provider, field: string): string {
  return `${provider.name}_${field}`.toUpperCase().replace(/\W/g, '_');
}

/** The credentials that every route needs. The others have a default, at least in the sandbox. */
export function neededCredentials({ credentials }: Provider): readonly CredentialField[] {
  return credentials.filter((field) => field.default === undefined);
}

/** The lines of a route for this provider below `routes:`. Optional credentials are comments. */
export function routeText(provider: Provider): string {
  const { name, hosts, credentials, settings = [] } = provider;
  const optional = credentials.filter((field) => field.default !== undefined);
  return [
    `  /${name}/*:`,
    `    provider: ${name}`,
    ...(hosts === undefined ? ['    upstream: https://api.example.com'] : []),
    ...settings,
    '    credentials:',
    ...neededCredentials(provider).map((field) => `      ${field.name}: \${${variableOf(provider, field.name)}}`),
    ...optional.map((field) => `      # ${field.name}: optional, default ${formatDefault(field)}`),
    '',
  ].join('\n');
}

/** The default of a credential: `collection`, or `sandbox; required in production`. */
export function formatDefault({ default: value }: CredentialField): string {
  if (value === undefined || typeof value === 'string') return value ?? '';
  const environments = ['sandbox', 'production'] as const;
  const values = environments.flatMap((environment) => value[environment] ?? []);
  const required = environments.filter((environment) => value[environment] === undefined);
  return [...new Set(values), ...required.map((environment) => `required in ${environment}`)].join('; ');
}

/** The providers that `wakala dev` runs without a file: few enough to fit on one screen. */
const STARTERS = ['jpay', 'mpesa', 'jeel', 'paypack'];

/** The configuration of `wakala dev` without a file. */
export const STARTER = `routes:\n${providers
  .filter((provider) => STARTERS.includes(provider.name))
  .map(routeText)
  .join('')}`;
