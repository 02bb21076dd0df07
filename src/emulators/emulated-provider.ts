import {
  credentialDefault,
  type CredentialField,
  type Exchange,
  isRequested,
  type OAuth2,
  type Provider,
} from '../providers/provider.ts';
import type { DerivedValue, KeyEncoding } from '../providers/sign-rule.ts';
import { fill, placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import { EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY, newPrivateKey } from './emulated-keys.ts';

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
  const keys = keysInUse(provider);
  return new Map(
    provider.credentials.map((field) => {
      const generated = `emulated-${provider.name}-${field.name}`.replaceAll('_', '-');
      const key = EMULATED_BY_KIND[field.kind ?? 'text'] ?? keys.get(field.name);
      const known = key ?? credentialDefault(field, 'sandbox') ?? field.example;
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

/** Keys for the credentials that rules use as keys. The credentials of a route without built-in provider have no kind. */
function keysInUse({ token, refresh, tokenHeader, sign = [] }: Provider): ReadonlyMap<string, string> {
  const requests = [...(isRequested(token) ? [token.request] : []), ...(refresh ? [refresh.request] : [])];
  const values = [...requests, ...sign].flatMap((each) => Object.values(each.values ?? {}));
  const keys = new Map<string, string>();
  for (const value of [...values, ...(tokenHeader?.value ? [tokenHeader.value] : [])]) {
    const key = emulatedKeyOf(value);
    if (key !== undefined) for (const name of placeholdersIn(value.key ?? '')) keys.set(name, key);
    const iv = encodedBytes(16, value.key_encoding);
    for (const name of placeholdersIn(value.iv ?? '')) keys.set(name, iv);
  }
  return keys;
}

/** A key that the function accepts. Undefined: any text. */
function emulatedKeyOf(value: DerivedValue): string | undefined {
  if (value.rsa_encrypt !== undefined) return EMULATED_PUBLIC_KEY;
  if (value.rsa_sha256 !== undefined || value.rsa_pss_sha256 !== undefined) return EMULATED_PRIVATE_KEY;
  if (value.ecdsa_sha256 !== undefined) return newPrivateKey('P-256');
  if (value.ecdsa_sha512 !== undefined) return newPrivateKey('P-521');
  if (value.ed25519 !== undefined) return newPrivateKey('Ed25519');
  const isText = value.aes_256_cbc === undefined && (value.key_encoding ?? 'utf8') === 'utf8';
  return isText ? undefined : encodedBytes(32, value.key_encoding);
}

function encodedBytes(length: number, encoding: KeyEncoding = 'utf8'): string {
  return Buffer.alloc(length, 'emulated').toString(encoding);
}

/** The token of a provider whose token is one of its credentials; undefined for a provider with a token endpoint. */
export function fixedTokenOf(provider: Provider): string | undefined {
  if (!('fixed' in provider.token)) return undefined;
  const credentials = emulatedCredentials(provider);
  return fill(provider.token.fixed, (name) => credentials.get(name)?.reveal());
}
