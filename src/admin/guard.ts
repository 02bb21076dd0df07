import type { Context, MiddlewareHandler } from 'hono';
import { isLoopbackName } from '../loopback.ts';
import type { Secret } from '../secret.ts';
import type { AdminContext } from './listener.ts';
import { problemAnswer } from './problem.ts';

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

/** Who may see the admin app, and who may act in it. */
export function guard(context: AdminContext): MiddlewareHandler {
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
  return problemAnswer(c, { status: 403, code: 'origin_refused', detail });
}
