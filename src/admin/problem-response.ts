import type { Context } from 'hono';

export interface AdminProblem {
  readonly status: 400 | 403 | 404 | 405 | 409 | 500 | 502 | 503;
  readonly code: string;
  /** For people: what happened and what to do. */
  readonly detail: string;
}

export const FAILED: AdminProblem = {
  status: 500,
  code: 'internal_error',
  detail: 'Wakala failed on this request.',
};

/** Host and target make no URL. */
export const UNREADABLE: AdminProblem = {
  status: 400,
  code: 'bad_request',
  detail: 'The Host header and the path of this request make no URL.',
};

const CONTENT_TYPE = 'application/problem+json';

/** An answer in problem details (RFC 9457). */
export function problemIn(c: Context, problem: AdminProblem): Response {
  return c.body(bodyOf(problem), problem.status, { 'content-type': CONTENT_TYPE });
}

/** The same where there is no context: the request could not be read, or its handler failed. */
export function problemResponse(problem: AdminProblem): Response {
  const headers = { 'content-type': CONTENT_TYPE, 'cache-control': 'no-store' };
  return new Response(bodyOf(problem), { status: problem.status, headers });
}

function bodyOf({ status, code, detail }: AdminProblem): string {
  const title = code.replaceAll('_', ' ');
  return JSON.stringify({ type: `urn:wakala:error:${code}`, title, status, detail, code });
}
