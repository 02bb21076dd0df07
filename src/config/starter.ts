import type { CredentialField, Provider } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import { targetsOf } from '../providers/sign-rule.ts';

/** The name of the environment variable of a credential: `MPESA_CONSUMER_KEY`. */
export function variableOf(provider: Provider, field: string): string {
  return `${provider.name}_${field}`.toUpperCase().replace(/\W/g, '_');
}

/** The credentials that every route needs. */
export function neededCredentials({ credentials }: Provider): readonly CredentialField[] {
  return credentials.filter((field) => field.default === undefined && field.optional !== true);
}

/** The credentials that switch something on, and have no default. */
export function optionalCredentials({ credentials }: Provider): readonly CredentialField[] {
  return credentials.filter((field) => field.default === undefined && field.optional === true);
}

/** The lines of a route for this provider below `routes:`. Credentials with a default, and flags, are comments. */
export function routeText(provider: Provider): string {
  const { name, hosts, credentials, settings = [] } = provider;
  const optional = optionalCredentials(provider);
  const variable = (field: CredentialField) => variableOf(provider, field.name);
  return [
    `  /${name}/*:`,
    `    provider: ${name}`,
    ...(hosts === undefined ? ['    upstream: https://api.example.com'] : []),
    ...settings,
    '    credentials:',
    ...neededCredentials(provider).map((field) => `      ${field.name}: \${${variable(field)}}`),
    ...optional.map((field) => {
      const comment = `# optional${effectOf(provider, field)}`;
      return field.kind === 'flag'
        ? `      # ${field.name}: true ${comment}`
        : `      ${field.name}: \${${variable(field)}:-} ${comment}`;
    }),
    ...credentials
      .filter((field) => field.default !== undefined)
      .map((field) => `      # ${field.name}: optional, default ${formatDefault(field)}`),
    '',
  ].join('\n');
}

/** `: fills in Timestamp, Password` for a credential that switches rules on; else empty. */
function effectOf({ sign = [] }: Provider, { name }: CredentialField): string {
  const targets = sign.filter((rule) => rule.when === name).flatMap(targetsOf);
  return targets.length === 0 ? '' : `: fills in ${[...new Set(targets)].join(', ')}`;
}

/** The default of a credential: `collection`, or `sandbox; required in production`. A key is too long to show. */
export function formatDefault({ kind, default: value }: CredentialField): string {
  if (kind === 'public_key' || kind === 'private_key') return 'built in';
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
