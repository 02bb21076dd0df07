import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const WAKALA = process.env.WAKALA_URL ?? 'http://127.0.0.1:8080';
// Only where Wakala has a list of `clients`: the key of this app. Nothing of Paypack's is needed here.
const KEY_FILE = process.env.WAKALA_KEY_FILE;
const authorization = KEY_FILE && { authorization: `Bearer ${readFileSync(KEY_FILE, 'utf8').trim()}` };

/** Codes of Wakala's own that pass by themselves; the payment was not sent. */
const PASSING = ['upstream_unreachable', 'upstream_timeout', 'token_unavailable', 'overloaded'];

export class CallFailed extends Error {
  /**
   * `outcome` is `refused`: Paypack said no. `not_sent`: Paypack surely never saw the call. `unknown`: it may have acted
   * on it. `retryAfterS` is set where the call may be sent again, after so many seconds.
   */
  constructor(message, { outcome, retryAfterS, cause }) {
    super(message, { cause });
    this.outcome = outcome;
    this.retryAfterS = retryAfterS;
  }
}

/** Asks Paypack by way of Wakala. @throws CallFailed */
async function call(method, path, { json, headers } = {}) {
  let res;
  let answer;
  try {
    res = await fetch(`${WAKALA}/paypack${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...authorization, ...headers },
      body: json && JSON.stringify(json),
      // Longer than the route's `timeout` (60s), so that it is Wakala that gives up first and says what is known.
      signal: AbortSignal.timeout(70_000),
    });
    answer = await res.json();
  } catch (cause) {
    const known = ['ECONNREFUSED', 'ENOTFOUND'].includes(cause.cause?.code)
      ? { outcome: 'not_sent', retryAfterS: 1 }
      : { outcome: 'unknown' };
    throw new CallFailed('no answer from Wakala', { ...known, cause });
  }
  if (res.ok) return answer;
  // Wakala's own errors are of this type; any other is Paypack's.
  if (res.headers.get('content-type') !== 'application/problem+json') {
    throw new CallFailed(`Paypack: ${answer?.message ?? res.status}`, {
      outcome: res.status < 500 ? 'refused' : 'unknown',
    });
  }
  const { code, detail, outcome = 'unknown' } = answer;
  const again = outcome === 'not_sent' && PASSING.includes(code);
  const retryAfterS = again ? Number(res.headers.get('retry-after') ?? 1) : undefined;
  throw new CallFailed(`${code}: ${detail}`, { outcome, retryAfterS });
}

/**
 * Asks the customer to pay. A call that was surely not sent is sent again, twice at most, if the wait is short.
 * @throws CallFailed
 */
export async function cashIn({ amount, number, key }) {
  for (let attempt = 1; ; attempt++) {
    try {
      // The same key each time. Paypack takes at most 32 characters.
      const headers = { 'idempotency-key': key };
      return await call('POST', '/transactions/cashin', { json: { amount, number }, headers });
    } catch (error) {
      if (!(error.retryAfterS <= 5) || attempt === 3) throw error;
      await sleep(error.retryAfterS * 1000);
    }
  }
}

/** The cash-ins that a customer was asked for, newest first. Asking does no harm, however often. @throws CallFailed */
export async function cashInsOf(number) {
  const { transactions } = await call('GET', `/transactions/list?kind=CASHIN&client=${number}&limit=100`);
  return transactions.filter((one) => one.kind === 'CASHIN' && one.client === number);
}

/** How a cash-in stands. @throws CallFailed */
export async function transaction(ref) {
  return await call('GET', `/transactions/find/${ref}`);
}
