import { type Exchange, isFixed, type OAuth2, type Provider } from '../providers/provider.ts';

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
