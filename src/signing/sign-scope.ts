import { normalizeHeaderName } from '../http/header-list.ts';
import { DEFAULT_TOKEN_HEADER, hasToken, isRequested, type Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import type { SignScope } from './rule.ts';

/**
 * What the rules of a route may depend on. A credential without a value is known, but was left out in a configuration
 * that is emulated.
 */
export function signScopeOf(provider: Provider, credentials: ReadonlyMap<string, Secret | undefined>): SignScope {
  const isWithToken = hasToken(provider.token);
  const { name } = provider.tokenHeader ?? DEFAULT_TOKEN_HEADER;
  const issued = isRequested(provider.token) ? Object.keys(provider.token.response.headers ?? {}) : [];
  return {
    credentials,
    publicCredentials: new Set(provider.credentials.filter(({ secret }) => !secret).map((field) => field.name)),
    names: isWithToken ? ['access_token'] : [],
    hasRequest: true,
    tokenHeaders: new Set(isWithToken ? [name, ...issued].map(normalizeHeaderName) : []),
    maySetAuthorization: !isWithToken,
    hasTokenInQuery: provider.tokenQuery !== undefined,
  };
}
