import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const WAKALA = process.env.WAKALA_URL ?? 'http://127.0.0.1:8080';
// The key of this app, only if Wakala has a list of `clients`. No Paypack credentials are needed.
const KEY_FILE = process.env.WAKALA_KEY_FILE;
const authorization = KEY_FILE && { authorization: `Bearer ${readFileSync(KEY_FILE, 'utf8').trim()}` };

/** Temporary errors of Wakala. The payment was not sent. */
const TEMPORARY = ['upstream_unreachable', 'upstream_timeout', 'token_unavailable', 'overloaded'];

export class CallFailed extends Error {
  /**
   * `outcome` is `refused`: Paypack refused the call. `not_sent`: Paypack did not receive it. `unknown`: Paypack may have
   * acted on it. `retryAfterS` is set if the call can be sent again after that many seconds.
   */
  constructor(message, { outcome, retryAfterS, cause }) {
    super(message, { cause });
    this.outcome = outcome;
    this.retryAfterS = retryAfterS;
  }
}

/** Calls Paypack through Wakala. @throws CallFailed */
async function call(method, path, { json, headers } = {}) {
  let res;
  let answer;
  try {
    res = await fetch(`${WAKALA}/paypack${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...authorization, ...headers },
      body: json && JSON.stringify(json),
      // Longer than the route's `timeout` (60s), so that Wakala responds with the outcome first.
      signal: AbortSignal.timeout(70_000),
    });
    answer = await res.json();
  } catch (cause) {
    const known = ['ECONNREFUSED', 'ENOTFOUND'].includes(cause.cause?.code)
      ? { outcome: 'not_sent', retryAfterS: 1 }
      : { outcome: 'unknown' };
    throw new CallFailed('no response from Wakala', { ...known, cause });
  }
  if (res.ok) return answer;
  // Errors of Wakala have this content type. Others are from Paypack.
  if (res.headers.get('content-type') !== 'application/problem+json') {
    throw new CallFailed(`Paypack: ${answer?.message ?? res.status}`, {
      outcome: res.status < 500 ? 'refused' : 'unknown',
    });
  }
  const { code, detail, outcome = 'unknown' } = answer;
  const again = outcome === 'not_sent' && TEMPORARY.includes(code);
  const retryAfterS = again ? Number(res.headers.get('retry-after') ?? 1) : undefined;
  throw new CallFailed(`${code}: ${detail}`, { outcome, retryAfterS });
}

/**
 * Requests a payment. Repeats a call that was not sent at most twice, if the wait is short.
 * @throws CallFailed
 */
export async function cashIn({ amount, number, key }) {
  for (let attempt = 1; ; attempt++) {
    try {
      // The same key on every attempt. Paypack accepts at most 32 characters.
      const headers = { 'idempotency-key': key };
      return await call('POST', '/transactions/cashin', { json: { amount, number }, headers });
    } catch (error) {
      if (!(error.retryAfterS <= 5) || attempt === 3) throw error;
      await sleep(error.retryAfterS * 1000);
    }
  }
}

/** The cash-ins of a customer, newest first. It is safe to call repeatedly. @throws CallFailed */
export async function cashInsOf(number) {
  const { transactions } = await call('GET', `/transactions/list?kind=CASHIN&client=${number}&limit=100`);
  return transactions.filter((one) => one.kind === 'CASHIN' && one.client === number);
}

/** A cash-in with its state. @throws CallFailed */
export async function transaction(ref) {
  return await call('GET', `/transactions/find/${ref}`);
}
