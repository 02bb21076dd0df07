import { type Context, Hono } from 'hono';
import { isLoopbackName } from '../loopback.ts';
import type { Secret } from '../secret.ts';
import type { AdminContext } from './listener.ts';

/** What the admin listener serves besides its probes. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    c.header('cache-control', 'no-store');
    const refusal = refusalOf(context, c);
    if (refusal !== undefined) return refusal;
    await next();
    return undefined;
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
