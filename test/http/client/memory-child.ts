// Uses the client in its own process, and prints the growth of its resident memory. KiB.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Exchange, ResponseHandler } from '../../../src/http/client/http-exchange.ts';
import { ConnectionPool } from '../../../src/http/client/pool.ts';
import { ReadBuffers } from '../../../src/http/client/read-buffers.ts';

const [origin = '', scenario = '', count = '1', ca] = process.argv.slice(2);
const pool = new ConnectionPool(origin, {
  connectTimeoutMs: 10_000,
  buffers: new ReadBuffers(),
  ...(ca !== undefined && { tls: { ca: [readFileSync(ca, 'utf8')] } }),
});
let mostBytes = 0;

function measure(): void {
  mostBytes = Math.max(mostBytes, process.memoryUsage.rss());
}

/** `release` returns chunks after a while, `keep` leaves them to the garbage collector, `pause` stops reading. */
class Reader implements ResponseHandler {
  readonly over = Promise.withResolvers<undefined>();
  readonly what: string;
  exchange!: Exchange;
  held: Buffer | undefined;

  constructor(what: string) {
    this.what = what;
  }

  onSending(): void {}
  onSent(): void {}
  onHead(): void {}

  onData(chunk: Buffer): void {
    measure();
    if (this.what === 'release') setImmediate(() => this.exchange.release(chunk));
    if (this.what !== 'pause') return;
    this.held = chunk;
    this.exchange.pause();
    this.over.resolve(undefined);
  }

  onEnd(): void {
    this.over.resolve(undefined);
  }

  onError(error: Error): void {
    this.over.reject(error);
  }
}

function read(target: string, what: string): Promise<undefined> {
  const reader = new Reader(what);
  reader.exchange = pool.send({ method: 'GET', target, headers: [], body: { kind: 'none' } }, reader);
  return reader.over.promise;
}

for (let i = 0; i < 300; i++) await read('/small', 'keep');
await delay(200);
const before = process.memoryUsage.rss();
if (scenario === 'idle') {
  await Promise.all(Array.from({ length: Number(count) }, () => read('/late', 'keep')));
  await delay(50);
} else {
  await Promise.all(Array.from({ length: Number(count) }, () => read('/large', scenario)));
}
measure();
console.log(Math.round((mostBytes - before) / 1024));
process.exit();
