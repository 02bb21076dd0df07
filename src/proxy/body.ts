import type { IncomingMessage } from 'node:http';
import { ProxyError } from '../errors.ts';
import { BodyReader } from '../http/body-reader.ts';
import type { RequestBody } from '../http/client/http-exchange.ts';
import type { RequestRecord } from '../telemetry/request-record.ts';

const NO_BODY: RequestBody = { kind: 'none' };

interface BodyLimits {
  readonly maxBodyBytes: number;
  readonly replayLimitBytes: number;
}

/**
 * Collects a body of up to `replayLimitBytes`, and passes a longer one on as a stream. Calls `onBody` or `onError` once,
 * synchronously if there is no body.
 * @param mustHold refuses a longer body instead: it has to be signed whole
 */
export function receiveBody(
  req: IncomingMessage,
  limits: BodyLimits,
  record: RequestRecord,
  onBody: (body: RequestBody) => void,
  onError: (error: ProxyError) => void,
  mustHold = false,
): void {
  const { maxBodyBytes, replayLimitBytes } = limits;
  const declared = req.headers['content-length'];
  const length = declared === undefined ? undefined : Number(declared);
  if (!hasBody(req)) {
    onBody(NO_BODY);
    return;
  }
  if (length !== undefined && length > maxBodyBytes) {
    onError(tooLarge(maxBodyBytes));
    return;
  }
  if (mustHold && length !== undefined && length > replayLimitBytes) {
    onError(tooLargeToSign(replayLimitBytes));
    return;
  }
  const reader = BodyReader.of(req);
  let isCollecting = length === undefined || length <= replayLimitBytes;
  reader.listen(isCollecting ? replayLimitBytes : 0, {
    onChunk(chunk) {
      record.onRequestBytes(chunk);
      if (!isCollecting || reader.bufferedBytes <= replayLimitBytes) return;
      isCollecting = false;
      if (reader.bufferedBytes > maxBodyBytes) onError(tooLarge(maxBodyBytes));
      else if (mustHold) onError(tooLargeToSign(replayLimitBytes));
      else onBody({ kind: 'stream', chunks: limitedChunks(reader, maxBodyBytes), length });
    },
    onEnd() {
      if (isCollecting) onBody(reader.bufferedBytes === 0 ? NO_BODY : { kind: 'bytes', bytes: reader.take() });
    },
    onError(error) {
      if (isCollecting) onError(error);
    },
  });
  if (!isCollecting && length !== undefined) {
    onBody({ kind: 'stream', chunks: limitedChunks(reader, maxBodyBytes), length });
  }
}

/** RFC 9112 6: Content-Length or Transfer-Encoding signals a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/**
 * Starts reading the body of a request that has to wait. The stream of node:http would keep it in far more memory than
 * its bytes (see BodyReader).
 */
export function startReadingBody(req: IncomingMessage): void {
  if (hasBody(req)) BodyReader.of(req);
}

/** Whether to send 100 (Continue) for an `Expect: 100-continue` (RFC 9110 10.1.1). Not for a body that is too large. */
export function expectsContinue(req: IncomingMessage, maxBodyBytes: number): boolean {
  if (req.headers.expect === undefined || req.httpVersion !== '1.1') return false;
  return Number(req.headers['content-length'] ?? 0) <= maxBodyBytes;
}

/** The chunks of the body as they arrive. Throws once there are more than `maxBodyBytes`. */
async function* limitedChunks(reader: BodyReader, maxBodyBytes: number): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of reader.chunks()) {
    length += chunk.length;
    if (length > maxBodyBytes) throw tooLarge(maxBodyBytes, 'unknown');
    yield chunk;
  }
}

function tooLargeToSign(replayLimitBytes: number): ProxyError {
  return new ProxyError(
    'body_too_large',
    `The request body is larger than ${replayLimitBytes} bytes, the limit set by replay_limit. A signing rule of this route needs the whole body, so a larger one is not streamed. Nothing was sent.`,
  );
}

function tooLarge(maxBodyBytes: number, outcome: 'not_sent' | 'unknown' = 'not_sent'): ProxyError {
  return new ProxyError(
    'body_too_large',
    `The request body is larger than ${maxBodyBytes} bytes, the limit set by max_body.`,
    { outcome },
  );
}
