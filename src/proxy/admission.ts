import type { IncomingMessage } from 'node:http';
import { ProxyError } from '../errors.ts';
import type { Access, Caller } from './access.ts';
import { countOf, headerOf, refuseNominatedFraming } from './headers.ts';
import type { RequestRecord } from '../telemetry/trail.ts';
import type { Route } from './live-route.ts';
import type { RouteTable } from './routes.ts';
import { parseTarget, type Target } from './target.ts';

/** A request that may come in: to a route, or to none. */
export interface Admitted {
  readonly route: Route | undefined;
  readonly caller: Caller;
  /** Path below the route's prefix (the whole path where there is no route), and the query. */
  readonly below: Target;
}

/**
 * Decides on the raw request alone whether it may come in, and where it goes. Notes on the trail who sent it and which
 * route it is for, also where it is refused.
 * @throws ProxyError for every request that must not
 */
export function admit(req: IncomingMessage, access: Access, table: RouteTable<Route>, trail: RequestRecord): Admitted {
  const tooMany = tooManyHeaders(req.rawHeaders);
  if (tooMany !== undefined) throw tooMany;
  refuseBadFraming(req);
  refuseNominatedFraming(req.rawHeaders);
  const host = headerOf(req.rawHeaders, 'host') ?? '';
  const caller = access.admit(req, host);
  const { client } = caller;
  trail.client = client?.name;
  if (req.method === 'TRACE' || req.method === 'CONNECT') throw methodNotAllowed(req.method);
  const target = parseTarget(req.url ?? '', host);
  const route = table.match(target.path);
  trail.route = route?.config.name;
  if (route === undefined) return { route, caller, below: target };
  if (client?.routes !== undefined && !client.routes.includes(route.config.name)) {
    throw new ProxyError('client_forbidden', `The client \`${client.name}\` may not call ${route.config.name}.`);
  }
  const below = { path: target.path.slice(route.prefix.length), query: target.query };
  if (!route.allows(caller.preflight ?? req.method ?? '', below.path)) {
    throw new ProxyError('path_refused', `This call is not in the \`allow\` list of ${route.config.name}.`);
  }
  return { route, caller, below };
}

/** Header lines that a request may have. */
const MAX_HEADERS = 200;

/** The refusal of a request with too many header lines. */
export function tooManyHeaders(rawHeaders: readonly string[]): ProxyError | undefined {
  const count = rawHeaders.length / 2;
  if (count <= MAX_HEADERS) return undefined;
  return new ProxyError(
    'header_too_large',
    `The request has ${count} header lines. Send at most ${MAX_HEADERS}. Nothing was sent.`,
  );
}

/** What node's parser lets through and a strict upstream would not (RFC 9112 3.2, 6.1). */
function refuseBadFraming(req: IncomingMessage): void {
  const raw = req.rawHeaders;
  if (req.httpVersionMajor !== 1) throw badRequest('only HTTP/1.1 and HTTP/1.0 are spoken');
  if (countOf(raw, 'host') !== 1) throw badRequest('exactly one Host header is needed');
  if (!/^[\w.\-[\]:]*$/.test(headerOf(raw, 'host') ?? '')) throw badRequest('the Host header is malformed');
  const codings = countOf(raw, 'transfer-encoding');
  if (codings === 0) return;
  if (codings > 1 || headerOf(raw, 'transfer-encoding')?.toLowerCase() !== 'chunked') {
    throw badRequest('the only Transfer-Encoding taken is `chunked`');
  }
  if (req.httpVersion === '1.0') throw badRequest('HTTP/1.0 knows no Transfer-Encoding');
  if (countOf(raw, 'content-length') > 0) throw badRequest('Transfer-Encoding and Content-Length exclude each other');
}

export function methodNotAllowed(method: string): ProxyError {
  return new ProxyError('method_not_allowed', `${method} is not forwarded.`);
}

function badRequest(what: string): ProxyError {
  return new ProxyError('bad_request', `The request was refused: ${what}. Nothing was sent.`);
}
