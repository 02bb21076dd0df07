import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { refreshResponse, resendResponse } from './actions.ts';
import type { Endpoint } from './endpoint.ts';
import { eventStream } from './events.ts';
import { EventFeed } from './feed.ts';
import { filterOf, filterProblem } from './filter.ts';
import { overviewJson, bucketJson, requestJson, routeJson, detailsJson } from './json.ts';
import type { AdminContext } from './listener.ts';
import { problemIn } from './problem.ts';
import { requestDetails } from './request-details.ts';
import { NOT_KEPT, requestOf, requestsOf } from './requests.ts';
import { overviewOf } from './view.ts';

/** The JSON API. */
export function api(context: AdminContext): Endpoint[] {
  const feed = new EventFeed(context);
  return [
    ['GET', '/api/routes', (c) => routesAnswer(c, context)],
    ['GET', '/api/requests', (c) => requestsAnswer(c, context)],
    ['GET', '/api/requests/:id', (c) => requestAnswer(c, context)],
    ['GET', '/api/events', (c) => eventsAnswer(c, context, feed)],
    ['POST', '/api/routes/:name/refresh', (c) => refreshResponse(c, context)],
    ['POST', '/api/requests/:id/replay', (c) => resendResponse(c, context)],
  ];
}

async function routesAnswer(c: Context, context: AdminContext): Promise<Response> {
  const overview = await overviewOf(context);
  const routes = overview.routes.map((view) => ({ ...routeJson(view), points: view.traffic.points.map(bucketJson) }));
  return c.json(overviewJson(overview, routes));
}

async function requestsAnswer(c: Context, context: AdminContext): Promise<Response> {
  const filter = filterOf(c);
  const limit = c.req.query('limit') ?? '100';
  const wrong = filterProblem(filter, limit);
  if (wrong !== undefined) return problemIn(c, wrong);
  const { requests, fitting } = await requestsOf(context.processes(), filter, Number(limit));
  return c.json({ fitting, requests: requests.map(requestJson) });
}

async function requestAnswer(c: Context, context: AdminContext): Promise<Response> {
  const found = await requestOf(context.processes(), c.req.param('id') ?? '');
  if (found === undefined) return problemIn(c, NOT_KEPT);
  return c.json(detailsJson(requestDetails(found.serving.pid, found.details, context.config())));
}

function eventsAnswer(c: Context, context: AdminContext, feed: EventFeed): Response {
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' };
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  if (feed.isFull) {
    c.header('retry-after', '5');
    return problemIn(c, { status: 503, code: 'too_many_listeners', detail: 'Too many clients listen to events.' });
  }
  const { outgoing } = c.env as HttpBindings;
  return c.body(eventStream(feed, context.clock, c.req.query('brief') === 'true', outgoing), 200, headers);
}
