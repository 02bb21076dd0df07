import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLog } from '../../src/telemetry/log.ts';
import { Output, streamWriter } from '../../src/telemetry/output.ts';
import { ManualClock } from '../support/manual-clock.ts';

const LIMIT = 100;
const LINE = `${'x'.repeat(19)}\n`;

/** A reader that can be slow or gone, and an output to it. */
function outputTo(reader: { error?: string; takes?: number }) {
  const clock = new ManualClock();
  let text = '';
  const writeNow = (bytes: Buffer) => {
    const { error, takes = Infinity } = reader;
    if (error !== undefined && takes === Infinity) throw Object.assign(new Error(error), { code: error });
    if (takes === 0) throw Object.assign(new Error('full'), { code: error ?? 'EAGAIN' });
    const taken = bytes.subarray(0, takes);
    reader.takes = takes - taken.length;
    text += taken.toString();
    return taken.length;
  };
  const output = new Output(writeNow, LIMIT, clock);
  output.onDropped = (lines) => output.write(`dropped ${lines}\n`);
  const recover = async () => {
    delete reader.error;
    delete reader.takes;
    await clock.advance(200);
  };
  return { output, clock, recover, written: () => text, reader };
}

describe('Output', () => {
  it('writes a line at once', () => {
    const { output, written, clock } = outputTo({});
    output.write('one\n');
    output.write('two\n');
    expect(written()).toBe('one\ntwo\n');
    expect(clock.timers).toBe(0);
  });

  it('keeps lines for a slow reader in their order, also within a line', async () => {
    const { output, written, recover } = outputTo({ takes: 2 });
    for (const line of ['one\n', 'two\n', 'three\n']) output.write(line);
    expect(written()).toBe('on');
    await recover();
    expect(written()).toBe('one\ntwo\nthree\n');
    expect(output.droppedLines).toBe(0);
  });

  it('keeps no more than its limit, and says once how many lines it dropped', async () => {
    const { output, written, recover } = outputTo({ takes: 0 });
    for (let i = 0; i < 50; i++) output.write(LINE);
    expect(output.droppedLines).toBe(45);
    await recover();
    output.write('next\n');
    expect(written()).toBe(`${LINE.repeat(5)}dropped 45\nnext\n`);
  });

  it('reports dropped lines where they are missing', async () => {
    const { output, written, reader, clock, recover } = outputTo({ takes: 0 });
    for (let i = 0; i < 6; i++) output.write(LINE);
    reader.takes = 3 * LINE.length;
    await clock.advance(200);
    output.write('next\n');
    await recover();
    expect(written()).toBe(`${LINE.repeat(5)}dropped 1\nnext\n`);
  });

  it('drops lines until half of the waiting ones are written', async () => {
    const { output, written, reader, clock, recover } = outputTo({ takes: 0 });
    for (let i = 0; i < 6; i++) output.write(LINE);
    reader.takes = 2 * LINE.length;
    await clock.advance(200);
    output.write('too early\n');
    expect(output.droppedLines).toBe(2);
    await recover();
    expect(written()).toBe(`${LINE.repeat(5)}dropped 2\n`);
  });

  it.each(['EPIPE', 'EIO', 'ENOSPC', 'EBADF'])('after %s drops lines, keeps none, and goes on later', async (error) => {
    const { output, written, clock, recover } = outputTo({ error });
    for (let i = 0; i < 3; i++) output.write(LINE);
    expect([output.droppedLines, output.failure, clock.timers]).toEqual([3, error, 0]);
    await recover();
    output.write('next\n');
    output.write('last\n');
    expect(written()).toBe('dropped 3\nnext\nlast\n');
    expect(output.droppedLines).toBe(3);
  });

  it('starts a new line after one that was cut', async () => {
    const { output, written, recover } = outputTo({ takes: 2, error: 'ENOSPC' });
    output.write('one\n');
    await recover();
    output.write('two\n');
    expect(written()).toBe('on\ndropped 1\ntwo\n');
  });

  it('waits longer between tries while the reader takes nothing', async () => {
    const { output, clock } = outputTo({ takes: 0 });
    output.write(LINE);
    await clock.advance(500);
    expect(clock.delaysMs.slice(0, 6)).toEqual([5, 10, 20, 40, 80, 100]);
  });

  it('is flushed when the reader took everything', async () => {
    const reader: { takes?: number } = { takes: 0 };
    const { output, written } = outputTo(reader);
    output.write('one\n');
    const flushed = output.flushed(Infinity);
    delete reader.takes;
    await flushed;
    expect(written()).toBe('one\n');
  });

  it('reports dropped lines as an event of the log', async () => {
    const { output, written, recover } = outputTo({ error: 'EPIPE' });
    const log = createLog({ level: 'error', format: 'json', tty: false, colour: false }, output);
    log.error('emulator_failed');
    expect(log.droppedLines).toBe(1);
    await recover();
    log.error('worker_died');
    const lines = written().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { event: 'log_lines_dropped', level: 'error', lines: 1 },
      { event: 'worker_died' },
    ]);
  });
});

describe('streamWriter', () => {
  it('gives a stream no more than it takes, and nothing once it is closed', () => {
    let received = 0;
    const stream = new Writable({
      highWaterMark: 64,
      write: (chunk: Buffer) => {
        received += chunk.length;
      },
    }) as unknown as NodeJS.WriteStream;
    const output = new Output(streamWriter(stream), LIMIT);
    for (let i = 0; i < 50; i++) output.write(LINE);
    expect(received).toBe(LINE.length);
    expect(stream.writableLength).toBe(80);
    expect(output.droppedLines).toBe(50 - 4 - 5);
    stream.destroy();
    output.writeWaiting();
    expect([output.failure, output.droppedLines]).toEqual(['EPIPE', 46]);
  });
});
