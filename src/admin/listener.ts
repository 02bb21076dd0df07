import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { cameThroughWakala } from '../http/header-list.ts';
import { isLoopbackAddress, isLoopbackName } from '../http/ip-address.ts';
import type { Secret } from '../secret.ts';
import type { ServingProcess } from './snapshot.ts';

/** Whether a Host header names this machine. A web page can have its own name lead here (DNS rebinding). */
export function isLocalHost(host: string | undefined): boolean {
  return isLoopbackName((host ?? '').replace(/:\d*$/, ''));
}

/** Whether a program on this machine sent a request to this machine by a name of its own. */
export function isLocalRequest({ socket, headers }: IncomingMessage): boolean {
  return isLoopbackAddress(socket.remoteAddress ?? '') && isLocalHost(headers.host);
}

/** Whether an Authorization header holds the admin token: as a bearer token, or as the password of any user. */
export function hasAdminToken(token: Secret | undefined, authorization: string | undefined): boolean {
  const [, scheme = '', given = ''] = /^(bearer|basic) +(\S+)$/i.exec(authorization?.trim() ?? '') ?? [];
  if (token === undefined || given === '') return false;
  if (scheme.toLowerCase() === 'bearer') return token.equals(given);
  const [, password = ''] = /^[^:]*:([^]*)$/.exec(Buffer.from(given, 'base64').toString('utf8')) ?? [];
  return token.equals(password);
}

export interface AdminContext {
  /** False from the moment that draining begins. Never depends on a provider. */
  readonly ready: () => boolean;
  readonly reloads: () => Reloads;
  readonly config: () => Config;
  /** All that serve: this one alone, or the workers of this primary. */
  readonly processes: () => readonly ServingProcess[];
  /** The providers are emulated. */
  readonly emulated: boolean;
  /** Of wakala. */
  readonly version: string;
  /** That it was built from; empty where that is not known. */
  readonly commit: string;
  readonly clock: Clock;
}

/** What became of changed configurations. */
export interface Reloads {
  readonly taken: number;
  readonly refused: number;
  /** Why the configuration on disk is not the one that serves. It makes nobody unready: the old one is good. */
  readonly failure: string | undefined;
}

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
