import { defaultOf, isFixed, type Provider } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import { Secret } from '../secret.ts';

/**
 * The credentials an emulator of this provider accepts, by field name. Secrets are made from the names alone, so they
 * are the same after every restart: `emulated-mpesa-consumer-key`. What is no secret is as the sandbox has it.
 */
export function emulatedCredentials(provider: Provider): ReadonlyMap<string, Secret> {
  return new Map(
    provider.credentials.map((field) => {
      const made = `emulated-${provider.name}-${field.name}`.replaceAll('_', '-');
      return [field.name, new Secret(defaultOf(field, 'sandbox') ?? field.example ?? made)];
    }),
  );
}

/** The one token of a provider whose token is a credential; undefined where tokens are asked for. */
export function fixedTokenOf(provider: Provider): string | undefined {
  if (!isFixed(provider.token)) return undefined;
  const credentials = emulatedCredentials(provider);
  return fill(provider.token.fixed, (name) => credentials.get(name)?.reveal());
}
