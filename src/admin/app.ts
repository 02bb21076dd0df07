import { type Context, Hono } from 'hono';
import { isLoopbackName } from '../loopback.ts';
import type { Secret } from '../secret.ts';

export interface AdminContext {
  /** False from the moment that draining begins. Never depends on a provider. */
  readonly ready: () => boolean;
  /** Why the configuration on disk is not the one that serves. It makes nobody unready: the old one is good. */
  readonly reloadFailure: () => string | undefined;
  /** Whether only this machine can reach the listener: then all of it is open. */
  readonly loopback: boolean;
  /** Elsewhere, what everything but the probes asks for; undefined: it is not served there. */
  readonly token: () => Secret | undefined;
}

/** Paths that Kubernetes asks at the pod's address, without credentials. */
const PROBES = new Set(['/livez', '/readyz']);

/** The admin listener: `/livez` says that the process answers, `/readyz` that it takes requests. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    c.header('cache-control', 'no-store');
    const refusal = PROBES.has(c.req.path) ? undefined : refusalOf(context, c);
    if (refusal !== undefined) return refusal;
    await next();
    return undefined;
  });
  app.get('/livez', (c) => c.json({ status: 'live' }));
  app.get('/readyz', (c) => {
    if (!context.ready()) return c.json({ status: 'draining' }, 503);
    const detail = context.reloadFailure();
    return c.json({ status: 'ready', ...(detail === undefined ? {} : { detail }) });
  });
  app.get('/', (c) => c.text('wakala admin\n\n/livez   the process answers\n/readyz  it takes requests\n'));
  return app;
}

function refusalOf(context: AdminContext, c: Context): Response | undefined {
  if (context.loopback) {
    // A page that a browser was led to must not read this by way of a name that points here.
    const host = (c.req.header('host') ?? '').replace(/:\d*$/, '');
    return isLoopbackName(host) ? undefined : c.text('host refused\n', 403);
  }
  if (isAuthorized(context.token(), c.req.header('authorization'))) return undefined;
  c.header('www-authenticate', 'Bearer realm="wakala admin"');
  return c.text('set `admin: {address, token}` and send the token as a bearer token\n', 401);
}

function isAuthorized(token: Secret | undefined, header: string | undefined): boolean {
  const [, given] = /^bearer +(\S+)$/i.exec(header?.trim() ?? '') ?? [];
  return token !== undefined && given !== undefined && token.equals(given);
}
