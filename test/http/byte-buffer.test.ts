import { describe, expect, it } from 'vitest';
import { ByteBuffer } from '../../src/http/byte-buffer.ts';

function filled(...pieces: readonly (string | Buffer)[]): ByteBuffer {
  const buffer = new ByteBuffer();
  for (const piece of pieces) buffer.append(Buffer.from(piece as string));
  return buffer;
}

describe('a byte buffer', () => {
  it('keeps all bytes in order', () => {
    const pieces = Array.from({ length: 3000 }, (_, i) => `${i},`);
    const buffer = filled(...pieces);
    expect(buffer.bytes.toString()).toBe(pieces.join(''));
    expect(buffer.length).toBe(pieces.join('').length);
  });

  it('is empty at first, and after empty chunks', () => {
    expect(new ByteBuffer().bytes).toEqual(Buffer.alloc(0));
    expect(filled('', '', 'a', '', 'b').bytes.toString()).toBe('ab');
  });

  it('does not copy a single chunk', () => {
    const chunk = Buffer.alloc(10_000, 'x');
    const buffer = new ByteBuffer();
    buffer.append(chunk);
    expect(buffer.bytes).toBe(chunk);
  });

  it('never writes into a given chunk', () => {
    const large = Buffer.alloc(8, '-');
    const buffer = new ByteBuffer();
    buffer.append(large.subarray(0, 4));
    buffer.append(Buffer.from('abcd'));
    expect([large.toString(), buffer.bytes.toString()]).toEqual(['--------', '----abcd']);
  });

  it('does not keep a large buffer for a small chunk of it', () => {
    const buffer = new ByteBuffer();
    buffer.append(Buffer.alloc(64 * 1024).subarray(100, 110));
    expect(buffer.bytes.buffer.byteLength).toBe(10);
  });

  it('uses at most twice the memory of its bytes, however small the chunks', () => {
    const buffer = new ByteBuffer();
    const piece = Buffer.from('x');
    for (let i = 0; i < 100_000; i++) buffer.append(piece);
    expect(buffer.bytes.buffer.byteLength).toBeLessThanOrEqual(200_000);
  });

  it('does not change bytes that it has returned', () => {
    const buffer = filled('a', 'b');
    const before = buffer.bytes;
    buffer.append(Buffer.from('c'));
    expect(before.toString()).toBe('ab');
    expect(buffer.take().toString()).toBe('abc');
    buffer.append(Buffer.from('d'));
    buffer.append(Buffer.from('e'));
    expect([before.toString(), buffer.bytes.toString()]).toEqual(['ab', 'de']);
  });
});
