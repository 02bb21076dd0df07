import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock } from '../clock.ts';
import { networkCode } from '../errors.ts';

/**
 * Writes bytes without waiting for whoever reads them.
 * @returns how many bytes were written, from the first on
 * @throws Error with code `EAGAIN` if nothing can be written now, or with another code if it cannot be written at all
 */
export type WriteNow = (bytes: Buffer) => number;

/** Pause before the next try after `EAGAIN`. It doubles with each try that writes nothing. */
const RETRY_MS = { min: 5, max: 100 } as const;

const POLL_INTERVAL_MS = 10;

/** Log lines that wait for their reader. */
export const MAX_WAITING_LOG_BYTES = 1024 * 1024;

interface Piece {
  readonly bytes: Buffer;
  /** 1, or 0 for a report alone. */
  readonly lines: number;
  /** How many dropped lines the report before the line names. */
  readonly reports: number;
  /** Whether the first bytes of the piece are written. */
  readonly isStarted: boolean;
}

/**
 * An output whose reader cannot hurt this process. If the reader is slow, lines wait in memory, up to a limit, and
 * further lines are dropped. If the reader is gone or the disk is full, lines are dropped. Lines keep their order.
 */
export class Output {
  /** Reports dropped lines, through `write`. Called when lines can be written again. */
  onDropped: (lines: number) => void = () => undefined;
  readonly #writeNow: WriteNow;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  readonly #waiting: Piece[] = [];
  #waitingBytes = 0;
  #isFull = false;
  #droppedLines = 0;
  #unreportedLines = 0;
  /** The report while `onDropped` writes it. */
  #report: string | undefined;
  #failure: string | undefined;
  /** Whether the last line that was written lacks its end. */
  #isLineCut = false;
  #cancelRetry: (() => void) | undefined;
  #retryMs: number = RETRY_MS.min;

  /** @param maxBytes of waiting lines. After more, lines are dropped until half of them are written. */
  constructor(writeNow: WriteNow, maxBytes: number, clock: Clock = systemClock) {
    this.#writeNow = writeNow;
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  /** Lines dropped since the start. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** Code of the last error other than a slow reader, such as `EPIPE` or `ENOSPC`. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Writes one line, or a text that is kept or dropped as a whole. */
  write(line: string): void {
    if (this.#report !== undefined) {
      this.#report += line;
      return;
    }
    this.#isFull &&= this.#waitingBytes > this.#maxBytes / 2;
    const size = Buffer.byteLength(line);
    if (this.#isFull || (this.#waitingBytes > 0 && this.#waitingBytes + size > this.#maxBytes)) {
      this.#isFull = true;
      this.#drop(1);
      return;
    }
    this.#add(line);
    if (this.#cancelRetry === undefined) this.writeWaiting();
  }

  /** Writes what can be written at once of the waiting lines. */
  writeWaiting(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    try {
      this.#writeAll();
    } catch (error) {
      const code = networkCode(error);
      if (code === 'EAGAIN') {
        this.#cancelRetry = this.#clock.after(this.#retryMs, () => this.writeWaiting());
        this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS.max);
      } else {
        this.#failure = code;
        this.#dropWaiting();
      }
    }
  }

  /** Resolves when all lines are written or dropped, or after `timeoutMs`. Keeps the process alive until then. */
  async flushed(timeoutMs: number): Promise<void> {
    const untilMs = this.#clock.now() + timeoutMs;
    while (this.#waiting.length > 0 && this.#clock.now() < untilMs) {
      await sleep(POLL_INTERVAL_MS);
      this.writeWaiting();
    }
  }

  #add(line: string): void {
    const reports = this.#unreportedLines;
    const bytes = Buffer.from(`${this.#reportText()}${line}`);
    this.#waiting.push({ bytes, lines: line === '' ? 0 : 1, reports, isStarted: false });
    this.#waitingBytes += bytes.length;
  }

  #reportText(): string {
    if (this.#unreportedLines === 0) return '';
    this.#report = '';
    this.onDropped(this.#unreportedLines);
    this.#unreportedLines = 0;
    const text = this.#report;
    this.#report = undefined;
    return text;
  }

  #writeAll(): void {
    for (;;) {
      const [piece] = this.#waiting;
      if (piece === undefined) {
        this.#retryMs = RETRY_MS.min;
        if (this.#unreportedLines === 0) return;
        this.#add('');
        continue;
      }
      if (this.#isLineCut) this.#isLineCut = this.#writeNow(Buffer.from('\n')) === 0;
      const written = this.#writeNow(piece.bytes);
      if (written > 0) this.#retryMs = RETRY_MS.min;
      this.#waitingBytes -= written;
      if (written < piece.bytes.length) {
        this.#waiting[0] = { ...piece, bytes: piece.bytes.subarray(written), isStarted: true };
      } else {
        this.#waiting.shift();
      }
    }
  }

  #dropWaiting(): void {
    if (this.#waiting[0]?.isStarted === true) this.#isLineCut = true;
    const dropped = this.#waiting.splice(0);
    this.#waitingBytes = 0;
    this.#isFull = false;
    for (const { lines, reports } of dropped) {
      this.#drop(lines);
      this.#unreportedLines += reports;
    }
  }

  #drop(lines: number): void {
    this.#droppedLines += lines;
    this.#unreportedLines += lines;
  }
}

/**
 * Writes to a stream of Node's as long as it takes more. For a log inside an app, which may have replaced the stream or
 * its methods.
 */
export function streamWriter(stream: NodeJS.WriteStream): WriteNow {
  return (bytes) => {
    if (stream.destroyed) throw Object.assign(new Error('the stream is closed'), { code: 'EPIPE' });
    if (stream.writableNeedDrain) throw Object.assign(new Error('the stream is full'), { code: 'EAGAIN' });
    stream.write(bytes.toString());
    return bytes.length;
  };
}
