import type { IncomingMessage, ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { MiddlewareHandler } from 'hono';
import { createWakala, type Wakala, type WakalaOptions } from './index.ts';

/** The bindings of `@hono/node-server`. */
interface NodeBindings {
  readonly incoming?: IncomingMessage;
  readonly outgoing?: ServerResponse;
}

/**
 * A Hono middleware that proxies requests with a route and passes all others on. Requires `@hono/node-server`, because
 * the provider must receive exactly the bytes that the client sent.
 * @param proxy options, or the result of `createWakala` if you want to close it
 * @throws ConfigError with all problems of the configuration
 * @example
 * app.use(wakala({ config: 'proxy.config.yaml' }));
 */
export function wakala(proxy: WakalaOptions | Wakala): MiddlewareHandler {
  const { handler, hasRoute } = 'handler' in proxy ? proxy : createWakala(proxy);
  return async function wakalaProxy(c, next) {
    const { incoming, outgoing } = (c.env ?? {}) as NodeBindings;
    if (incoming === undefined || outgoing === undefined) {
      throw new Error('wakala/hono needs the requests of node:http. Serve the app with @hono/node-server.');
    }
    if (!hasRoute(incoming.url ?? '')) {
      await next();
      return undefined;
    }
    handler(incoming, outgoing);
    return RESPONSE_ALREADY_SENT;
  };
}
