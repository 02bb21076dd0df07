import { InvalidResponse, ResponseParser } from '../../../src/http/client/response-parser.ts';

/** What a parser made of a stream of bytes. */
export interface Reading {
  status: number;
  reason: string;
  headers: string[];
  body: string;
  /** `cut off`: the connection ended before the response did. */
  result: 'complete' | 'cut off' | 'refused';
  rule: number | undefined;
  /** Bytes that belong to the response, if it is complete. */
  consumed: number;
  keepsAlive: boolean;
}

const SCRATCH = Buffer.alloc(256 * 1024);

/** Reads one response in parts that end at these offsets. Then the connection ends. */
export function readResponse(method: string, bytes: Buffer, cuts: readonly number[]): Reading {
  const reading: Reading = {
    status: 0,
    reason: '',
    headers: [],
    body: '',
    result: 'cut off',
    rule: undefined,
    consumed: 0,
    keepsAlive: false,
  };
  const parser = new ResponseParser({
    onHead: (status, reason, rawHeaders) => Object.assign(reading, { status, reason, headers: rawHeaders }),
    onBody: (buffer, start, end) => (reading.body += buffer.toString('latin1', start, end)),
  });
  parser.start(method);
  try {
    let from = 0;
    for (let i = 0; i <= cuts.length && !parser.isComplete; i++) {
      const to = cuts[i] ?? bytes.length;
      if (to === from) continue;
      // In the buffer are the next bytes alone: a parser that looks beyond them finds other ones.
      bytes.copy(SCRATCH, 0, from, to);
      SCRATCH.fill('!', to - from, to - from + 4);
      reading.consumed += parser.read(SCRATCH, to - from);
      from = to;
    }
    if (parser.isComplete || parser.endsWithConnection) reading.result = 'complete';
    reading.keepsAlive = parser.keepsAlive && parser.isComplete;
  } catch (error) {
    if (!(error instanceof InvalidResponse)) throw error;
    reading.result = 'refused';
    reading.rule = error.rule;
  }
  return reading;
}

/** Cuts after every byte. */
export function everyByte(bytes: Buffer): number[] {
  return Array.from({ length: Math.max(bytes.length - 1, 0) }, (_, i) => i + 1);
}
