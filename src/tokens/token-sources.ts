import { createHash } from 'node:crypto';
import { isFixed, type Provider } from '../providers/provider.ts';
import { fill, placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import type { FoundEndpoints } from './discovery.ts';
import { ExchangeStats } from './exchange-stats.ts';
import { type TokenFetcher, tokenFetcher, type TokenTransport } from './exchange.ts';
import { type CacheContext, CachedTokenSource, fixedTokenSource } from './token-source.ts';
import type { Token, TokenSource } from './token.ts';

/** What makes two routes share a token: the same provider, asked at the same place, with the same credentials. */
export interface TokenCredential {
  readonly provider: Provider;
  readonly authServer: string;
  readonly credentials: ReadonlyMap<string, Secret>;
}

interface SourcesContext extends Omit<CacheContext, 'provider' | 'stats'> {
  readonly transport: TokenTransport;
  /** Makes the replicas share what `own` asks for; `name` stands for the credential. Undefined: each on its own. */
  readonly share?: ((own: TokenFetcher, name: string, provider: string) => TokenFetcher) | undefined;
  /** Gets every token endpoint that an issuer names, before a token that is issued there can be used. */
  readonly foundEndpoints?: FoundEndpoints | undefined;
}

/**
 * One token source for each credential. A source lives as long as a configuration uses it: `retain` closes the others.
 * There is no other bound, since each source belongs to a route in the configuration.
 */
export class TokenSources {
  readonly #context: SourcesContext;
  readonly #byCredential = new Map<string, TokenSource>();

  constructor(context: SourcesContext) {
    this.#context = context;
  }

  for(use: TokenCredential): TokenSource {
    const key = keyOf(use);
    const known = this.#byCredential.get(key);
    if (known !== undefined) return known;
    const source = this.#make(use, key);
    this.#byCredential.set(key, source);
    return source;
  }

  /** Closes every source that is not in `used`: no route of the configuration has its credential. */
  retain(used: ReadonlySet<TokenSource>): void {
    for (const [key, source] of this.#byCredential) {
      if (used.has(source)) continue;
      source.close();
      this.#byCredential.delete(key);
    }
  }

  close(): void {
    this.retain(new Set());
  }

  #make(use: TokenCredential, name: string): TokenSource {
    const { provider, credentials } = use;
    if (isFixed(provider.token)) {
      const key = fill(provider.token.fixed, (name) => credentials.get(name)?.reveal());
      return fixedTokenSource(new Secret(key), this.#context.clock.now());
    }
    const stats = new ExchangeStats();
    const own = tokenFetcher({ ...use, ...this.#context, token: provider.token, stats: stats });
    const shared = this.#context.share?.(own, name, provider.name);
    const fetcher = shared === undefined ? own : adding(shared, this.#context.foundEndpoints);
    return new CachedTokenSource(fetcher, { ...this.#context, provider: provider.name, stats: stats });
  }
}

/** An fetcher that also records the token endpoints that come with a token from another process. */
function adding(fetcher: TokenFetcher, endpoints: FoundEndpoints | undefined): TokenFetcher {
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
 * Everything that the token depends on, hashed, so that no secret lies in a key. A credential that only a header of the
 * route uses makes no other token.
 */
function keyOf(use: TokenCredential): string {
  const { provider, authServer, credentials } = use;
  const { name, token, refresh, defaultLifetimeS, deniedToken } = provider;
  const definition = JSON.stringify([name, token, refresh, defaultLifetimeS, ...(deniedToken ? [deniedToken] : [])]);
  const asked = new Set(placeholdersIn(definition));
  const values = [...credentials]
    .filter(([name]) => asked.has(name))
    .map(([name, secret]) => [name, secret.reveal()])
    .sort();
  return createHash('sha256')
    .update(JSON.stringify([definition, authServer, values]))
    .digest('hex');
}
