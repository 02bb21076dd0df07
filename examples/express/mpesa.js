import { setTimeout as sleep } from 'node:timers/promises';

const { WAKALA_URL = 'http://127.0.0.1:8080', MPESA_SHORT_CODE = '174379' } = process.env;
const { MPESA_PASSKEY = 'made-up-passkey', MPESA_CALLBACKS = 'http://127.0.0.1:3000/callbacks/mpesa' } = process.env;

/** Codes of Wakala's own that pass by themselves; the push was not sent. */
const PASSING = ['upstream_unreachable', 'upstream_timeout', 'token_unavailable', 'overloaded'];

/** Results that are final, and took no money: no balance, expired, cancelled, no answer, wrong PIN. */
const FAILED = [1, 1019, 1032, 1037, 2001];

export class CallFailed extends Error {
  /**
   * `outcome` is `refused`: M-Pesa said no. `not_sent`: M-Pesa surely never saw the call. `unknown`: it may have acted
   * on it. `retryAfterS` is set where the call may be sent again, after so many seconds.
   */
  constructor(message, { outcome, retryAfterS, cause }) {
    super(message, { cause });
    this.outcome = outcome;
    this.retryAfterS = retryAfterS;
  }
}

/** @throws CallFailed */
async function call(path, body) {
  let res;
  let answer;
  try {
    res = await fetch(`${WAKALA_URL}/mpesa${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
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
  // Wakala's own errors are of this type; any other is M-Pesa's.
  if (res.headers.get('content-type') !== 'application/problem+json') {
    throw new CallFailed(`M-Pesa: ${answer.errorMessage}`, { outcome: res.status < 500 ? 'refused' : 'unknown' });
  }
  const { code, detail, outcome = 'unknown' } = answer;
  const again = outcome === 'not_sent' && PASSING.includes(code);
  const retryAfterS = again ? Number(res.headers.get('retry-after') ?? 1) : undefined;
  throw new CallFailed(`${code}: ${detail}`, { outcome, retryAfterS });
}

/** Short code, time in Nairobi, and the two with the passkey: every STK call carries them. */
function login() {
  const nairobi = new Date(Date.now() + 3 * 3_600_000);
  const Timestamp = nairobi.toISOString().replace(/\D/g, '').slice(0, 14);
  const Password = Buffer.from(`${MPESA_SHORT_CODE}${MPESA_PASSKEY}${Timestamp}`).toString('base64');
  return { BusinessShortCode: MPESA_SHORT_CODE, Password, Timestamp };
}

/**
 * Prompts the phone. A push that was surely not sent is sent again, twice at most, if the wait is short.
 * M-Pesa has no idempotency key. `secret` ends the callback's address: by it the callback finds its order even if the
 * answer here is lost, and nobody else can make one up.
 * @returns the CheckoutRequestID @throws CallFailed
 */
export async function stkPush({ id, phone, amount, secret }) {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await call('/mpesa/stkpush/v1/processrequest', {
        ...login(),
        TransactionType: 'CustomerPayBillOnline',
        Amount: amount,
        PartyA: phone,
        PartyB: MPESA_SHORT_CODE,
        PhoneNumber: phone,
        AccountReference: id,
        TransactionDesc: id,
        CallBackURL: `${MPESA_CALLBACKS}/${secret}`,
      });
      return answer.CheckoutRequestID;
    } catch (error) {
      if (!(error.retryAfterS <= 5) || attempt === 3) throw error;
      await sleep(error.retryAfterS * 1000);
    }
  }
}

/** `paid`, `failed`, or undefined while nobody knows. Asking does no harm, however often. */
export async function stkResult(checkoutRequestId) {
  try {
    const answer = await call('/mpesa/stkpushquery/v1/query', { ...login(), CheckoutRequestID: checkoutRequestId });
    return stateOf(answer.ResultCode);
  } catch (error) {
    if (error instanceof CallFailed) return undefined; // M-Pesa answers with an error while the customer thinks
    throw error;
  }
}

/** A string in the query's answer, a number in callbacks. Others than these, such as 4999, are not the end of it. */
export function stateOf(resultCode) {
  if (Number(resultCode) === 0) return 'paid';
  return FAILED.includes(Number(resultCode)) ? 'failed' : undefined;
}
