import type { IncomingMessage, ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { MiddlewareHandler } from 'hono';
import { createWakala, type Wakala, type WakalaOptions } from './index.ts';

/** What `@hono/node-server` gives an app of its request. */
interface NodeBindings {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
}

/**
 * A Hono middleware that proxies what a route takes and passes the rest on. For apps on `@hono/node-server`: the
 * provider is to get the very bytes that the client sent.
 * @param proxy options, or a proxy that was made before, so that it can be closed
 * @throws ConfigError with all that is wrong with the configuration
 */
export function wakala(proxy: WakalaOptions | Wakala): MiddlewareHandler {
  const { handler, hasRoute } = 'handler' in proxy ? proxy : createWakala(proxy);
  return async function wakalaProxy(c, next) {
    const { incoming, outgoing } = (c.env ?? {}) as NodeBindings;
    if (incoming === undefined || outgoing === undefined) {
      throw new Error('wakala/hono needs the requests of node:http: serve the app with @hono/node-server');
    }
    if (!hasRoute(incoming.url ?? '')) {
      await next();
      return undefined;
    }
    handler(incoming, outgoing);
    return RESPONSE_ALREADY_SENT;
  };
}
