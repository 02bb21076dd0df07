import type { ServerResponse } from 'node:http';
import type { Client } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { Caller } from './access.ts';
import type { HeaderList } from './headers.ts';
import { endResponse } from './linger.ts';
import type { Route } from './live-route.ts';
import { placeholderLogin } from './placeholder.ts';

/** Answers a login that a client makes through a route. The provider never sees it. */
export function sendLogin(
  res: ServerResponse,
  route: Route,
  caller: Caller,
  { requestId, nowMs, extraHeaders }: { requestId: string; nowMs: number; extraHeaders: Readonly<HeaderList> },
): void {
  const body = JSON.stringify(placeholderLogin(route, caller, nowMs));
  res.writeHead(200, [
    ...['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))],
    ...['cache-control', 'no-store', 'x-request-id', requestId],
    ...extraHeaders,
  ]);
  endResponse(res, body);
}

/** For a path that no route has. It names the routes that this client may call, and no other. */
export function noRoute(routes: readonly Route[], client: Client | undefined): ProxyError {
  const names = routes.map(({ config }) => config.name).filter((name) => client?.routes?.includes(name) ?? true);
  return new ProxyError('no_route', `No route has this path. Configured: ${names.join(', ')}.`);
}
