import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { cameThroughWakala } from '../http/header-list.ts';
import { hasAdminToken, isLocalRequest } from './caller.ts';
import type { AdminContext } from './context.ts';

/**
 * The admin listener: `/livez` says that the process answers, `/readyz` that it takes requests, both without
 * credentials and under any Host, since Kubernetes asks them at the pod's address. All else is an app that is loaded
 * when it is first asked for.
 */
export function adminListener(context: AdminContext): RequestListener {
  let app: Promise<AppListener> | undefined;
  return (req, res) => {
    if (cameThroughWakala(req.headers.via ?? '')) {
      refuseLoop(res);
      return;
    }
    if (answerProbe(context, req, res)) return;
    // No body is used here. Left unread, it would take far more memory than its bytes.
    req.resume();
    app ??= loadApp(context);
    app.then((handle) => handle(req, res)).catch(() => (res.headersSent ? res.destroy() : res.writeHead(500).end()));
  };
}

/** DNS may lead a route to this listener, which the check of the configuration cannot see. Its clients get nothing. */
function refuseLoop(res: ServerResponse): void {
  const detail = 'This request came through wakala: an upstream in the configuration leads to an admin listener.';
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

/** @returns false if the request is for no probe */
function answerProbe(context: AdminContext, req: IncomingMessage, res: ServerResponse): boolean {
  const { method, url = '' } = req;
  const path = url.split('?', 1)[0] ?? '';
  if ((method !== 'GET' && method !== 'HEAD') || (path !== '/livez' && path !== '/readyz')) return false;
  const ready = path === '/livez' || context.ready();
  res.writeHead(ready ? 200 : 503, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  res.end(JSON.stringify(path === '/livez' ? { status: 'live' } : readiness(context, req)));
  return true;
}

/** Why a reload was refused names files and keys: that is for this machine, and for who has the admin token. */
function readiness(context: AdminContext, req: IncomingMessage): { status: string; detail?: string } {
  if (!context.ready()) return { status: 'draining' };
  const detail = mayReadDetail(context, req) ? context.reloads().failure : undefined;
  return detail === undefined ? { status: 'ready' } : { status: 'ready', detail };
}

function mayReadDetail(context: AdminContext, req: IncomingMessage): boolean {
  return isLocalRequest(req) || hasAdminToken(context.config().adminToken, req.headers.authorization);
}
