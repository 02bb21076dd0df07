import { createHash } from 'node:crypto';
import { connectionKey, type ConnectOptions } from '../http/client/connect-options.ts';
import { hasToken, isRequested, type Provider } from '../providers/provider.ts';
import { fill, placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import type { DiscoveredEndpoints } from './discovery.ts';
import { ProviderTokenFetcher, type TokenFetcher, type TokenRequester, type TokenTransport } from './exchange.ts';
import { ExchangeStats } from './exchange-stats.ts';
import type { Token, TokenSource } from './token.ts';
import { type CacheContext, CachedTokenSource, fixedTokenSource, NO_TOKEN_SOURCE } from './token-source.ts';

/** What a token depends on, and the time limit of its exchange. Routes with the same credential share one source. */
export interface TokenCredential {
  readonly provider: Provider;
  readonly authServer: string;
  readonly credentials: ReadonlyMap<string, Secret>;
  /** How connections to the token endpoint and to the issuer are made. Default: directly. */
  readonly tokenConnection?: ConnectOptions | undefined;
  /** Time limit of one exchange. The token does not depend on it: of routes that share a source, the longest counts. */
  readonly tokenTimeoutMs: number;
}

interface SourcesContext extends Omit<CacheContext, 'provider' | 'stats' | 'initial'> {
  readonly transport: TokenTransport;
  /** Makes a fetcher share its tokens with the other replicas; `name` stands for the credential. */
  readonly share?: ((fetcher: TokenRequester, name: string, provider: string) => TokenFetcher) | undefined;
  /** Gets every token endpoint that an issuer names, before a token from there can be used. */
  readonly discoveredEndpoints?: DiscoveredEndpoints | undefined;
}

/**
 * One token source for each credential and way to its token endpoint. A source lives as long as a configuration uses it:
 * `retain` closes the others. There is no other bound, since each source belongs to a route in the configuration.
 */
export class TokenSources {
  readonly #context: SourcesContext;
  /** By `nameOf`, then by the connection to the token endpoint. */
  readonly #byCredential = new Map<string, Map<string, KnownSource>>();
  /** By `nameOf`: how its sources take over a token. */
  readonly #adopters = new Map<string, Set<(token: Token) => void>>();

  constructor(context: SourcesContext) {
    this.#context = context;
  }

  for(credential: TokenCredential): TokenSource {
    const name = nameOf(credential);
    const byConnection = this.#byCredential.get(name) ?? new Map<string, KnownSource>();
    this.#byCredential.set(name, byConnection);
    const key = connectionKey(credential.tokenConnection ?? {});
    let known = byConnection.get(key);
    if (known === undefined) {
      const [other] = byConnection.values();
      known = this.#make(credential, name, other?.source.status().token);
      byConnection.set(key, known);
    }
    const { source, requester } = known;
    if (requester !== undefined) requester.timeoutMs = Math.max(requester.timeoutMs, credential.tokenTimeoutMs);
    return source;
  }

  /**
   * Closes every source that is not in `used`: no route of the configuration has its credential.
   * @param used with the longest `tokenTimeoutMs` of its routes, which applies from the next exchange on
   */
  retain(used: ReadonlyMap<TokenSource, number>): void {
    for (const [name, byConnection] of this.#byCredential) {
      for (const [key, { source, requester }] of byConnection) {
        const timeoutMs = used.get(source);
        if (timeoutMs === undefined) {
          source.close();
          byConnection.delete(key);
        } else if (requester !== undefined) {
          requester.timeoutMs = timeoutMs;
        }
      }
      if (byConnection.size === 0) this.#byCredential.delete(name);
    }
  }

  close(): void {
    this.retain(new Map());
  }

  /** @param initial the token that another connection to the token endpoint got for this credential */
  #make(credential: TokenCredential, name: string, initial: Token | undefined): KnownSource {
    const { provider, credentials } = credential;
    const { token } = provider;
    if (!hasToken(token)) return { source: NO_TOKEN_SOURCE, requester: undefined };
    if (!isRequested(token)) {
      const key = fill(token.fixed, (name) => credentials.get(name)?.reveal());
      return { source: fixedTokenSource(new Secret(key), this.#context.clock.now()), requester: undefined };
    }
    const stats = new ExchangeStats();
    const requester = new ProviderTokenFetcher({ ...credential, ...this.#context, token, stats });
    const shared = this.#context.share?.(requester, name, provider.name);
    const fetcher =
      shared === undefined
        ? this.#passingOn(requester, name)
        : recordingEndpoints(shared, this.#context.discoveredEndpoints);
    return {
      source: new CachedTokenSource(fetcher, { ...this.#context, provider: provider.name, stats, initial }),
      requester,
    };
  }

  /**
   * A fetcher that passes its tokens on to the other sources of this credential. With providers that keep one token for
   * each credential, theirs are dead by then.
   */
  #passingOn(requester: ProviderTokenFetcher, name: string): TokenFetcher {
    const adopters = this.#adopters.get(name) ?? new Set();
    this.#adopters.set(name, adopters);
    let own: ((token: Token) => void) | undefined;
    return {
      fetch: async (refreshToken, after) => {
        const token = await requester.fetch(refreshToken, after);
        for (const adopt of adopters) if (adopt !== own) adopt(token);
        return token;
      },
      watch: (adopt) => {
        own = adopt;
        adopters.add(adopt);
        return () => {
          adopters.delete(adopt);
          if (adopters.size === 0) this.#adopters.delete(name);
        };
      },
    };
  }
}

interface KnownSource {
  readonly source: TokenSource;
  /** Undefined for a fixed key, and without a token. */
  readonly requester: ProviderTokenFetcher | undefined;
}

/** A fetcher that also records the token endpoints that come with a token of another process. */
function recordingEndpoints(fetcher: TokenFetcher, endpoints: DiscoveredEndpoints | undefined): TokenFetcher {
  if (endpoints === undefined) return fetcher;
  const add = (token: Token) => {
    for (const url of token.endpoints ?? []) endpoints.add(url);
    return token;
  };
  return {
    fetch: async (refreshToken, after) => add(await fetcher.fetch(refreshToken, after)),
    watch: (adopt) => fetcher.watch?.((token) => adopt(add(token))) ?? (() => {}),
  };
}

/**
 * A hash of everything that the token depends on. All replicas must compute the same key. A credential field that only
 * headers of API calls use is not part of it.
 */
function nameOf(credential: TokenCredential): string {
  const { provider, authServer, credentials, tokenConnection = {} } = credential;
  const { name, token, refresh, defaultLifetimeS, deniedToken } = provider;
  const definition = JSON.stringify([name, token, refresh, defaultLifetimeS, ...(deniedToken ? [deniedToken] : [])]);
  const usedFields = new Set(placeholdersIn(definition));
  const values = [...credentials]
    .filter(([name]) => usedFields.has(name))
    .map(([name, secret]) => [name, secret.reveal()])
    .sort();
  // A token may be bound to the client certificate that was presented for it (RFC 8705 3), and one address may have
  // several servers by name. How else the token endpoint is reached makes no difference.
  const { cert, key, pfx } = tokenConnection.tls ?? {};
  const { tokenHostHeader } = tokenConnection;
  const identity = connectionKey({ tls: { cert, key, pfx }, tokenHostHeader });
  return createHash('sha256')
    .update(JSON.stringify([definition, authServer, values, ...(identity === '' ? [] : [identity])]))
    .digest('hex');
}
