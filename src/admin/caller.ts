import type { IncomingMessage } from 'node:http';
import { isLoopbackAddress, isLoopbackName } from '../http/ip-address.ts';
import type { Secret } from '../secret.ts';

/** Whether a Host header names this machine. Guards against DNS rebinding, by which a web page's host resolves to it. */
export function isLocalHost(host: string | undefined): boolean {
  return isLoopbackName((host ?? '').replace(/:\d*$/, ''));
}

/** Whether a request was sent by a program on this machine, to a loopback name. */
export function isLocalRequest({ socket, headers }: IncomingMessage): boolean {
  return isLoopbackAddress(socket.remoteAddress ?? '') && isLocalHost(headers.host);
}

/** Whether an Authorization header has the admin token: as a bearer token, or as the password of any user. */
export function hasAdminToken(token: Secret | undefined, authorization: string | undefined): boolean {
  const [, scheme = '', given = ''] = /^(bearer|basic) +(\S+)$/i.exec(authorization?.trim() ?? '') ?? [];
  if (token === undefined || given === '') return false;
  if (scheme.toLowerCase() === 'bearer') return token.equals(given);
  const [, password = ''] = /^[^:]*:([^]*)$/.exec(Buffer.from(given, 'base64').toString('utf8')) ?? [];
  return token.equals(password);
}
