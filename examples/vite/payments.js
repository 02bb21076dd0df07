/**
 * Calls Paypack through Wakala.
 * @returns {{answer}}, or {{outcome, reason}}: `refused` by Paypack, `not_sent` or `unknown`
 */
async function call(path, options) {
  let res;
  let answer;
  try {
    res = await fetch(`/paypack${path}`, options);
    answer = await res.json();
  } catch {
    return { outcome: 'unknown', reason: 'the connection broke' };
  }
  if (res.ok) return { answer };
  // Errors of Wakala have this content type. Others are from Paypack.
  if (res.headers.get('content-type') !== 'application/problem+json') {
    return { outcome: res.status < 500 ? 'refused' : 'unknown', reason: answer.message };
  }
  return { outcome: answer.outcome ?? 'unknown', reason: answer.detail };
}

/** Requests a payment. Use one `key` per payment. Paypack accepts at most 32 characters. */
export async function cashIn({ amount, number, key }) {
  return await call('/transactions/cashin', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ amount, number }),
  });
}

export async function transaction(ref) {
  return await call(`/transactions/find/${ref}`);
}
