import { stringify } from 'yaml';
import { didYouMean } from '../../config/diagnostics.ts';
import { validateConfig } from '../../config/load.ts';
import { DEFAULT_ADDRESSES, DEFAULTS } from '../../config/schema.ts';
import { neededCredentials, routeText, variableOf } from '../../config/starter.ts';
import type { Environment, Provider } from '../../providers/provider.ts';
import { providerNamed, providers } from '../../providers/registry.ts';

/** What the configuration to be written says. */
export interface Plan {
  readonly providers: readonly Provider[];
  readonly environment: Environment;
  /** `host:port`. */
  readonly listen: string;
  /** Base URLs of providers without hosts of their own, by name; an example stands for one that is missing. */
  readonly upstreams: Readonly<Record<string, string>>;
}

/** What the user did not say. */
export const UNASKED = { environment: DEFAULTS.environment, listen: DEFAULT_ADDRESSES.listen, upstreams: {} } as const;

/** Providers by name, each once; names may be joined by commas or blanks. */
export function providersNamed(texts: readonly string[]): readonly Provider[] | { readonly problem: string } {
  const names = texts.flatMap((text) => text.split(/[\s,]+/)).filter((name) => name !== '');
  const found = new Set<Provider>();
  for (const name of names) {
    const provider = providerNamed(name.toLowerCase());
    if (provider === undefined) return { problem: `no provider is named \`${name}\`${hintFor(name)}` };
    found.add(provider);
  }
  return [...found];
}

/** The first problem that `wakala check` would find once the variables are set. */
export function problemOf(plan: Plan): string | undefined {
  const env = Object.fromEntries(plan.providers.flatMap(variablesOf).map(({ name }) => [name, 'x']));
  const { problems } = validateConfig('proxy.config.yaml', { env, readFile: () => configText(plan) });
  return problems[0]?.message;
}

function hintFor(name: string): string {
  const names = providers.map((provider) => provider.name);
  return didYouMean(name, names) || `; there are ${names.join(', ')}`;
}

/** An environment variable that the configuration refers to. */
interface Variable {
  readonly name: string;
  readonly provider: Provider;
  /** Where the user finds its value, in the provider's own words. */
  readonly description: string;
}

/** Those that the file of `configText` refers to; a credential that may be left out stands there as a comment. */
export function variablesOf(provider: Provider): Variable[] {
  return neededCredentials(provider).map(({ name, description }) => ({
    name: variableOf(provider, name),
    provider,
    description,
  }));
}

/** The configuration file. It passes `wakala check` once its variables are set. */
export function configText(plan: Plan): string {
  const [first] = plan.providers;
  return `# yaml-language-server: $schema=./proxy.config.schema.json
# \`wakala schema > proxy.config.schema.json\` gives your editor completion.

# Your app calls http://${plan.listen}/${first?.name ?? ''}/... without any auth code; Wakala puts the token on the call.
listen: ${scalar(plan.listen)}
# Dashboard, metrics and health, for this machine only; \`false\` turns them off.
admin: ${scalar(DEFAULT_ADDRESSES.admin)}

# Which hosts every route uses, sandbox or production; a route may have an \`environment\` of its own.
environment: ${plan.environment}

# \${NAME} comes from an environment variable; \${file:/run/secrets/name} would come from a file.
# \`wakala dev\` needs none of them. \`wakala providers NAME\` tells all about a provider.
routes:
${plan.providers.map((provider) => routeOf(provider, plan.upstreams[provider.name])).join('\n')}`;
}

/** What goes into .env.example about these variables: every one empty, and where its value is found. */
export function envText(variables: readonly Variable[]): string {
  const byProvider = Map.groupBy(variables, ({ provider }) => provider);
  const blocks = [...byProvider].map(([provider, own]) =>
    [`# ${provider.title}`, ...own.flatMap(({ name, description }) => [`# ${description}`, `${name}=`]), ''].join('\n'),
  );
  return blocks.join('\n');
}

export const ENV_HEAD = `# Copy this to .env and fill it in. Wakala reads the environment, not this file:
#   set -a; . ./.env; set +a
# In .env, put values in single quotes: the shell that reads them may take other characters for its own.

`;

function routeOf(provider: Provider, upstream: string | undefined): string {
  const text = `  # ${provider.title}\n${routeText(provider)}`;
  if (upstream !== undefined) return text.replace(/(?<=^ +upstream: ).*$/m, () => scalar(upstream));
  return text.replace(/^( +)(?=upstream: )/m, '$1# An example: put the base URL of your API here.\n$1');
}

function scalar(value: string): string {
  return stringify(value, { lineWidth: 0 }).trimEnd();
}
