import { defaultOf, type Exchange, isFixed, type OAuth2, type Provider } from '../providers/provider.ts';
import { fill } from '../providers/template.ts';
import { Secret } from '../secret.ts';

/**
 * The provider with exchanges that name a whole URL moved to the emulator at `authUrl`, which serves them under the
 * same path. Exchanges that are relative stay as they are: they follow the auth server of the route.
 */
export function withExchangesAt(provider: Provider, authUrl: string): Provider {
  const { origin } = new URL(authUrl);
  const moved = (exchange: Exchange): Exchange => ({
    ...exchange,
    request: {
      ...exchange.request,
      path: exchange.request.path.replace(/^https?:\/\/[^/?]+/i, origin),
      ...(exchange.request.oauth2 && { oauth2: emulable(exchange.request.oauth2) }),
    },
  });
  return {
    ...provider,
    token: isFixed(provider.token) ? provider.token : moved(provider.token),
    ...(provider.refresh && { refresh: moved(provider.refresh) }),
  };
}

/** Without an issuer, whose metadata is elsewhere, and without what takes a real key: signatures and certificates. */
function emulable({ clientAuth, resources }: OAuth2): OAuth2 {
  return { clientAuth, ...(resources && { resources }) };
}

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
