import { Hono } from 'hono';
import { ProxyError } from '../errors.ts';
import { isFixed } from '../providers/provider.ts';
import { jwtShaped, tokenAnswer } from '../providers/token-answer.ts';
import type { LiveRoute } from './live-route.ts';
import { asProxyError, problemOf } from './problem.ts';

export interface LocalBindings {
  readonly requestId: string;
}

/** A placeholder lives as long as a day's work, so that no client logs in again and again. Seconds. */
const PLACEHOLDER_LIFETIME_S = 3600;

/**
 * Everything on the proxy's listener that is not forwarded: placeholder logins, and the answer to what is no route.
 * Only requests that were judged on their raw target get here.
 */
export function localApp(routes: readonly LiveRoute[], now: () => number): Hono<{ Bindings: LocalBindings }> {
  const app = new Hono<{ Bindings: LocalBindings }>();
  for (const route of routes) {
    const { provider, tokenPaths } = route.config;
    if (tokenPaths === 'refuse') continue;
    for (const { method, path } of provider.tokenPaths) {
      app.on(method, route.prefix + path.replaceAll(/\{(\w+)\}/g, ':$1'), (c) => {
        c.header('x-request-id', c.env.requestId);
        c.header('cache-control', 'no-store');
        return c.json(placeholderLogin(route, now()));
      });
    }
  }
  app.notFound((c) => {
    const prefixes = routes.map((route) => route.config.name).join(', ');
    const error = new ProxyError('no_route', `No route has this path. Configured: ${prefixes}.`);
    return problemResponse(error, c.env.requestId);
  });
  app.onError((error, c) => problemResponse(asProxyError(error), c.env.requestId));
  return app;
}

/** An answer of the provider's own shape, with tokens that are worth nothing: they are thrown away on the next call. */
function placeholderLogin(route: LiveRoute, nowMs: number): object {
  const { provider } = route.config;
  if (isFixed(provider.token)) return {};
  const iat = Math.floor(nowMs / 1000);
  const claims = { iss: 'wakala', sub: 'placeholder', iat, exp: iat + PLACEHOLDER_LIFETIME_S };
  const placeholder = (kind: string) =>
    provider.samples.tokenFormat === 'jwt' ? jwtShaped({ ...claims, kind }) : `wakala-placeholder-${kind}`;
  return tokenAnswer(provider, provider.token.response, {
    accessToken: placeholder('access'),
    refreshToken: placeholder('refresh'),
    lifetimeS: PLACEHOLDER_LIFETIME_S,
    nowMs,
  });
}

function problemResponse(error: ProxyError, requestId: string): Response {
  const { status, headers, body } = problemOf(error, requestId);
  return new Response(body, { status, headers });
}
