import {
  credentialDefault,
  type CredentialField,
  type Exchange,
  isRequested,
  type OAuth2,
  type Provider,
} from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from './emulated-keys.ts';

/**
 * The provider with absolute token URLs moved to the emulator at `authUrl`, which serves them under the same path.
 * Relative URLs stay: they are resolved against the auth server of the route.
 */
export function withExchangesAt(provider: Provider, authUrl: string): Provider {
  const { origin } = new URL(authUrl);
  const move = (exchange: Exchange): Exchange => ({
    ...exchange,
    request: {
      ...exchange.request,
      path: exchange.request.path.replace(/^https?:\/\/[^/?]+/i, origin),
      ...(exchange.request.oauth2 && { oauth2: withoutIssuerAndKeys(exchange.request.oauth2) }),
    },
  });
  return {
    ...provider,
    token: isRequested(provider.token) ? move(provider.token) : provider.token,
    ...(provider.refresh && { refresh: move(provider.refresh) }),
  };
}

/** An emulator serves no issuer metadata and checks neither client assertions nor client certificates. */
function withoutIssuerAndKeys({ clientAuth, resources }: OAuth2): OAuth2 {
  return { clientAuth, ...(resources && { resources }) };
}

/**
 * The credentials that an emulator of this provider accepts, by field name. A key is the emulated one, and a flag is on.
 * A field with a sandbox default or an example has that value. Others are built from names
 * (`emulated-mpesa-consumer-key`), so they survive a restart.
 */
export function emulatedCredentials(provider: Provider): ReadonlyMap<string, Secret> {
  return new Map(
    provider.credentials.map((field) => {
      const generated = `emulated-${provider.name}-${field.name}`.replaceAll('_', '-');
      const known = EMULATED_BY_KIND[field.kind ?? 'text'] ?? credentialDefault(field, 'sandbox') ?? field.example;
      return [field.name, new Secret(known ?? generated)];
    }),
  );
}

const EMULATED_BY_KIND: Readonly<Record<NonNullable<CredentialField['kind']>, string | undefined>> = {
  text: undefined,
  flag: 'true',
  private_key: EMULATED_PRIVATE_KEY,
  public_key: EMULATED_PUBLIC_KEY,
};

/** The token of a provider whose token is one of its credentials; undefined for a provider with a token endpoint. */
export function fixedTokenOf(provider: Provider): string | undefined {
  if (!('fixed' in provider.token)) return undefined;
  const credentials = emulatedCredentials(provider);
  return fill(provider.token.fixed, (name) => credentials.get(name)?.reveal());
}
