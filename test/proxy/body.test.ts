import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ProxyError } from '../../src/errors.ts';
import type { RequestBody } from '../../src/http/client/http-exchange.ts';
import { receiveBody } from '../../src/proxy/body.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import { listen } from '../support/listen.ts';

const RECORD = new RequestRecord('request-1', 'POST', []);
const LIMITS = { replayLimitBytes: 8, maxBodyBytes: 16 };

/** The head of a request, on a real connection that more can be written to. */
async function incoming(...lines: string[]): Promise<{ req: IncomingMessage; socket: Socket }> {
  const server = createServer();
  const socket = connect(await listen(server), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
  const [req] = (await once(server, 'request')) as [IncomingMessage];
  return { req, socket };
}

function received(req: IncomingMessage, limits = LIMITS, mustHold = false): Promise<RequestBody | ProxyError> {
  return new Promise((resolve) => receiveBody(req, limits, RECORD, resolve, resolve, mustHold));
}

async function bytesOf(body: RequestBody | ProxyError): Promise<string> {
  if (!('kind' in body) || body.kind !== 'stream') throw new Error('no stream');
  const chunks: Buffer[] = [];
  for await (const chunk of body.chunks) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function chunks(...parts: string[]): string {
  return parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('');
}

describe('receiveBody', () => {
  it.each([[[]], [['Content-Length: 0']]])('calls back synchronously without a body: %j', async (lines) => {
    const { req } = await incoming(...lines);
    const seen: RequestBody[] = [];
    receiveBody(
      req,
      LIMITS,
      RECORD,
      (body) => seen.push(body),
      () => {},
    );
    expect(seen).toEqual([{ kind: 'none' }]);
  });

  it('treats an empty chunked body as none', async () => {
    const { req, socket } = await incoming('Transfer-Encoding: chunked');
    socket.write('0\r\n\r\n');
    expect(await received(req)).toEqual({ kind: 'none' });
  });

  it('collects a body of exactly the replay limit, by length and in chunks', async () => {
    const byLength = await incoming('Content-Length: 8');
    byLength.socket.write('12345678');
    expect(await received(byLength.req)).toEqual({ kind: 'bytes', bytes: Buffer.from('12345678') });
    const chunked = await incoming('Transfer-Encoding: chunked');
    chunked.socket.write(`${chunks('123', '45678')}0\r\n\r\n`);
    expect(await received(chunked.req)).toEqual({ kind: 'bytes', bytes: Buffer.from('12345678') });
  });

  it('streams a body that is one byte longer, by length and in chunks', async () => {
    const byLength = await incoming('Content-Length: 9');
    const body = await received(byLength.req);
    expect(body).toMatchObject({ kind: 'stream', length: 9 });
    byLength.socket.write('123456789');
    expect(await bytesOf(body)).toBe('123456789');
    const chunked = await incoming('Transfer-Encoding: chunked');
    chunked.socket.write(`${chunks('123', '456789')}0\r\n\r\n`);
    const streamed = await received(chunked.req);
    expect(streamed).toMatchObject({ kind: 'stream', length: undefined });
    expect(await bytesOf(streamed)).toBe('123456789');
  });

  it('streams a chunked body as it arrives', async () => {
    const { req, socket } = await incoming('Transfer-Encoding: chunked');
    socket.write(chunks('123456789'));
    const body = await received(req);
    if (!('kind' in body) || body.kind !== 'stream') throw new Error('no stream');
    const iterator = body.chunks[Symbol.asyncIterator]();
    expect(String((await iterator.next()).value)).toBe('123456789');
    socket.write(chunks('abc'));
    expect(String((await iterator.next()).value)).toBe('abc');
    socket.write('0\r\n\r\n');
    expect(await iterator.next()).toMatchObject({ done: true });
  });

  it('accepts a declared length of exactly max_body and refuses one byte more', async () => {
    const good = await incoming('Content-Length: 16');
    expect(await received(good.req)).toMatchObject({ kind: 'stream', length: 16 });
    const bad = await incoming('Content-Length: 17');
    expect(await received(bad.req)).toMatchObject({ code: 'body_too_large', outcome: 'not_sent' });
  });

  it('accepts a chunked body of exactly max_body and fails one byte later', async () => {
    const good = await incoming('Transfer-Encoding: chunked');
    good.socket.write(`${chunks('123456789', 'abcdefg')}0\r\n\r\n`);
    expect(await bytesOf(await received(good.req))).toBe('123456789abcdefg');
    const bad = await incoming('Transfer-Encoding: chunked');
    bad.socket.write(chunks('123456789'));
    const body = await received(bad.req);
    bad.socket.write(`${chunks('abcdefgh')}0\r\n\r\n`);
    await expect(bytesOf(body)).rejects.toMatchObject({ code: 'body_too_large', outcome: 'unknown' });
  });

  it('refuses a body above max_body before any of it is sent', async () => {
    const { req, socket } = await incoming('Transfer-Encoding: chunked');
    socket.write(chunks('12345678901234567'));
    expect(await received(req)).toMatchObject({ code: 'body_too_large', outcome: 'not_sent' });
  });

  it('throws if the client breaks off in the middle', async () => {
    const { req, socket } = await incoming('Content-Length: 16');
    const body = await received(req);
    const reading = bytesOf(body);
    socket.end('123456789');
    await expect(reading).rejects.toThrow();
  });

  it('streams every body if the replay limit is 0', async () => {
    const { req, socket } = await incoming('Content-Length: 1');
    const body = await received(req, { replayLimitBytes: 0, maxBodyBytes: 16 });
    socket.write('1');
    expect(await bytesOf(body)).toBe('1');
  });

  describe('for a call whose body is signed', () => {
    const sizes = {
      'Content-Length: 8': '12345678',
      'Transfer-Encoding: chunked': `${chunks('123', '45678')}0\r\n\r\n`,
    };
    it.each(Object.entries(sizes))('holds a body of exactly the replay limit with %s', async (line, body) => {
      const { req, socket } = await incoming(line);
      socket.write(body);
      expect(await received(req, LIMITS, true)).toEqual({ kind: 'bytes', bytes: Buffer.from('12345678') });
    });

    it.each([
      ['Content-Length: 9', ''],
      ['Transfer-Encoding: chunked', chunks('123456789')],
    ])('refuses one byte more with %s and names replay_limit', async (line, body) => {
      const { req, socket } = await incoming(line);
      socket.write(body);
      const error = await received(req, LIMITS, true);
      expect(error).toMatchObject({ code: 'body_too_large', outcome: 'not_sent' });
      expect(error).toMatchObject({ message: expect.stringMatching(/8 bytes.* replay_limit.*whole body/) as string });
    });

    it.each([
      ['Content-Length: 17', ''],
      ['Transfer-Encoding: chunked', chunks('12345678901234567')],
    ])('names max_body for a body above that: %s', async (line, body) => {
      const { req, socket } = await incoming(line);
      socket.write(body);
      expect(await received(req, LIMITS, true)).toMatchObject({
        code: 'body_too_large',
        message: expect.stringMatching(/16 bytes.* max_body/) as string,
      });
    });
  });
});
