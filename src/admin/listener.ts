import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { wakalasIn } from '../http/via.ts';
import { hasAdminToken, isLocalRequest } from './caller.ts';
import type { AdminContext } from './context.ts';

/**
 * The admin listener. `/livez`: the process responds. `/readyz`: it accepts requests. Both need no credentials and accept
 * any Host header, because Kubernetes probes the pod's address. Everything else is an app that is loaded on first use.
 */
export function adminListener(context: AdminContext): RequestListener {
  let app: Promise<AppListener> | undefined;
  return (req, res) => {
    if (wakalasIn(req.headers.via ?? '').length > 0) {
      refuseLoop(res);
      return;
    }
    if (respondToProbe(context, req, res)) return;
    // Bodies are not used. Unread, a body would take far more memory than its bytes.
    req.resume();
    app ??= loadApp(context);
    app.then((handle) => handle(req, res)).catch(() => (res.headersSent ? res.destroy() : res.writeHead(500).end()));
  };
}

/**
 * DNS may resolve an upstream to this listener, which the check of the configuration cannot see. That of another Wakala is
 * refused too: it gives its clients no access to this listener.
 */
function refuseLoop(res: ServerResponse): void {
  const detail =
    'This request came through a Wakala: an `upstream` in its configuration leads to an admin listener. Correct it.';
  const body = {
    type: 'urn:wakala:error:loop_detected',
    title: 'loop detected',
    status: 508,
    detail,
    code: 'loop_detected',
  };
  res.writeHead(508, { 'content-type': 'application/problem+json', 'cache-control': 'no-store' });
  res.end(JSON.stringify(body));
}

type AppListener = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

async function loadApp(context: AdminContext): Promise<AppListener> {
  const [{ getRequestListener, RequestError }, { adminApp }, { FAILED, problemResponse, UNREADABLE }] =
    await Promise.all([import('@hono/node-server'), import('./app.ts'), import('./problem-response.ts')]);
  return getRequestListener(adminApp(context).fetch, {
    overrideGlobalObjects: false,
    errorHandler: (error) => problemResponse(error instanceof RequestError ? UNREADABLE : FAILED),
  });
}

/** @returns false if the request is not a probe */
function respondToProbe(context: AdminContext, req: IncomingMessage, res: ServerResponse): boolean {
  const { method, url = '' } = req;
  const path = url.split('?', 1)[0] ?? '';
  if ((method !== 'GET' && method !== 'HEAD') || (path !== '/livez' && path !== '/readyz')) return false;
  const isOk = path === '/livez' || context.ready();
  res.writeHead(isOk ? 200 : 503, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  res.end(JSON.stringify(path === '/livez' ? { status: 'live' } : readiness(context, req)));
  return true;
}

/** The reason of a refused reload names files and keys, so only this machine and holders of the admin token see it. */
function readiness(context: AdminContext, req: IncomingMessage): { status: string; detail?: string } {
  if (!context.ready()) return { status: 'draining' };
  const detail = mayReadDetail(context, req) ? context.reloads().failure : undefined;
  return detail === undefined ? { status: 'ready' } : { status: 'ready', detail };
}

function mayReadDetail(context: AdminContext, req: IncomingMessage): boolean {
  return isLocalRequest(req) || hasAdminToken(context.config().adminToken, req.headers.authorization);
}
