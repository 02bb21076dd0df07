import type { Context } from 'hono';
import type { RouteConfig } from '../config/config.ts';
import { iso } from './format.ts';
import type { AdminContext } from './listener.ts';
import { type AdminProblem, problemIn } from './problem.ts';
import { NOT_KEPT, requestOf } from './requests.ts';
import type { RefreshResult } from './snapshot.ts';

/** Gets a new token for a route. One process asks; the others hear of it. */
export async function refreshResponse(c: Context, context: AdminContext): Promise<Response> {
  const given = c.req.param('name') ?? '';
  const route = routeNamed(context.config().routes, given);
  if (route === undefined) {
    return problemIn(c, { status: 404, code: 'no_such_route', detail: `No route is named ${given}.` });
  }
  const result = await refreshed(context, route.name);
  const problem = refreshProblem(route.name, result);
  if (wantsPage(c)) {
    const outcome = problem === undefined ? 'refreshed' : 'not_refreshed';
    return c.redirect(`/?${outcome}=${encodeURIComponent(route.name)}`, 303);
  }
  if (problem !== undefined) {
    if (result.kind === 'failed' && result.retryAfterS !== undefined) c.header('retry-after', `${result.retryAfterS}`);
    return problemIn(c, problem);
  }
  const { fingerprint, expiresAtMs } = result as Extract<RefreshResult, { kind: 'refreshed' }>;
  return c.json({ route: route.name, fingerprint, expires_at: iso(expiresAtMs) });
}

async function refreshed(context: AdminContext, route: string): Promise<RefreshResult> {
  const [first] = context.processes();
  const nobody = { kind: 'failed', code: 'no_process', retryAfterS: 1 } as const;
  if (first === undefined) return { ...nobody, detail: 'No process serves right now.' };
  try {
    return await first.refresh(route);
  } catch {
    return { ...nobody, detail: `Process ${first.pid} gave no answer in time.` };
  }
}

function refreshProblem(route: string, result: RefreshResult): AdminProblem | undefined {
  switch (result.kind) {
    case 'refreshed':
      return undefined;
    case 'fixed':
      return { status: 409, code: 'fixed_key', detail: `${route} uses a fixed key: there is nothing to ask for.` };
    case 'no such route':
      return { status: 404, code: 'no_such_route', detail: `${route} is not served any more.` };
    case 'failed':
      return { status: result.code === 'token_denied' ? 502 : 503, code: result.code, detail: result.detail };
  }
}

/** By its name, `/mpesa/*`, or what of it people type: `/mpesa`, `mpesa`. */
function routeNamed(routes: readonly RouteConfig[], given: string): RouteConfig | undefined {
  const prefix = `/${given.replace(/^\//, '')}`;
  return routes.find(({ name }) => name === given) ?? routes.find((route) => route.prefix === prefix);
}

/** Sends a recorded request again, where providers are emulated. */
export async function resendResponse(c: Context, context: AdminContext): Promise<Response> {
  const found = await requestOf(context.processes(), c.req.param('id') ?? '');
  if (found === undefined) return problemIn(c, NOT_KEPT);
  const { serving, details } = found;
  if (serving.replay === undefined) {
    const detail = 'Requests are sent again only where the providers are emulated: a payment must not happen twice.';
    return problemIn(c, { status: 403, code: 'not_emulated', detail });
  }
  const result = await serving.replay(details.number);
  if (result.kind === 'refused') return problemIn(c, { status: 409, code: 'not_sent', detail: result.why });
  if (wantsPage(c)) return c.redirect(`/requests?q=${encodeURIComponent(result.requestId)}`, 303);
  return c.json({ request_id: result.requestId, status: result.status });
}

/** A form of a page sent it, where no script runs. */
function wantsPage(c: Context): boolean {
  return (c.req.header('accept') ?? '').includes('text/html');
}
