import type { Context } from 'hono';

export interface AdminProblem {
  readonly status: 400 | 403 | 404 | 405 | 409 | 500 | 502 | 503;
  readonly code: string;
  /** What happened and what to do. */
  readonly detail: string;
}

export const FAILED: AdminProblem = {
  status: 500,
  code: 'internal_error',
  detail: 'Wakala failed to handle this request. Please report it.',
};

/** The Host header and the request target do not form a URL. */
export const UNREADABLE: AdminProblem = {
  status: 400,
  code: 'bad_request',
  detail: 'The Host header and the path of this request do not form a URL.',
};

const CONTENT_TYPE = 'application/problem+json';

/** A response with problem details (RFC 9457). */
export function problemIn(c: Context, problem: AdminProblem): Response {
  return c.body(bodyOf(problem), problem.status, { 'content-type': CONTENT_TYPE });
}

/** The same without a context, for a request that could not be read or whose handler failed. */
export function problemResponse(problem: AdminProblem): Response {
  const headers = { 'content-type': CONTENT_TYPE, 'cache-control': 'no-store' };
  return new Response(bodyOf(problem), { status: problem.status, headers });
}

function bodyOf({ status, code, detail }: AdminProblem): string {
  const title = code.replaceAll('_', ' ');
  return JSON.stringify({ type: `urn:wakala:error:${code}`, title, status, detail, code });
}
