import { type Context, Hono } from 'hono';
import { api } from './api.ts';
import { snapshotsOf } from './collect.ts';
import type { Endpoint } from './endpoint.ts';
import { guard, hostGuard } from './guard.ts';
import type { AdminContext } from './listener.ts';
import type { Metrics } from './metrics.ts';
import { FAILED, problemIn } from './problem.ts';

/** What the admin listener serves besides its probes. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  let metrics: Promise<Metrics> | undefined;
  app.use(hostGuard(context));
  app.get('/metrics', async (c) => {
    metrics ??= import('./metrics.ts').then(({ Metrics }) => new Metrics(context));
    const { contentType, text } = await (await metrics).render(await snapshotsOf(context.processes()));
    return c.body(text, 200, { 'content-type': contentType, 'cache-control': 'no-store' });
  });
  app.use(guard(context));
  for (const [method, path, handler] of [...api(context), ...pages(context)]) {
    app.on(method, path, handler);
    app.all(path, (c) => methodRefused(c, method));
  }
  app.notFound((c) => problemIn(c, { status: 404, code: 'not_found', detail: 'There is nothing at this path.' }));
  app.onError((_error, c) => problemIn(c, FAILED));
  return app;
}

/** Loaded for those who look: whoever scrapes metrics does not. */
function pages(context: AdminContext): Endpoint[] {
  return [
    ['GET', '/', async (c) => (await import('./pages/overview.ts')).overviewPage(c, context)],
    ['GET', '/requests', async (c) => (await import('./pages/requests.ts')).requestsPage(c, context)],
    ['GET', '/requests/:id', async (c) => (await import('./pages/request.ts')).requestPage(c, context)],
    ['GET', '/assets/:name', async (c) => (await import('./assets/assets.ts')).assetResponse(c)],
  ];
}

function methodRefused(c: Context, method: Endpoint[0]): Response {
  c.header('allow', method === 'GET' ? 'GET, HEAD' : method);
  return problemIn(c, { status: 405, code: 'method_not_allowed', detail: `Only ${method} is for this path.` });
}
