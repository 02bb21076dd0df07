import { Hono } from 'hono';
import { isLoopbackName } from '../loopback.ts';

export interface AdminContext {
  /** False from the moment that draining begins. Never depends on a provider. */
  readonly ready: () => boolean;
  /** Why the configuration on disk is not the one that serves. It makes nobody unready: the old one is good. */
  readonly reloadFailure: () => string | undefined;
}

/** The admin listener: `/livez` says that the process answers, `/readyz` that it takes requests. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    // A page that a browser was led to must not read this by way of a name that points to 127.0.0.1.
    const name = (c.req.header('host') ?? '').replace(/:\d*$/, '');
    const probe = /^[\d.]+$/.test(name) || name.startsWith('[');
    if (!isLoopbackName(name) && !probe) return c.text('host refused\n', 403);
    c.header('cache-control', 'no-store');
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
