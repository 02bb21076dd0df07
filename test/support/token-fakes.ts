import { inspect } from 'node:util';
import { expect } from 'vitest';
import { ProxyError } from '../../src/errors.ts';
import type { Log, LogEvent, LogFields } from '../../src/logger.ts';
import type { Secret } from '../../src/secret.ts';
import type { TokenFetcher } from '../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../src/tokens/exchange-stats.ts';
import { makeToken, type Token, type TokenCall } from '../../src/tokens/token.ts';
import { CachedTokenSource } from '../../src/tokens/token-source.ts';
import { ManualClock } from './manual-clock.ts';

export interface LogLine {
  readonly level: keyof Log;
  readonly event: LogEvent;
  readonly fields: LogFields;
}

/** A log that keeps its lines. */
export class LogLines implements Log {
  readonly lines: LogLine[] = [];
  readonly debug = this.#keeping('debug');
  readonly info = this.#keeping('info');
  readonly warn = this.#keeping('warn');
  readonly error = this.#keeping('error');

  get events(): LogEvent[] {
    return this.lines.map(({ event }) => event);
  }

  #keeping(level: keyof Log) {
    return (event: LogEvent, fields: LogFields = {}): void => {
      this.lines.push({ level, event, fields });
    };
  }
}

/** Everything that printing a value can show, including hidden properties and cause chains. */
export function printed(value: unknown): string {
  const everything = { depth: Infinity, showHidden: true, getters: true, maxStringLength: null, maxArrayLength: null };
  const stack = value instanceof Error ? String(value.stack) : '';
  return [inspect(value, everything), inspect(value, { depth: Infinity }), JSON.stringify(value), stack].join('\n');
}

/** Fails if `value` shows a secret in any spelling in which it may have been sent. */
export function expectNoSecret(value: unknown, ...secrets: readonly string[]): void {
  const text = printed(value);
  const spellings = secrets.flatMap((secret) => [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
  ]);
  expect(spellings.flatMap((spelling) => around(text, spelling))).toEqual([]);
}

function around(text: string, spelling: string): string[] {
  const at = text.indexOf(spelling);
  return at === -1 ? [] : [text.slice(Math.max(0, at - 80), at + spelling.length + 20)];
}

/** The reason a promise was rejected with; fails if it was not, or not with a `ProxyError`. */
export async function refusalOf(promise: Promise<unknown>): Promise<ProxyError> {
  const reason: unknown = await promise.then(
    (value) => {
      throw new Error(`expected a refusal, got ${inspect(value)}`);
    },
    (error: unknown) => error,
  );
  if (!(reason instanceof ProxyError)) throw reason;
  return reason;
}

/** Fetches each token by a script, or waits until `resolve` or `reject` is called. */
export class FakeFetcher implements TokenFetcher {
  /** The refresh token of each fetch. */
  readonly requests: (string | undefined)[] = [];
  /** The result of the `n`th fetch, counted from 1. Undefined leaves it waiting. */
  script: ((n: number) => Token | Error) | undefined;
  readonly #waiting: PromiseWithResolvers<Token>[] = [];

  constructor(script?: (n: number) => Token | Error) {
    this.script = script;
  }

  get count(): number {
    return this.requests.length;
  }

  async fetch(refreshToken: Secret | undefined): Promise<Token> {
    this.requests.push(refreshToken?.reveal());
    const response = this.script?.(this.count);
    if (response instanceof Error) throw response;
    if (response !== undefined) return response;
    const waiting = Promise.withResolvers<Token>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  resolve(token: Token): void {
    this.#waiting.shift()?.resolve(token);
  }

  reject(error: Error): void {
    this.#waiting.shift()?.reject(error);
  }
}

export const DOWN = new ProxyError('token_unavailable', 'The token request failed.');

/** A cached source on a manual clock. `chance.value` is the value of its `random`. */
export function cached(script?: (n: number, bench: { clock: ManualClock }) => Token | Error) {
  const clock = new ManualClock();
  const log = new LogLines();
  const chance = { value: 0 };
  const fetcher = new FakeFetcher(script === undefined ? undefined : (n) => script(n, { clock }));
  const source = new CachedTokenSource(fetcher, {
    provider: 'mpesa',
    clock,
    log,
    random: () => chance.value,
    stats: new ExchangeStats(),
  });
  return { fetcher, chance, clock, log, source };
}

/** A call that was sent at `sentAtMs`. */
export function callOf(method: string, path: string, sentAtMs = 0, client?: string): TokenCall {
  return { client, method, path, sentAtMs };
}

/** A token named `name`, issued now. */
export function tokenOf(
  clock: ManualClock,
  name: string,
  { lifetimeMs = 3_600_000, refreshToken }: { lifetimeMs?: number; refreshToken?: string } = {},
): Token {
  return makeToken(name, refreshToken, { lifetimeMs, source: 'expires_in' }, clock.now());
}
