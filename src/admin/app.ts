import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { isLoopbackName } from '../http/ip-address.ts';
import { api, type Endpoint } from './api.ts';
import { hasAdminToken, isLocalHost } from './caller.ts';
import type { AdminContext } from './context.ts';
import type { Metrics } from './metrics.ts';
import { FAILED, problemIn } from './problem-response.ts';
import { snapshotsOf } from './overview.ts';

/** No part of a page comes from elsewhere, none runs inside another page. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "script-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** On a loopback address, every request must name this machine. Metrics are behind this alone. */
function hostGuard(context: AdminContext): MiddlewareHandler {
  return async (c, next) => {
    if (isOnLoopback(context) && !isLocalHost(c.req.header('host'))) return c.text('host refused\n', 403);
    await next();
    return undefined;
  };
}

/** Who may see the admin app, and who may act in it. */
function guard(context: AdminContext): MiddlewareHandler {
  return async (c, next) => {
    c.header('cache-control', 'no-store');
    c.header('content-security-policy', CONTENT_SECURITY_POLICY);
    c.header('x-content-type-options', 'nosniff');
    // Under `no-referrer`, browsers send `Origin: null` with a form's POST, even to the page's own origin.
    c.header('referrer-policy', 'same-origin');
    const refusal = refusalOf(context, c) ?? strangePage(c);
    if (refusal !== undefined) return refusal;
    await next();
    return undefined;
  };
}

function isOnLoopback(context: AdminContext): boolean {
  return isLoopbackName(context.config().admin?.host ?? '');
}

function refusalOf(context: AdminContext, c: Context): Response | undefined {
  if (isOnLoopback(context) || hasAdminToken(context.config().adminToken, c.req.header('authorization'))) {
    return undefined;
  }
  c.header('www-authenticate', 'Basic realm="wakala admin", Bearer realm="wakala admin"');
  const how = 'as a bearer token, or as the password that a browser asks for';
  return c.text(`set \`admin: {address, token}\`, and send the token ${how}\n`, 401);
}

/**
 * A page of another origin that has a browser ask or act here (CSRF), also from another port of this machine. Only a
 * link that somebody followed is let through: it shows a page. A client that is no browser says nothing of where it is.
 */
function strangePage(c: Context): Response | undefined {
  const origin = c.req.header('origin');
  const site = c.req.header('sec-fetch-site');
  const isOwn = origin === undefined || origin === `http://${c.req.header('host') ?? ''}`;
  if (isOwn && (site === undefined || site === 'same-origin' || site === 'none')) return undefined;
  const isGet = c.req.method === 'GET' || c.req.method === 'HEAD';
  if (isGet && isOwn && c.req.header('sec-fetch-dest') === 'document') return undefined;
  const detail = "Only the dashboard's own pages, and clients that are no browsers, are answered here.";
  return problemIn(c, { status: 403, code: 'origin_refused', detail });
}

/** What the admin listener serves besides its probes. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  let metrics: Promise<Metrics> | undefined;
  app.use(hostGuard(context));
  app.get('/metrics', async (c) => {
    metrics ??= import('./metrics.ts').then(({ Metrics }) => new Metrics(context));
    const { contentType, text } = (await metrics).render(await snapshotsOf(context.processes()));
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
    ['GET', '/', async (c) => (await import('./pages/overview-page.ts')).overviewPage(c, context)],
    ['GET', '/requests', async (c) => (await import('./pages/requests-page.ts')).requestsPage(c, context)],
    ['GET', '/requests/:id', async (c) => (await import('./pages/request-page.ts')).requestPage(c, context)],
    ['GET', '/assets/:name', async (c) => (await import('./assets.ts')).assetResponse(c)],
  ];
}

function methodRefused(c: Context, method: Endpoint[0]): Response {
  c.header('allow', method === 'GET' ? 'GET, HEAD' : method);
  return problemIn(c, { status: 405, code: 'method_not_allowed', detail: `Only ${method} is for this path.` });
}
