import type { ErrorCode, Reason } from '../errors.ts';

/** How a token was asked for: with the credentials, or with a refresh token. */
export type Grant = 'credentials' | 'refresh';

/** What came of it: a token, a refusal of what was sent, or no sensible answer. */
type ExchangeOutcome = 'ok' | 'denied' | 'unavailable';

/** Counts of what one credential's token endpoint was asked and answered, since the process began. */
export class ExchangeStats {
  readonly counts: Readonly<Record<Grant, Record<ExchangeOutcome, number>>> = {
    credentials: { ok: 0, denied: 0, unavailable: 0 },
    refresh: { ok: 0, denied: 0, unavailable: 0 },
  };
  /**
   * How far the token endpoint's clock is ahead of this machine's, as its last `Date` header told it. Milliseconds,
   * good to a second or two; undefined if it sent none.
   */
  clockSkewMs: number | undefined;

  add(grant: Grant, outcome: ExchangeOutcome): void {
    this.counts[grant][outcome] += 1;
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, { ok, denied, unavailable }) => sum + ok + denied + unavailable, 0);
  }
}

/** Why there is no new token. */
export interface TokenFailure {
  readonly code: ErrorCode;
  /** For people: what happened. */
  readonly detail: string;
  /** Undefined if another process failed that did not say why. */
  readonly reason: Reason | undefined;
  /** Epoch milliseconds. */
  readonly atMs: number;
}

/** A call that the provider refused with a fresh token as well. */
export interface RefusedCall {
  /** Name of the client; undefined where there is no `clients` list. */
  readonly client: string | undefined;
  /** `POST /mpesa/b2c/v1/paymentrequest` */
  readonly call: string;
  /** Until then its refusals force no exchange. Epoch milliseconds. */
  readonly untilMs: number;
}
