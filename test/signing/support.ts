import type { SignRule } from '../../src/providers/sign-rule.ts';
import { Secret } from '../../src/secret.ts';
import type { UnsignedRequest } from '../../src/signing/outgoing-request.ts';
import type { SignScope } from '../../src/signing/scope.ts';
import { type SignedRequest, Signer } from '../../src/signing/signer.ts';

/** 2026-01-01T12:00:00.123Z */
export const NOW_MS = Date.UTC(2026, 0, 1, 12, 0, 0, 123);

/** The bytes 00 01 02 and so on. */
export const countingBytes = (size: number) => Buffer.from(Array.from({ length: size }, (_, i) => i));

export function scopeOf(credentials: Record<string, string>, options: Partial<SignScope> = {}): SignScope {
  return {
    credentials: new Map(Object.entries(credentials).map(([name, value]) => [name, new Secret(value)])),
    publicCredentials: new Set(),
    names: ['access_token'],
    hasRequest: true,
    tokenHeaders: new Set(['authorization']),
    maySetAuthorization: false,
    randomBytes: countingBytes,
    ...options,
  };
}

export function requestOf(
  call: string,
  { body, ...options }: Partial<Omit<UnsignedRequest, 'body'>> & { body?: string } = {},
): UnsignedRequest {
  const [method = '', target = ''] = call.split(' ');
  const question = target.indexOf('?');
  return {
    method,
    host: 'api.example.com',
    basePath: '',
    path: question === -1 ? target : target.slice(0, question),
    query: question === -1 ? '' : target.slice(question),
    headers: body === undefined ? [] : ['Content-Type', 'application/json'],
    body: body === undefined ? undefined : Buffer.from(body),
    accessToken: 'emulated-token',
    nowMs: NOW_MS,
    ...options,
  };
}

/** The request after the rules. */
export async function signed(
  rules: readonly SignRule[],
  scope: SignScope,
  request: UnsignedRequest,
): Promise<SignedRequest> {
  const call = new Signer(rules, scope).for(request.method, request.path);
  if (call === undefined) throw new Error('no rule applies');
  return call.sign(request);
}

/** The value of a header, by its exact name. */
export function header({ headers }: Pick<SignedRequest, 'headers'>, name: string): string | undefined {
  const at = headers.findIndex((line, i) => i % 2 === 0 && line === name);
  return at === -1 ? undefined : headers[at + 1];
}
