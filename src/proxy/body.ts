import type { IncomingMessage } from 'node:http';
import { ProxyError } from '../errors.ts';
import type { Trail } from '../telemetry/trail.ts';

/**
 * A request body as it goes out: none, whole and so good for a second attempt, or a stream that can be read once.
 * `length` is the client's Content-Length, undefined if it sent chunks.
 */
export type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<Buffer>; readonly length: number | undefined };

const NONE: Body = { kind: 'none' };

export interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly replayLimitBytes: number;
}

/**
 * Gathers a body of up to `replayLimitBytes`; passes a longer one on as a stream. Calls back once, at once where
 * there is no body.
 */
export function receiveBody(
  req: IncomingMessage,
  limits: BodyLimits,
  trail: Trail,
  received: (body: Body) => void,
  failed: (error: ProxyError) => void,
): void {
  const declared = req.headers['content-length'];
  const length = declared === undefined ? undefined : Number(declared);
  if (length === 0 || (length === undefined && req.headers['transfer-encoding'] === undefined)) {
    received(NONE);
  } else if (length !== undefined && length > limits.maxBodyBytes) {
    failed(tooLarge(limits.maxBodyBytes));
  } else if (length !== undefined && length > limits.replayLimitBytes) {
    received({ kind: 'stream', chunks: streamed(req, [], limits.maxBodyBytes, trail), length });
  } else {
    gather(req, limits, trail, received, failed);
  }
}

/** `Expect: 100-continue` (RFC 9110 10.1.1) is answered here, once it is clear that the body is wanted. */
export function expectsContinue(req: IncomingMessage, maxBodyBytes: number): boolean {
  if (req.headers.expect === undefined || req.httpVersion !== '1.1') return false;
  return Number(req.headers['content-length'] ?? 0) <= maxBodyBytes;
}

function gather(
  req: IncomingMessage,
  limits: BodyLimits,
  trail: Trail,
  received: (body: Body) => void,
  failed: (error: ProxyError) => void,
): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const onData = (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    trail.onRequestBytes(chunk);
    if (length <= limits.replayLimitBytes) return;
    req.pause();
    stop();
    if (length > limits.maxBodyBytes) failed(tooLarge(limits.maxBodyBytes));
    else received({ kind: 'stream', chunks: streamed(req, chunks, limits.maxBodyBytes, trail), length: undefined });
  };
  const onEnd = () => {
    stop();
    const [first = Buffer.alloc(0)] = chunks;
    if (length === 0) received(NONE);
    else received({ kind: 'whole', bytes: chunks.length === 1 ? first : Buffer.concat(chunks, length) });
  };
  const stop = () => {
    req.off('data', onData).off('end', onEnd);
  };
  req.on('data', onData).on('end', onEnd);
}

/** What was gathered already, then the rest as it comes; a client that stops half-way makes it throw. */
async function* streamed(
  req: IncomingMessage,
  gathered: Buffer[],
  maxBodyBytes: number,
  trail: Trail,
): AsyncGenerator<Buffer> {
  let length = 0;
  for (const chunk of gathered) {
    length += chunk.length;
    yield chunk;
  }
  // Given up in the middle, it must not take the connection with it: an answer may still go out there.
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    trail.onRequestBytes(chunk);
    if (length > maxBodyBytes) throw tooLarge(maxBodyBytes, 'unknown');
    yield chunk;
  }
  if (!req.complete) throw new ProxyError('bad_request', 'The request body broke off.', { outcome: 'unknown' });
}

function tooLarge(maxBodyBytes: number, outcome: 'not_sent' | 'unknown' = 'not_sent'): ProxyError {
  return new ProxyError(
    'body_too_large',
    `The request body is larger than this route's max_body of ${maxBodyBytes} bytes.`,
    { outcome },
  );
}
