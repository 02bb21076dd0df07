import { randomUUID } from 'node:crypto';
import { headerOf } from './headers.ts';

/** What may be taken over from a client without harm to logs and headers. */
const SANE = /^[A-Za-z0-9._:@/+=-]{1,128}$/;

/** The client's `x-request-id`, if sane, else a new one. */
export function requestIdOf(rawHeaders: readonly string[]): string {
  const given = headerOf(rawHeaders, 'x-request-id');
  return given !== undefined && SANE.test(given) ? given : randomUUID();
}
