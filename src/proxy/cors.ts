import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HeaderList, headerOf } from './headers.ts';

/** How long a browser may remember a preflight's answer. Seconds. */
const PREFLIGHT_S = 600;

const NONE: Readonly<HeaderList> = [];

/** What lets a page of an allowed origin read an answer (Fetch standard, "CORS protocol"); empty without an origin. */
export function corsHeaders(origin: string | undefined): Readonly<HeaderList> {
  if (origin === undefined) return NONE;
  return [
    ...['access-control-allow-origin', origin],
    ...['access-control-expose-headers', 'wakala-token, x-request-id, proxy-status, retry-after'],
    ...['vary', 'Origin'],
  ];
}

/** Answers the question that a browser asks before a page's request; it is ours to answer, never the provider's. */
export function answerPreflight(
  req: IncomingMessage,
  res: ServerResponse,
  { origin, preflight }: { readonly origin: string | undefined; readonly preflight: string },
  requestId: string,
): void {
  const headers = headerOf(req.rawHeaders, 'access-control-request-headers');
  res.writeHead(204, [
    ...corsHeaders(origin),
    ...['access-control-allow-methods', preflight],
    ...(headers === undefined ? [] : ['access-control-allow-headers', headers]),
    ...['access-control-max-age', String(PREFLIGHT_S)],
    ...['x-request-id', requestId],
  ]);
  res.end();
}
