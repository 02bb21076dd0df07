import type { Context } from 'hono';

export interface AdminProblem {
  readonly status: 400 | 403 | 404 | 405 | 409 | 500 | 502 | 503;
  readonly code: string;
  /** For people: what happened and what to do. */
  readonly detail: string;
}

/** An answer in problem details (RFC 9457). */
export function problemAnswer(c: Context, { status, code, detail }: AdminProblem): Response {
  const body = { type: `urn:wakala:error:${code}`, title: code.replaceAll('_', ' '), status, detail, code };
  return c.body(JSON.stringify(body), status, { 'content-type': 'application/problem+json' });
}
