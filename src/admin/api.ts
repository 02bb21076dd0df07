import type { HttpBindings } from '@hono/node-server';
import type { Context, Handler } from 'hono';
import type { RouteConfig } from '../config/config.ts';
import { formatIso } from '../format.ts';
import type { RefreshResult } from '../telemetry/snapshot.ts';
import { bucketJson, detailsJson, overviewJson, requestJson, routeJson } from './api-json.ts';
import type { AdminContext } from './context.ts';
import { EventFeed, eventStream } from './events.ts';
import {
  MAX_LISTED_REQUESTS,
  NOT_KEPT,
  requestDetails,
  type RequestFilter,
  requestOf,
  requestsOf,
} from './inspector.ts';
import { overviewOf } from './overview.ts';
import { type AdminProblem, problemIn } from './problem-response.ts';

/** The handler of a path and its method. GET includes HEAD. */
export type Endpoint = readonly [method: 'GET' | 'POST', path: string, handler: Handler];

/** Values of the `token` filter. */
export const TOKEN_USES = ['cached', 'fetched', 'replayed', 'not-replayed'];

/** The filter of a query. A form sends its unused fields empty: they are ignored. */
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

function problemOfFilter({ status, token }: RequestFilter, limit: string): AdminProblem | undefined {
  const wrong = (detail: string): AdminProblem => ({ status: 400, code: 'bad_filter', detail });
  if (status !== undefined && !/^([1-5]\d\d|[1-5]xx|error)$/i.test(status)) {
    return wrong('`status` must be a status such as 200, a class such as 4xx, or error.');
  }
  if (token !== undefined && !TOKEN_USES.includes(token)) {
    return wrong(`\`token\` must be one of ${TOKEN_USES.join(', ')}.`);
  }
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LISTED_REQUESTS) {
    return wrong(`\`limit\` must be a number from 1 to ${MAX_LISTED_REQUESTS}.`);
  }
  return undefined;
}

/** Fetches a new token for a route. One process requests it, and the others adopt it. */
async function refreshResponse(c: Context, context: AdminContext): Promise<Response> {
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
  return c.json({ route: route.name, fingerprint, expires_at: formatIso(expiresAtMs) });
}

async function refreshed(context: AdminContext, route: string): Promise<RefreshResult> {
  const [first] = context.processes();
  const noProcess = { kind: 'failed', code: 'no_process', retryAfterS: 1 } as const;
  if (first === undefined) return { ...noProcess, detail: 'No process is running now. Try again.' };
  try {
    return await first.refresh(route);
  } catch {
    return { ...noProcess, detail: `Process ${first.pid} did not respond in time. Try again.` };
  }
}

function refreshProblem(route: string, result: RefreshResult): AdminProblem | undefined {
  switch (result.kind) {
    case 'refreshed':
      return undefined;
    case 'fixed':
      return { status: 409, code: 'fixed_key', detail: `${route} uses a fixed key, which cannot be refreshed.` };
    case 'no token':
      return { status: 409, code: 'no_token', detail: `${route} has no token (\`token: none\`).` };
    case 'no such route':
      return { status: 404, code: 'no_such_route', detail: `${route} was removed from the configuration.` };
    case 'failed':
      return { status: result.code === 'token_denied' ? 502 : 503, code: result.code, detail: result.detail };
  }
}

/** A route by its name `/mpesa/*`, or by `/mpesa` or `mpesa`. */
function routeNamed(routes: readonly RouteConfig[], given: string): RouteConfig | undefined {
  const prefix = `/${given.replace(/^\//, '')}`;
  return routes.find(({ name }) => name === given) ?? routes.find((route) => route.prefix === prefix);
}

/** Resends a recorded request, only to emulated providers. */
async function resendResponse(c: Context, context: AdminContext): Promise<Response> {
  const found = await requestOf(context.processes(), c.req.param('id') ?? '');
  if (found === undefined) return problemIn(c, NOT_KEPT);
  const { process, details } = found;
  if (process.resend === undefined) {
    const detail = 'Requests can be resent only to emulated providers, because a payment must not happen twice.';
    return problemIn(c, { status: 403, code: 'not_emulated', detail });
  }
  const result = await process.resend(details.number);
  if (result.kind === 'refused') return problemIn(c, { status: 409, code: 'not_sent', detail: result.why });
  if (wantsPage(c)) return c.redirect(`/requests?q=${encodeURIComponent(result.requestId)}`, 303);
  return c.json({ request_id: result.requestId, status: result.status });
}

/** Whether a form of a page sent it, without the script of the dashboard. */
function wantsPage(c: Context): boolean {
  return (c.req.header('accept') ?? '').includes('text/html');
}

/** The JSON API. */
export function api(context: AdminContext): Endpoint[] {
  const feed = new EventFeed(context);
  return [
    ['GET', '/api/routes', (c) => routesResponse(c, context)],
    ['GET', '/api/requests', (c) => requestsResponse(c, context)],
    ['GET', '/api/requests/:id', (c) => requestResponse(c, context)],
    ['GET', '/api/events', (c) => eventsResponse(c, context, feed)],
    ['POST', '/api/routes/:name/refresh', (c) => refreshResponse(c, context)],
    ['POST', '/api/requests/:id/replay', (c) => resendResponse(c, context)],
  ];
}

async function routesResponse(c: Context, context: AdminContext): Promise<Response> {
  const overview = await overviewOf(context);
  const routes = overview.routes.map((view) => ({ ...routeJson(view), points: view.traffic.buckets.map(bucketJson) }));
  return c.json(overviewJson(overview, routes));
}

async function requestsResponse(c: Context, context: AdminContext): Promise<Response> {
  const filter = filterOf(c);
  const limit = c.req.query('limit') ?? '100';
  const wrong = problemOfFilter(filter, limit);
  if (wrong !== undefined) return problemIn(c, wrong);
  const { requests, matchCount } = await requestsOf(context.processes(), filter, Number(limit));
  return c.json({ fitting: matchCount, requests: requests.map(requestJson) });
}

async function requestResponse(c: Context, context: AdminContext): Promise<Response> {
  const found = await requestOf(context.processes(), c.req.param('id') ?? '');
  if (found === undefined) return problemIn(c, NOT_KEPT);
  return c.json(detailsJson(requestDetails(found.process.pid, found.details, context.config())));
}

function eventsResponse(c: Context, context: AdminContext, feed: EventFeed): Response {
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' };
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  if (feed.isFull) {
    c.header('retry-after', '5');
    return problemIn(c, {
      status: 503,
      code: 'too_many_listeners',
      detail: 'Too many clients listen to events. Try again later.',
    });
  }
  const { outgoing } = c.env as HttpBindings;
  return c.body(eventStream(feed, context.clock, c.req.query('brief') === 'true', outgoing), 200, headers);
}
