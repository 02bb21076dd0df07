import type { Context } from 'hono';
import type { AdminProblem } from './problem.ts';
import type { RequestFilter } from './request-view.ts';
import { MOST_REQUESTS } from './requests.ts';

/** Values of the `token` filter. */
export const TOKEN_USES = ['cached', 'fetched', 'replayed', 'not-replayed'];

/** What a query asks for. Empty fields, as a form sends them, ask for nothing. */
export function filterOf(c: Context): RequestFilter {
  const field = (name: string) => c.req.query(name)?.trim() || undefined;
  return {
    route: field('route'),
    status: field('status'),
    method: field('method'),
    token: field('token'),
    q: field('q'),
  };
}

export function filterProblem({ status, token }: RequestFilter, limit: string): AdminProblem | undefined {
  const wrong = (detail: string): AdminProblem => ({ status: 400, code: 'bad_filter', detail });
  if (status !== undefined && !/^([1-5]\d\d|[1-5]xx|error)$/i.test(status)) {
    return wrong('`status` must be a status such as 200, a class such as 4xx, or error.');
  }
  if (token !== undefined && !TOKEN_USES.includes(token)) {
    return wrong(`\`token\` must be one of ${TOKEN_USES.join(', ')}.`);
  }
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MOST_REQUESTS) {
    return wrong(`\`limit\` must be a number from 1 to ${MOST_REQUESTS}.`);
  }
  return undefined;
}
