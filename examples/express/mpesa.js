import { setTimeout as sleep } from 'node:timers/promises';

const { WAKALA_URL = 'http://127.0.0.1:8080', MPESA_SHORT_CODE = '174379' } = process.env;
const { MPESA_CALLBACKS = 'http://127.0.0.1:3000/callbacks/mpesa' } = process.env;

/** Temporary errors of Wakala. The push was not sent. */
const TEMPORARY = ['upstream_unreachable', 'upstream_timeout', 'token_unavailable', 'overloaded'];

/** Final results without a payment: no balance, expired, cancelled, no response, wrong PIN. */
const FAILED = [1, 1019, 1032, 1037, 2001];

export class CallFailed extends Error {
  /**
   * `outcome` is `refused`: M-Pesa refused the call. `not_sent`: M-Pesa did not receive it. `unknown`: M-Pesa may have
   * acted on it. `retryAfterS` is set if the call can be sent again after that many seconds.
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
  // Errors of Wakala have this content type. Others are from M-Pesa.
  if (res.headers.get('content-type') !== 'application/problem+json') {
    throw new CallFailed(`M-Pesa: ${answer.errorMessage}`, { outcome: res.status < 500 ? 'refused' : 'unknown' });
  }
  const { code, detail, outcome = 'unknown' } = answer;
  const again = outcome === 'not_sent' && TEMPORARY.includes(code);
  const retryAfterS = again ? Number(res.headers.get('retry-after') ?? 1) : undefined;
  throw new CallFailed(`${code}: ${detail}`, { outcome, retryAfterS });
}

/**
 * Prompts the phone. Repeats a push that was not sent at most twice, if the wait is short. M-Pesa has no idempotency
 * key. `secret` is part of the callback URL: it identifies the order even if the response is lost, and prevents forged
 * callbacks.
 * @returns the CheckoutRequestID @throws CallFailed
 */
export async function stkPush({ id, phone, amount, secret }) {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await call('/mpesa/stkpush/v1/processrequest', {
        // Wakala adds Password and Timestamp.
        BusinessShortCode: MPESA_SHORT_CODE,
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

/** `paid`, `failed`, or undefined if there is no result yet. It is safe to call repeatedly. */
export async function stkResult(checkoutRequestId) {
  try {
    const query = { BusinessShortCode: MPESA_SHORT_CODE, CheckoutRequestID: checkoutRequestId };
    const answer = await call('/mpesa/stkpushquery/v1/query', query);
    return stateOf(answer.ResultCode);
  } catch (error) {
    if (error instanceof CallFailed) return undefined; // M-Pesa responds with an error until the customer has decided
    throw error;
  }
}

/** `resultCode` is a string in query responses and a number in callbacks. Other codes, such as 4999, are not final. */
export function stateOf(resultCode) {
  if (Number(resultCode) === 0) return 'paid';
  return FAILED.includes(Number(resultCode)) ? 'failed' : undefined;
}
