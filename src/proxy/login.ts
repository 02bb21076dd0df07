import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Client } from '../config/config.ts';
import type { HeaderList } from '../http/header-list.ts';
import { endResponse } from '../http/linger.ts';
import { isRequested } from '../providers/provider.ts';
import { encodedSample, jwtShaped, sampleTokenResponse } from '../providers/sample-response.ts';
import type { Route } from './route.ts';

const PLACEHOLDER_LIFETIME_S = 3600;

/** First part of an opaque placeholder, and part of what is signed. */
const PLACEHOLDER_MARK = 'wakala-placeholder';

interface Claims {
  readonly iss: 'wakala';
  /** Name of the client that it was issued to. Empty if there is no `clients` list. */
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
  readonly kind: 'access' | 'refresh';
}

/** Who sent a request, as far as its credentials tell. */
export interface CallerIdentity {
  /** Undefined if anyone may call. */
  readonly client: Client | undefined;
  /** When the placeholder expires that was sent instead of a key or certificate. Epoch seconds. */
  readonly placeholderExpiresAtS: number | undefined;
}

/** A placeholder that is valid and not expired. */
export interface VerifiedPlaceholder {
  readonly client: Client;
  /** Epoch seconds. */
  readonly expiresAtS: number;
}

/** Responds to a client's login on a route (`token_paths: placeholder`). It is never forwarded. */
export function sendLogin(
  res: ServerResponse,
  route: Route,
  caller: CallerIdentity,
  { requestId, nowMs, extraHeaders }: { requestId: string; nowMs: number; extraHeaders: Readonly<HeaderList> },
): void {
  const { contentType, body } = placeholderLogin(route, caller, nowMs);
  res.writeHead(200, [
    ...['content-type', contentType, 'content-length', String(Buffer.byteLength(body))],
    ...['cache-control', 'no-store', 'x-request-id', requestId],
    ...extraHeaders,
  ]);
  endResponse(res, body);
}

/**
 * A token response of the provider's format whose tokens are placeholders: the provider does not accept them. If the
 * client has a key, they are signed with it, so that every replica can verify them. A login with a placeholder returns
 * one with the same expiry: otherwise a stolen placeholder could be renewed forever.
 */
function placeholderLogin(route: Route, { client, placeholderExpiresAtS }: CallerIdentity, nowMs: number) {
  const { provider } = route.config;
  if (!isRequested(provider.token)) return { contentType: 'application/json', body: '{}' };
  const iat = Math.floor(nowMs / 1000);
  const exp = placeholderExpiresAtS ?? iat + PLACEHOLDER_LIFETIME_S;
  const placeholder = (kind: Claims['kind']) => {
    const claims: Claims = { iss: 'wakala', sub: client?.name ?? '', iat, exp, kind };
    return encodePlaceholder(claims, provider.samples.tokenFormat, client);
  };
  const { response } = provider.token;
  const values = {
    accessToken: placeholder('access'),
    refreshToken: placeholder('refresh'),
    lifetimeS: exp - iat,
    nowMs,
  };
  return encodedSample(sampleTokenResponse(provider, response, values), response);
}

/**
 * Verifies a placeholder: not expired, and signed with the key of the client that it names.
 * @returns undefined for anything else
 */
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

function encodePlaceholder(claims: Claims, format: 'jwt' | 'opaque', client: Client | undefined): string {
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
