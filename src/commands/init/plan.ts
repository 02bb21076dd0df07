import { stringify } from 'yaml';
import { didYouMean } from '../../config/diagnostics.ts';
import { validateConfig } from '../../config/load.ts';
import { DEFAULT_ADDRESSES, DEFAULTS } from '../../config/schema.ts';
import { neededCredentials, optionalCredentials, routeText, variableOf } from '../../config/starter.ts';
import type { Environment, Provider } from '../../providers/provider.ts';
import { providerNamed, providers } from '../../providers/registry.ts';

/** The choices for the configuration to write. */
export interface Plan {
  readonly providers: readonly Provider[];
  readonly environment: Environment;
  /** `host:port`. */
  readonly listen: string;
  /** Base URLs of providers without built-in hosts, by name. A missing one becomes an example. */
  readonly upstreams: Readonly<Record<string, string>>;
}

/** The choices that the user did not make. */
export const DEFAULT_PLAN = {
  environment: DEFAULTS.environment,
  listen: DEFAULT_ADDRESSES.listen,
  upstreams: {},
} as const;

/** The providers with these names, without repeats. A text may contain several names, separated by commas or blanks. */
export function providersNamed(texts: readonly string[]): readonly Provider[] | { readonly problem: string } {
  const names = texts.flatMap((text) => text.split(/[\s,]+/)).filter((name) => name !== '');
  const found = new Set<Provider>();
  for (const name of names) {
    const provider = providerNamed(name.toLowerCase());
    if (provider === undefined) return { problem: `unknown provider \`${name}\`${hintFor(name)}` };
    found.add(provider);
  }
  return [...found];
}

/** The first problem that `wakala check` finds once the variables are set. */
export function problemOf(plan: Plan): string | undefined {
  const needed = plan.providers.flatMap(variablesOf).filter(({ optional }) => !optional);
  const env = Object.fromEntries(needed.map(({ name }) => [name, 'x']));
  const { problems } = validateConfig('proxy.config.yaml', { env, readFile: () => configText(plan) });
  return problems[0]?.message;
}

function hintFor(name: string): string {
  const names = providers.map((provider) => provider.name);
  return didYouMean(name, names) || `; the providers are ${names.join(', ')}`;
}

/** An environment variable that the configuration refers to. */
interface Variable {
  readonly name: string;
  readonly provider: Provider;
  /** Where the user finds its value, in the words of the provider. */
  readonly description: string;
  /** Whether it may stay empty. */
  readonly optional: boolean;
}

/** The variables that `configText` refers to. */
export function variablesOf(provider: Provider): Variable[] {
  const optional = optionalCredentials(provider).filter(({ kind }) => kind !== 'flag');
  return [...neededCredentials(provider), ...optional].map((field) => ({
    name: variableOf(provider, field.name),
    provider,
    description: field.description,
    optional: field.optional === true,
  }));
}

/** The text of the configuration file. It passes `wakala check` once its variables are set. */
export function configText(plan: Plan): string {
  const [first] = plan.providers;
  return `# yaml-language-server: $schema=./proxy.config.schema.json
# \`wakala schema > proxy.config.schema.json\` gives your editor completion.

# Your app calls http://${plan.listen}/${first?.name ?? ''}/... without any auth code. Wakala adds the token.
listen: ${scalar(plan.listen)}
# Dashboard, metrics and health, for this machine only. \`false\` turns them off.
admin: ${scalar(DEFAULT_ADDRESSES.admin)}

# Environment of every route: sandbox or production. A route may set its own \`environment\`.
environment: ${plan.environment}

# \${NAME} is the value of an environment variable, \${file:/run/secrets/name} the text of a file.
# \`wakala dev\` needs neither. \`wakala providers NAME\` describes a provider.
routes:
${plan.providers.map((provider) => routeOf(provider, plan.upstreams[provider.name])).join('\n')}`;
}

/** The lines of .env.example: every variable without a value, and where to find the value. */
export function envText(variables: readonly Variable[]): string {
  const byProvider = Map.groupBy(variables, ({ provider }) => provider);
  const blocks = [...byProvider].map(([provider, own]) =>
    [
      `# ${provider.title}`,
      ...own.flatMap(({ name, description, optional }) => [
        `# ${description}${optional ? ' (optional)' : ''}`,
        `${name}=`,
      ]),
      '',
    ].join('\n'),
  );
  return blocks.join('\n');
}

export const ENV_HEAD = `# Copy this to .env and fill it in. Wakala reads the environment, not this file:
#   set -a; . ./.env; set +a
# Put values in single quotes in .env: the shell treats some characters specially.

`;

function routeOf(provider: Provider, upstream: string | undefined): string {
  const text = `  # ${provider.title}\n${routeText(provider)}`;
  if (upstream !== undefined) return text.replace(/(?<=^ +upstream: ).*$/m, () => scalar(upstream));
  return text.replace(/^( +)(?=upstream: )/m, '$1# An example: write the base URL of your API here.\n$1');
}

function scalar(value: string): string {
  return stringify(value, { lineWidth: 0 }).trimEnd();
}
