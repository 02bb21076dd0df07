import type { ErrorCode, Reason } from '../errors.ts';

/** What was exchanged for a token: the credentials, or a refresh token. */
export type Grant = 'credentials' | 'refresh';

/** A token, a refusal, or no usable response. */
type ExchangeOutcome = 'ok' | 'denied' | 'unavailable';

/** Counts the exchanges of one credential since the process started. */
export class ExchangeStats {
  readonly counts: Readonly<Record<Grant, Record<ExchangeOutcome, number>>> = {
    credentials: { ok: 0, denied: 0, unavailable: 0 },
    refresh: { ok: 0, denied: 0, unavailable: 0 },
  };
  /**
   * How far the token endpoint's clock is ahead of this machine's, in milliseconds, to a second or two. From the `Date`
   * header of the last response; undefined if that had none.
   */
  clockSkewMs: number | undefined;

  add(grant: Grant, outcome: ExchangeOutcome): void {
    this.counts[grant][outcome] += 1;
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, { ok, denied, unavailable }) => sum + ok + denied + unavailable, 0);
  }
}

/** Why the last exchange failed. */
export interface TokenFailure {
  readonly code: ErrorCode;
  /** What happened, as a sentence. */
  readonly detail: string;
  /** Undefined if another process failed that did not say why. */
  readonly reason: Reason | undefined;
  /** Epoch milliseconds. */
  readonly atMs: number;
}

/** A call that the provider refused with a fresh token too. */
export interface RefusedCall {
  /** Name of the client; undefined where there is no `clients` list. */
  readonly client: string | undefined;
  /** `POST /mpesa/b2c/v1/paymentrequest` */
  readonly call: string;
  /** Until then, refusals of this call force no exchange. Epoch milliseconds. */
  readonly untilMs: number;
}
