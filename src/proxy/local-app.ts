import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { Client } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { HeaderList } from './headers.ts';
import type { LiveRoute } from './live-route.ts';
import { placeholderLogin } from './placeholder.ts';
import { asProxyError, problemOf } from './problem.ts';

export interface LocalBindings {
  readonly requestId: string;
  readonly client: Client | undefined;
  /** Put on the answer, whatever it is. */
  readonly extraHeaders: Readonly<HeaderList>;
}

export type LocalListener = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/**
 * Everything on the proxy's listener that is not forwarded: placeholder logins, and the answer to what is no route.
 * Only requests that were judged on their raw target get here; `bindings` has an entry for each.
 */
export function localListener(
  routes: readonly LiveRoute[],
  bindings: WeakMap<object, LocalBindings>,
  now: () => number,
): LocalListener {
  const app = localApp(routes, now);
  // Only a proxied request's bytes matter; here node's own request and response must stay what they are.
  return getRequestListener((request, { incoming }) => app.fetch(request, bindings.get(incoming)), {
    overrideGlobalObjects: false,
  });
}

function localApp(routes: readonly LiveRoute[], now: () => number): Hono<{ Bindings: LocalBindings }> {
  const app = new Hono<{ Bindings: LocalBindings }>();
  app.use(async (c, next) => {
    await next();
    const { extraHeaders } = c.env;
    for (let i = 0; i < extraHeaders.length; i += 2) c.header(extraHeaders[i] ?? '', extraHeaders[i + 1]);
  });
  for (const route of routes) {
    const { provider, tokenPaths } = route.config;
    if (tokenPaths === 'refuse') continue;
    for (const { method, path } of provider.tokenPaths) {
      app.on(method, route.prefix + path.replaceAll(/\{(\w+)\}/g, ':$1'), (c) => {
        c.header('x-request-id', c.env.requestId);
        c.header('cache-control', 'no-store');
        return c.json(placeholderLogin(route, c.env.client, now()));
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

function problemResponse(error: ProxyError, requestId: string): Response {
  const { status, headers, body } = problemOf(error, requestId);
  return new Response(body, { status, headers });
}
