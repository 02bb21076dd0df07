import type { IncomingMessage } from 'node:http';
import { ProxyError } from '../errors.ts';
import type { RequestBody } from '../http/client/http-exchange.ts';
import type { RequestRecord } from '../telemetry/request-record.ts';
import { BodyReader } from '../http/body-reader.ts';

/** A request body to send. A stream can be read only once: a request with one is never sent a second time. */
export type Body = RequestBody;

const NONE: Body = { kind: 'none' };

interface BodyLimits {
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
  record: RequestRecord,
  received: (body: Body) => void,
  failed: (error: ProxyError) => void,
): void {
  const { maxBodyBytes, replayLimitBytes } = limits;
  const declared = req.headers['content-length'];
  const length = declared === undefined ? undefined : Number(declared);
  if (!hasBody(req)) {
    received(NONE);
    return;
  }
  if (length !== undefined && length > maxBodyBytes) {
    failed(tooLarge(maxBodyBytes));
    return;
  }
  const reader = BodyReader.of(req);
  let gathers = length === undefined || length <= replayLimitBytes;
  reader.listen(gathers ? replayLimitBytes : 0, {
    onChunk(chunk) {
      record.onRequestBytes(chunk);
      if (!gathers || reader.bufferedBytes <= replayLimitBytes) return;
      gathers = false;
      if (reader.bufferedBytes > maxBodyBytes) failed(tooLarge(maxBodyBytes));
      else received({ kind: 'stream', chunks: limitedChunks(reader, maxBodyBytes), length });
    },
    onEnd() {
      if (gathers) received(reader.bufferedBytes === 0 ? NONE : { kind: 'bytes', bytes: reader.take() });
    },
    onError(error) {
      if (gathers) failed(error);
    },
  });
  if (!gathers && length !== undefined) received({ kind: 'stream', chunks: limitedChunks(reader, maxBodyBytes), length });
}

export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Begins to read the body of a request that has to wait: unread, it would take far more memory than its bytes. */
export function startReadingBody(req: IncomingMessage): void {
  if (hasBody(req)) BodyReader.of(req);
}

/** `Expect: 100-continue` (RFC 9110 10.1.1) is answered here, once it is clear that the body is wanted. */
export function expectsContinue(req: IncomingMessage, maxBodyBytes: number): boolean {
  if (req.headers.expect === undefined || req.httpVersion !== '1.1') return false;
  return Number(req.headers['content-length'] ?? 0) <= maxBodyBytes;
}

/** The body as it comes. Throws where it is too long. */
async function* limitedChunks(reader: BodyReader, maxBodyBytes: number): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of reader.chunks()) {
    length += chunk.length;
    if (length > maxBodyBytes) throw tooLarge(maxBodyBytes, 'unknown');
    yield chunk;
  }
}

function tooLarge(maxBodyBytes: number, outcome: 'not_sent' | 'unknown' = 'not_sent'): ProxyError {
  return new ProxyError(
    'body_too_large',
    `The request body is larger than this route's max_body of ${maxBodyBytes} bytes.`,
    { outcome },
  );
}
