import { type ClientRequest, type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';
import { isLoopbackAddress } from '../http/ip-address.ts';
import type { JsonObject, JsonValue } from '../json.ts';

/** The result of one callback. */
export interface CallbackReport {
  readonly provider: string;
  readonly url: string;
  /** Status of the response; absent if there was none. */
  readonly status?: number;
  readonly error?: string;
}

interface CallbacksOptions {
  readonly provider: string;
  readonly clock: Clock;
  readonly delayMs: number;
  readonly onCallback: (report: CallbackReport) => void;
}

const TIMEOUT_MS = 5_000;
const MAX_REPORTS = 50;
const NOT_LOOPBACK = 'not delivered: not a loopback address';

/** Sends the callbacks of an emulated provider, after a delay and only to this machine. Does not follow redirects. */
export class Callbacks {
  readonly #options: CallbacksOptions;
  readonly #reports: CallbackReport[] = [];
  readonly #cancels = new Set<() => void>();

  constructor(options: CallbacksOptions) {
    this.#options = options;
  }

  /** `body` is called when the callback is sent. `headers` gets the bytes of the body, to sign them. */
  send(url: string, body: () => JsonObject, headers: (bytes: Buffer) => Record<string, string> = () => ({})): void {
    if (!isLoopbackUrl(url)) {
      this.#report(url, { error: NOT_LOOPBACK });
      return;
    }
    const cancel = this.#options.clock.after(this.#options.delayMs, () => {
      this.#cancels.delete(cancel);
      const bytes = Buffer.from(JSON.stringify(body()));
      this.#deliver(new URL(url), bytes, headers(bytes));
    });
    this.#cancels.add(cancel);
  }

  /** The latest reports, newest first. */
  recent(): readonly JsonValue[] {
    return this.#reports.map(({ url, status, error }) => ({ url, status: status ?? null, error: error ?? null }));
  }

  /** Drops callbacks that wait and aborts those under way. */
  close(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
  }

  #deliver(url: URL, bytes: Buffer, headers: Record<string, string>): void {
    const request = post(url, {
      method: 'POST',
      agent: false,
      lookup: lookupLocalhost,
      headers: { 'content-type': 'application/json', 'content-length': bytes.length, ...headers },
    });
    const abort = () => void request.destroy();
    const cancelTimeout = this.#options.clock.after(TIMEOUT_MS, () => {
      request.destroy(new Error(`no response within ${TIMEOUT_MS} ms`));
    });
    const settle = (outcome: { status: number } | { error: string }) => {
      cancelTimeout();
      if (this.#cancels.delete(abort)) this.#report(url.href, outcome);
    };
    this.#cancels.add(abort);
    request.once('response', (response: IncomingMessage) => {
      response.resume();
      settle({ status: response.statusCode ?? 0 });
    });
    request.on('error', (error) => settle({ error: error.message }));
    request.end(bytes);
  }

  #report(url: string, outcome: { status: number } | { error: string }): void {
    const report = { provider: this.#options.provider, url, ...outcome };
    this.#reports.unshift(report);
    this.#reports.length = Math.min(this.#reports.length, MAX_REPORTS);
    this.#options.onCallback(report);
  }
}

/** Whether the host is in 127.0.0.0/8, `[::1]` or `localhost`. API calls name the URL, so no other host is allowed. */
export function isLoopbackUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return false;
  return url.hostname === 'localhost' || isLoopbackAddress(url.hostname);
}

function post(url: URL, options: RequestOptions): ClientRequest {
  return url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
}

/** Resolves `localhost` without DNS or the hosts file, which may map it to another address. */
const lookupLocalhost: LookupFunction = (_hostname, options, callback) => {
  if (options.all) {
    callback(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ]);
  } else {
    callback(null, '127.0.0.1', 4);
  }
};
