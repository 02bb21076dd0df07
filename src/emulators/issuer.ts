import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { jwtShaped } from '../providers/sample-response.ts';

/** That many random bytes. */
export type Random = (bytes: number) => Buffer;

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string | undefined;
  readonly lifetimeS: number;
  readonly issuedAtMs: number;
}

export interface IssuerOptions {
  /** Whom the tokens are for; goes into a JWT as `sub`. */
  readonly subject: string;
  readonly format: 'jwt' | 'opaque';
  readonly accessLifetimeS: number;
  /** Undefined: no refresh tokens are given out. */
  readonly refreshLifetimeS: number | undefined;
  /** A new access token kills the former one. */
  readonly singleToken: boolean;
  /** A token that was agreed on elsewhere: alive without being issued, and it never expires by itself. */
  readonly fixedToken: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

interface Lease {
  readonly expiresAtMs: number;
  /** Issued, but refused by the API from the start. */
  readonly refused: boolean;
}

/** Beyond this many, the oldest tokens are forgotten, which makes them dead. */
const MAX_TOKENS = 10_000;

/** Gives out tokens and knows which of them are alive. Talks to nobody. */
export class Issuer {
  readonly #options: IssuerOptions;
  readonly #access = new LRUCache<string, Lease>({ max: MAX_TOKENS });
  readonly #refresh = new LRUCache<string, Lease>({ max: MAX_TOKENS });
  #lifetimeS: number;
  #refuseNext = 0;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#lifetimeS = options.accessLifetimeS;
    this.restore();
  }

  issue(): IssuedTokens {
    return this.#issue(this.#options.refreshLifetimeS);
  }

  /**
   * New tokens for a refresh token, or undefined if it is dead. With `rotate` it is dead from then on and another one
   * comes with the answer; without, it stays good and none comes.
   */
  refresh(refreshToken: string, options: { readonly rotate: boolean }): IssuedTokens | undefined {
    if (!this.#alive(this.#refresh.get(refreshToken))) return undefined;
    if (!options.rotate) return this.#issue(undefined);
    this.#refresh.delete(refreshToken);
    return this.issue();
  }

  accepts(accessToken: string): boolean {
    return this.#alive(this.#access.get(accessToken));
  }

  tokensAlive(): number {
    return [...this.#access.values()].filter((lease) => this.#alive(lease)).length;
  }

  /** Back to how it began, save that tokens issued so far stay as they are. */
  restore(): void {
    const { accessLifetimeS, fixedToken } = this.#options;
    this.#lifetimeS = accessLifetimeS;
    this.#refuseNext = 0;
    if (fixedToken !== undefined) this.#access.set(fixedToken, { expiresAtMs: Infinity, refused: false });
  }

  expireAll(): void {
    this.#access.clear();
  }

  revokeRefreshTokens(): void {
    this.#refresh.clear();
  }

  /** How many of the next tokens the API refuses from the start. */
  get refuseNext(): number {
    return this.#refuseNext;
  }

  set refuseNext(count: number) {
    this.#refuseNext = count;
  }

  /** Seconds that tokens issued from now on live. */
  get lifetimeS(): number {
    return this.#lifetimeS;
  }

  set lifetimeS(seconds: number | undefined) {
    this.#lifetimeS = seconds ?? this.#options.accessLifetimeS;
  }

  #issue(refreshLifetimeS: number | undefined): IssuedTokens {
    if (this.#options.singleToken) this.#access.clear();
    const refused = this.#refuseNext > 0;
    if (refused) this.#refuseNext -= 1;
    return {
      accessToken: this.#newToken(this.#access, this.#lifetimeS, refused),
      refreshToken: refreshLifetimeS === undefined ? undefined : this.#newToken(this.#refresh, refreshLifetimeS, false),
      lifetimeS: this.#lifetimeS,
      issuedAtMs: this.#options.clock.now(),
    };
  }

  #alive(lease: Lease | undefined): boolean {
    return lease !== undefined && !lease.refused && this.#options.clock.now() < lease.expiresAtMs;
  }

  #newToken(leases: LRUCache<string, Lease>, lifetimeS: number, refused: boolean): string {
    const nowMs = this.#options.clock.now();
    const expiresAtMs = nowMs + lifetimeS * 1000;
    const token = this.#options.format === 'jwt' ? this.#jwt(nowMs, expiresAtMs) : this.#id(21);
    leases.set(token, { expiresAtMs, refused });
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
