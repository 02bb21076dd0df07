import { DEFAULTS } from '../../config/defaults.ts';
import { validateConfig } from '../../config/load.ts';
import { didYouMean } from '../../config/nearest.ts';
import type { Environment, Provider } from '../../providers/provider.ts';
import { providerNamed, providers } from '../../providers/registry.ts';
import { configText, variablesOf } from './texts.ts';

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
export const UNASKED = { environment: DEFAULTS.environment, listen: DEFAULTS.listen, upstreams: {} } as const;

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
