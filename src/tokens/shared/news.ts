import type { Clock } from '../../clock.ts';
import { ProxyError } from '../../errors.ts';
import { MAX_RETRY_AFTER_S } from '../answer.ts';
import { type TokenCipher, CipherError } from './seal.ts';

/** What a replica tells the others about its turn. `generation` is the number of the turn. */
export type StoreEvent =
  | { readonly kind: 'posted'; readonly generation: number }
  /** The exchange failed: those who wait for it need not make the same mistake one after the other. */
  | {
      readonly kind: 'failed';
      readonly generation: number;
      readonly code: 'token_denied' | 'token_unavailable';
      /** Whole seconds, up to an hour. */
      readonly retryAfterS?: number;
    };

/** Longest text that is opened, in characters. News have about 200. */
const MAX_LENGTH = 1024;

/**
 * News of a failure are believed for this long, so that nobody can replay an old failure. Replicas whose clocks differ
 * by more do not share failures: each makes its own request.
 */
const FRESH_MS = 60_000;

export interface EventContext {
  readonly seal: TokenCipher;
  /** Name of the credential on the board. */
  readonly name: string;
  readonly clock: Clock;
}

export function encryptEvent(news: StoreEvent, { seal, name, clock }: EventContext): string {
  return seal.sealJson({ ...news, sentAtMs: clock.now() }, aboutNews(name));
}

/**
 * @returns undefined for a failure that is not fresh, and for news of an unknown kind or with a value out of range
 * @throws SealError if no replica that knows the encryption key sent it
 */
export function decryptEvent(text: string, { seal, name, clock }: EventContext): StoreEvent | undefined {
  if (text.length > MAX_LENGTH) throw new CipherError('it is too long');
  const news = seal.openJson(text, aboutNews(name)) as StoreEvent & { readonly sentAtMs: number };
  const { kind, generation } = news;
  if (!Number.isSafeInteger(generation)) return undefined;
  if (kind === 'posted') return { kind, generation };
  if (kind !== 'failed' || !(Math.abs(clock.now() - news.sentAtMs) <= FRESH_MS)) return undefined;
  const { code, retryAfterS } = news;
  if (code !== 'token_denied' && code !== 'token_unavailable') return undefined;
  if (retryAfterS === undefined) return { kind, generation, code };
  const isWait = Number.isInteger(retryAfterS) && retryAfterS > 0 && retryAfterS <= MAX_RETRY_AFTER_S;
  return isWait ? { kind, generation, code, retryAfterS } : undefined;
}

/** News of the failed turn `generation`; undefined for an error that says nothing about the credential. */
export function failureEvent(error: unknown, generation: number): StoreEvent | undefined {
  if (!(error instanceof ProxyError)) return undefined;
  const code = error.code === 'token_denied' ? error.code : 'token_unavailable';
  const { retryAfterS } = error;
  return { kind: 'failed', generation, code, ...(retryAfterS === undefined ? {} : { retryAfterS }) };
}

/** The same failure for those who waited: in words of this replica, whatever the other one said. */
export function errorOf({ code, retryAfterS }: StoreEvent & { kind: 'failed' }): ProxyError {
  const what = code === 'token_denied' ? 'was refused the token' : 'requested the token and failed';
  const detail = `Another process of wakala ${what}. The log of that process has the reason.`;
  return new ProxyError(code, detail, retryAfterS === undefined ? {} : { retryAfterS });
}

/** Unlike the `name` and number of a token, so that neither opens as the other. */
function aboutNews(name: string): string {
  return `${name}\0news`;
}
