import { describe, expect, it } from 'vitest';
import { ResponseParser } from '../../../src/http/client/response-parser.ts';
import { everyByte, readResponse } from './parser-reading.ts';
import { ACCEPTED, REFUSED } from './response-corpus.ts';

describe('a response is accepted:', () => {
  it.each(ACCEPTED)('$name', ({ method = 'GET', bytes, status, reason, body, headers, keepsAlive = true, ...rest }) => {
    const { untilClose = false, excess = 0 } = rest;
    const reading = readResponse(method, Buffer.from(bytes, 'latin1'), []);
    expect(reading).toMatchObject({ result: 'complete', status, body, keepsAlive: keepsAlive && !untilClose });
    expect(reading.consumed).toBe(bytes.length - excess);
    if (reason !== undefined) expect(reading.reason).toBe(reason);
    if (headers !== undefined) expect(reading.headers).toEqual(headers);
  });
});

describe('a response is refused:', () => {
  it.each(REFUSED)('$name (rule $rule)', ({ method = 'GET', bytes, rule }) => {
    const reading = readResponse(method, Buffer.from(bytes, 'latin1'), []);
    expect(reading).toMatchObject({ result: 'refused', rule });
  });
});

describe('delivery', () => {
  const cases = [...ACCEPTED, ...REFUSED];

  it.each(cases)('byte by byte has the same result as at once: $name', ({ method = 'GET', bytes }) => {
    const buffer = Buffer.from(bytes, 'latin1');
    // A response is refused at the same byte or earlier, so the body read until then may differ.
    const inOnePiece = readResponse(method, buffer, []);
    const byteByByte = readResponse(method, buffer, everyByte(buffer));
    if (inOnePiece.result === 'refused') byteByByte.consumed = inOnePiece.consumed;
    expect(byteByByte).toEqual(inOnePiece);
  });

  it.each(cases)('in two parts has the same result, wherever the cut is: $name', ({ method = 'GET', bytes }) => {
    const buffer = Buffer.from(bytes, 'latin1');
    const inOnePiece = readResponse(method, buffer, []);
    const step = Math.ceil(buffer.length / 400);
    for (let cut = 1; cut < buffer.length; cut += step) {
      const inTwo = readResponse(method, buffer, [cut]);
      if (inOnePiece.result === 'refused') inTwo.consumed = inOnePiece.consumed;
      expect(inTwo, `cut at ${cut}`).toEqual(inOnePiece);
    }
  });

  it.each(ACCEPTED.filter(({ untilClose }) => untilClose !== true))(
    'that ends early is never complete: $name',
    ({ method = 'GET', bytes, excess = 0 }) => {
      const buffer = Buffer.from(bytes, 'latin1');
      const step = Math.ceil(buffer.length / 400);
      for (let length = 0; length < buffer.length - excess; length += step) {
        expect(readResponse(method, buffer.subarray(0, length), []).result, `${length} bytes`).toBe('cut off');
      }
    },
  );

  it('takes time in proportion to the bytes, also byte by byte', () => {
    const long = Buffer.from(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(16_000)}\r\ncontent-length: 0\r\n\r\n`);
    const short = Buffer.from(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(900)}\r\ncontent-length: 0\r\n\r\n`);
    const cpuUs = (bytes: Buffer, repetitions: number) => {
      const before = process.cpuUsage();
      for (let i = 0; i < repetitions; i++) readResponse('GET', bytes, everyByte(bytes));
      return process.cpuUsage(before).user / (repetitions * bytes.length);
    };
    cpuUs(short, 50);
    // Were it quadratic, a byte of the long head would cost 17 times as much.
    expect(cpuUs(long, 10) / cpuUs(short, 150)).toBeLessThan(6);
  });
});

describe('the parser', () => {
  function parser() {
    const heads: number[] = [];
    const bodies: string[] = [];
    const read = new ResponseParser({
      onHead: (status) => heads.push(status),
      onBody: (buffer, start, end) => bodies.push(buffer.toString('latin1', start, end)),
    });
    return { heads, bodies, read };
  }

  it('reads one response after another', () => {
    const { heads, bodies, read } = parser();
    for (const bytes of [
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na',
      'HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nbc',
    ]) {
      read.start('GET');
      expect(read.hasStarted).toBe(false);
      read.read(Buffer.from(bytes), bytes.length);
      expect(read.isComplete).toBe(true);
    }
    expect([heads, bodies]).toEqual([
      [200, 201],
      ['a', 'bc'],
    ]);
  });

  it.each([
    ['timeout=5', 5000],
    ['timeout=5, max=100', 5000],
    ['max=100, Timeout = 7', 7000],
    ['timeout=0', 0],
    ['timeout=x', undefined],
    ['max=5', undefined],
    ['nottimeout=5', undefined],
  ])('reads Keep-Alive: %s', (value, ms) => {
    const { read } = parser();
    const bytes = Buffer.from(`HTTP/1.1 200 OK\r\nKeep-Alive: ${value}\r\ncontent-length: 0\r\n\r\n`);
    read.start('GET');
    read.read(bytes, bytes.length);
    expect(read.keepAliveMs).toBe(ms);
  });

  it('reports how many body bytes are left', () => {
    const { read } = parser();
    const bytes = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nabc');
    read.start('GET');
    read.read(bytes, bytes.length);
    expect(read.remainingBytes).toBe(99_997);
  });

  it('quotes nothing of the server in its errors', () => {
    for (const { method = 'GET', bytes } of REFUSED) {
      const { read } = parser();
      read.start(method);
      const buffer = Buffer.from(bytes, 'latin1');
      let message = '';
      try {
        read.read(buffer, buffer.length);
      } catch (error) {
        message = (error as Error).message;
      }
      expect(message).toMatch(/^it(s| )[ \w.,/()-]+$/);
    }
  });
});
