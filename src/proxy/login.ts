import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Client } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import type { HeaderList } from '../http/header-list.ts';
import { endResponse } from '../http/linger.ts';
import { isFixed } from '../providers/provider.ts';
import { jwtShaped, sampleTokenResponse } from '../providers/sample-response.ts';
import type { Route } from './route.ts';

/** Long enough that no client logs in again and again. Seconds. */
const PLACEHOLDER_LIFETIME_S = 3600;

/** In an opaque placeholder, before its claims. */
const PLACEHOLDER_MARK = 'wakala-placeholder';

interface Claims {
  readonly iss: 'wakala';
  /** The client it was given to; empty where there is no `clients` list. */
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
  readonly kind: 'access' | 'refresh';
}

/** A client that showed a placeholder that is still good. */
export interface VerifiedPlaceholder {
  readonly client: Client;
  /** Epoch seconds. */
  readonly expiresAtS: number;
}

/**
 * The answer to a login that a client makes through a route: of the provider's own shape, with tokens that open nothing
 * at the provider. Where clients are known by keys it is signed with the client's own, so that any replica takes it.
 * Made with a placeholder, it gives one that expires when that does: else a stolen one could be renewed forever.
 */
function placeholderLogin(route: Route, { client, placeholderExpiresAtS }: Caller, nowMs: number): object {
  const { provider } = route.config;
  if (isFixed(provider.token)) return {};
  const iat = Math.floor(nowMs / 1000);
  const exp = placeholderExpiresAtS ?? iat + PLACEHOLDER_LIFETIME_S;
  const make = (kind: Claims['kind']) => {
    const claims: Claims = { iss: 'wakala', sub: client?.name ?? '', iat, exp, kind };
    return signedPlaceholder(claims, provider.samples.tokenFormat, client);
  };
  return sampleTokenResponse(provider, provider.token.response, {
    accessToken: make('access'),
    refreshToken: make('refresh'),
    lifetimeS: exp - iat,
    nowMs,
  });
}

/** The use of a placeholder, if it is one, is still good, and was made with the key of the client it names. */
export function verifyPlaceholder(
  token: string,
  clientNamed: (name: string) => Client | undefined,
  nowMs: number,
): VerifiedPlaceholder | undefined {
  const [, payload = '', signature = ''] = token.split('.');
  const claims = decodeClaims(payload);
  if (claims === undefined || claims.kind !== 'access' || claims.exp * 1000 <= nowMs) return undefined;
  const client = clientNamed(claims.sub);
  const expected = Buffer.from(client === undefined ? '' : (signatureOf(payload, client) ?? ''));
  const given = Buffer.from(signature);
  if (client === undefined || expected.length === 0 || expected.length !== given.length) return undefined;
  return timingSafeEqual(expected, given) ? { client, expiresAtS: claims.exp } : undefined;
}

function signedPlaceholder(claims: Claims, format: 'jwt' | 'opaque', client: Client | undefined): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const [header = ''] = format === 'jwt' ? jwtShaped({ ...claims }).split('.') : [PLACEHOLDER_MARK];
  return `${header}.${payload}.${signatureOf(payload, client) ?? 'unsigned'}`;
}

function signatureOf(payload: string, client: Client | undefined): string | undefined {
  if (client?.key === undefined) return undefined;
  return createHmac('sha256', client.key.reveal()).update(`${PLACEHOLDER_MARK}.${payload}`).digest('base64url');
}

function decodeClaims(payload: string): Claims | undefined {
  try {
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Claims | null;
    return claims?.iss === 'wakala' && typeof claims.sub === 'string' && Number.isFinite(claims.exp)
      ? claims
      : undefined;
  } catch {
    return undefined;
  }
}

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

/** Who sent a request. */
export interface Caller {
  /** Undefined where anyone may call. */
  readonly client: Client | undefined;
  /** When the placeholder expires that the client showed in place of its key or certificate. Epoch seconds. */
  readonly placeholderExpiresAtS: number | undefined;
  /** The allowed origin of the web page that sent it; undefined if no page did. */
  readonly origin: string | undefined;
  /** The method that a browser asks about before it sends a page's request; undefined for any other request. */
  readonly preflight: string | undefined;
}
