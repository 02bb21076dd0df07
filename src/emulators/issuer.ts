import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { jwtShaped } from '../providers/sample-response.ts';

/** Returns the given number of random bytes. */
export type Random = (bytes: number) => Buffer;

interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  readonly lifetimeS: number;
  readonly issuedAtMs: number;
}

export interface IssuerOptions {
  /** The claim `sub` of JWTs. */
  readonly subject: string;
  readonly format: 'jwt' | 'opaque';
  readonly accessLifetimeS: number;
  /** Undefined: no refresh tokens are issued. */
  readonly refreshLifetimeS: number | undefined;
  /** A new access token invalidates the previous one. */
  readonly singleToken: boolean;
  /** A token that is valid without being issued and that does not expire: the key of a provider with a fixed token. */
  readonly fixedToken: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

interface TokenEntry {
  readonly expiresAtMs: number;
  /** The API refuses this token although it was issued. */
  readonly isRefused: boolean;
}

/** The least recently used tokens beyond this number become invalid. */
const MAX_TOKENS = 10_000;

/** Issues tokens and knows which of them are valid. */
export class Issuer {
  readonly #options: IssuerOptions;
  readonly #access = new LRUCache<string, TokenEntry>({ max: MAX_TOKENS });
  readonly #refresh = new LRUCache<string, TokenEntry>({ max: MAX_TOKENS });
  #lifetimeS: number;
  /** How many of the next access tokens the API will refuse. */
  refuseNext = 0;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#lifetimeS = options.accessLifetimeS;
    this.reset();
  }

  issue(): IssuedTokens {
    return this.#issue(this.#options.refreshLifetimeS);
  }

  /**
   * New tokens for a refresh token; undefined if the refresh token is invalid. `rotate` replaces the refresh token;
   * without it, the refresh token stays valid and no other is issued.
   */
  refresh(refreshToken: string, options: { readonly rotate: boolean }): IssuedTokens | undefined {
    if (!this.#isAlive(this.#refresh.get(refreshToken))) return undefined;
    if (!options.rotate) return this.#issue(undefined);
    this.#refresh.delete(refreshToken);
    return this.issue();
  }

  accepts(accessToken: string): boolean {
    return this.#isAlive(this.#access.get(accessToken));
  }

  liveTokenCount(): number {
    return [...this.#access.values()].filter((entry) => this.#isAlive(entry)).length;
  }

  /** Removes all faults. Issued tokens stay. */
  reset(): void {
    const { accessLifetimeS, fixedToken } = this.#options;
    this.#lifetimeS = accessLifetimeS;
    this.refuseNext = 0;
    if (fixedToken !== undefined) this.#access.set(fixedToken, { expiresAtMs: Infinity, isRefused: false });
  }

  expireAll(): void {
    this.#access.clear();
  }

  revokeRefreshTokens(): void {
    this.#refresh.clear();
  }

  /** Lifetime of the next access tokens, in seconds. */
  get lifetimeS(): number {
    return this.#lifetimeS;
  }

  set lifetimeS(seconds: number | undefined) {
    this.#lifetimeS = seconds ?? this.#options.accessLifetimeS;
  }

  #issue(refreshLifetimeS: number | undefined): IssuedTokens {
    if (this.#options.singleToken) this.#access.clear();
    const isRefused = this.refuseNext > 0;
    if (isRefused) this.refuseNext -= 1;
    return {
      accessToken: this.#newToken(this.#access, this.#lifetimeS, isRefused),
      refreshToken: refreshLifetimeS === undefined ? undefined : this.#newToken(this.#refresh, refreshLifetimeS, false),
      lifetimeS: this.#lifetimeS,
      issuedAtMs: this.#options.clock.now(),
    };
  }

  #isAlive(entry: TokenEntry | undefined): boolean {
    return entry !== undefined && !entry.isRefused && this.#options.clock.now() < entry.expiresAtMs;
  }

  #newToken(entries: LRUCache<string, TokenEntry>, lifetimeS: number, isRefused: boolean): string {
    const nowMs = this.#options.clock.now();
    const expiresAtMs = nowMs + lifetimeS * 1000;
    const token = this.#options.format === 'jwt' ? this.#jwt(nowMs, expiresAtMs) : this.#id(21);
    entries.set(token, { expiresAtMs, isRefused });
    return token;
  }

  #jwt(nowMs: number, expiresAtMs: number): string {
    return jwtShaped({
      iss: 'wakala-emulator',
      sub: this.#options.subject,
      iat: Math.floor(nowMs / 1000),
      ...(Number.isFinite(expiresAtMs) ? { exp: Math.floor(expiresAtMs / 1000) } : {}),
      jti: this.#id(12),
    });
  }

  #id(bytes: number): string {
    return this.#options.random(bytes).toString('base64url');
  }
}
