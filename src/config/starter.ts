import { providers } from '../providers/registry.ts';
import type { CredentialField, Provider } from '../providers/provider.ts';

/** The variable that a credential is read from: `MPESA_CONSUMER_KEY`. */
export function variableOf(provider: Provider, field: string): string {
  return `${provider.name}_${field}`.toUpperCase().replace(/\W/g, '_');
}

/** The credentials that a route needs in any case; the others may be left out, at least in the sandbox. */
export function neededCredentials({ credentials }: Provider): readonly CredentialField[] {
  return credentials.filter((field) => field.default === undefined);
}

/** The lines of a route for this provider, as they stand under `routes:`. What may be left out is a comment. */
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
    ...optional.map((field) => `      # ${field.name}: left out, it is ${defaultInWords(field)}`),
    '',
  ].join('\n');
}

/** What a field is if it is left out: `collection`, or `sandbox, but must be given in production`. */
export function defaultInWords({ default: value }: CredentialField): string {
  if (value === undefined || typeof value === 'string') return value ?? '';
  const environments = ['sandbox', 'production'] as const;
  const given = environments.flatMap((environment) => value[environment] ?? []);
  const needed = environments.filter((environment) => value[environment] === undefined);
  return [...new Set(given), ...needed.map((environment) => `but must be given in ${environment}`)].join(', ');
}

/** What `wakala dev` runs without a file: few enough that the screen shows them all. */
const STARTERS = ['jpay', 'mpesa', 'jeel', 'paypack'];

/** A file with a route for each of the providers that a first look needs. */
export const STARTER = `routes:\n${providers
  .filter((provider) => STARTERS.includes(provider.name))
  .map(routeText)
  .join('')}`;
