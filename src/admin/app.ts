import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { isLoopbackName } from '../http/ip-address.ts';
import { api, type Endpoint } from './api.ts';
import { hasAdminToken, isLocalHost } from './caller.ts';
import type { AdminContext } from './context.ts';
import { snapshotsOf } from './overview.ts';
import { FAILED, problemIn } from './problem-response.ts';
import type { Metrics } from './prometheus.ts';

/** Pages load nothing from other origins, and cannot be framed. */
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

/** On a loopback address, every request must name this machine in its Host header. `/metrics` has no other guard. */
function hostGuard(context: AdminContext): MiddlewareHandler {
  return async (c, next) => {
    if (isOnLoopback(context) && !isLocalHost(c.req.header('host'))) return c.text('host refused\n', 403);
    await next();
    return undefined;
  };
}

/** Requires the admin token on an address that is not loopback, and refuses web pages of other origins. */
function guard(context: AdminContext): MiddlewareHandler {
  return async (c, next) => {
    c.header('cache-control', 'no-store');
    c.header('content-security-policy', CONTENT_SECURITY_POLICY);
    c.header('x-content-type-options', 'nosniff');
    // Under `no-referrer`, browsers send `Origin: null` with a form's POST, even to the page's own origin.
    c.header('referrer-policy', 'same-origin');
    const refusal = refuseWithoutToken(context, c) ?? refuseOtherOrigin(c);
    if (refusal !== undefined) return refusal;
    await next();
    return undefined;
  };
}

function isOnLoopback(context: AdminContext): boolean {
  return isLoopbackName(context.config().admin?.host ?? '');
}

function refuseWithoutToken(context: AdminContext, c: Context): Response | undefined {
  if (isOnLoopback(context) || hasAdminToken(context.config().adminToken, c.req.header('authorization'))) {
    return undefined;
  }
  c.header('www-authenticate', 'Basic realm="wakala admin", Bearer realm="wakala admin"');
  const how = 'as a bearer token, or as the password that the browser requests';
  return c.text(`set \`admin: {address, token}\`, and send the token ${how}\n`, 401);
}

/**
 * Refuses requests that a browser sends for a page of another origin (CSRF), another port of this machine included.
 * Following a link to a page is allowed. Clients other than browsers send neither of these headers.
 */
function refuseOtherOrigin(c: Context): Response | undefined {
  const origin = c.req.header('origin');
  const site = c.req.header('sec-fetch-site');
  const isOwn = origin === undefined || origin === `http://${c.req.header('host') ?? ''}`;
  if (isOwn && (site === undefined || site === 'same-origin' || site === 'none')) return undefined;
  const isGet = c.req.method === 'GET' || c.req.method === 'HEAD';
  if (isGet && isOwn && c.req.header('sec-fetch-dest') === 'document') return undefined;
  const detail = 'A browser may send this request only from a page of the dashboard.';
  return problemIn(c, { status: 403, code: 'origin_refused', detail });
}

/** Everything that the admin listener serves besides its probes. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  let metrics: Promise<Metrics> | undefined;
  app.use(hostGuard(context));
  app.get('/metrics', async (c) => {
    metrics ??= import('./prometheus.ts').then(({ Metrics }) => new Metrics(context));
    const { contentType, text } = (await metrics).render(await snapshotsOf(context.processes()));
    return c.body(text, 200, { 'content-type': contentType, 'cache-control': 'no-store' });
  });
  app.use(guard(context));
  for (const [method, path, handler] of [...api(context), ...pages(context)]) {
    app.on(method, path, handler);
    app.all(path, (c) => methodRefused(c, method));
  }
  app.notFound((c) => problemIn(c, { status: 404, code: 'not_found', detail: 'Nothing is at this path.' }));
  app.onError((_error, c) => problemIn(c, FAILED));
  return app;
}

/** The pages. They are loaded on first use. */
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
  return problemIn(c, { status: 405, code: 'method_not_allowed', detail: `This path accepts only ${method}.` });
}
