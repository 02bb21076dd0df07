import { type Context, Hono } from 'hono';
import { isLoopbackName } from '../loopback.ts';
import type { Secret } from '../secret.ts';
import { snapshotsOf } from './collect.ts';
import type { AdminContext } from './listener.ts';

/** What the admin listener serves besides its probes. */
export function adminApp(context: AdminContext): Hono {
  const app = new Hono();
  app.get('/metrics', async (c) => {
    const { renderMetrics } = await import('./metrics.ts');
    const { contentType, text } = await renderMetrics(context, await snapshotsOf(context.processes()));
    return c.body(text, 200, { 'content-type': contentType, 'cache-control': 'no-store' });
  });
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
  const { admin, adminToken } = context.config();
  if (isLoopbackName(admin?.host ?? '')) {
    // A page that a browser was led to must not read this by way of a name that points here.
    const host = (c.req.header('host') ?? '').replace(/:\d*$/, '');
    return isLoopbackName(host) ? undefined : c.text('host refused\n', 403);
  }
  if (isAuthorized(adminToken, c.req.header('authorization'))) return undefined;
  c.header('www-authenticate', 'Basic realm="wakala admin", Bearer realm="wakala admin"');
  const how = 'as a bearer token, or as the password that a browser asks for';
  return c.text(`set \`admin: {address, token}\`, and send the token ${how}\n`, 401);
}

/** Basic is for browsers, with any user name. */
function isAuthorized(token: Secret | undefined, header: string | undefined): boolean {
  const [, scheme = '', given = ''] = /^(bearer|basic) +(\S+)$/i.exec(header?.trim() ?? '') ?? [];
  if (token === undefined || given === '') return false;
  if (scheme.toLowerCase() === 'bearer') return token.equals(given);
  const [, password = ''] = /^[^:]*:([^]*)$/.exec(Buffer.from(given, 'base64').toString('utf8')) ?? [];
  return token.equals(password);
}
