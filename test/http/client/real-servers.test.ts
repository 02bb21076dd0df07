import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { iterations, poolTo, Recorder, send, sent, until } from './harness.ts';
import { AUTHORITY, bytesOf, type RealServer, sha256, SIZES, startRealServers } from './real-server-processes.ts';

const MIB = 1024 * 1024;

let folder = '';
let started: Awaited<ReturnType<typeof startRealServers>>;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'wakala-servers-'));
  started = await startRealServers(folder);
}, 60_000);

afterAll(async () => {
  await started.stop();
  rmSync(folder, { recursive: true });
});

/** Hashes a body without keeping it, returns its chunks, and pauses now and then. */
class Summing extends Recorder {
  readonly #hash = createHash('sha256');
  readonly #pauses: boolean;
  bytes = 0;
  #pieces = 0;

  constructor(pauses = false) {
    super();
    this.#pauses = pauses;
  }

  override onData(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    this.exchange.release(chunk);
    if (!this.#pauses || ++this.#pieces % 10 !== 0) return;
    this.exchange.pause();
    setTimeout(() => this.exchange.resume(), 1);
  }

  get sum(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** Checksums of the bodies that the servers have. */
const sums = new Map(SIZES.map((size) => [size, sha256(bytesOf(size))]));

describe.each([
  { name: 'node:http', hasHead: true, takesBodies: true, sendsChunks: true },
  { name: "Python's http.server", hasHead: false, takesBodies: true, sendsChunks: false },
  { name: 'nginx', hasHead: true, takesBodies: false, sendsChunks: false },
  { name: 'haproxy', hasHead: true, takesBodies: true, sendsChunks: true },
])('$name', ({ name, hasHead, takesBodies, sendsChunks }) => {
  const server = (): RealServer => started.servers.find((each) => each.name === name)!;

  describe.each(['http', 'https'] as const)('over %s', (scheme) => {
    const pool = (kind: 'keepAlive' | 'closing') => poolTo(server()[kind][scheme], { tls: { ca: [AUTHORITY.cert] } });

    it.each([
      ['keepAlive', 1],
      ['closing', 0],
    ] as const)('%s: bodies of 1 B to 1 MiB arrive completely', async (kind, idle) => {
      const connections = pool(kind);
      for (const size of SIZES.filter((bytes) => bytes <= MIB)) {
        const recorder = await send(connections, { target: `/bytes/${size}` }, new Summing()).over;
        expect([recorder.error, recorder.bytes, recorder.sum]).toEqual([undefined, size, sums.get(size)]);
        await until(() => connections.stats().idle === idle);
        await iterations();
      }
    });

    it.each(['keepAlive', 'closing'] as const)('%s: 30 at once arrive completely', async (kind) => {
      const connections = pool(kind);
      const all = Array.from({ length: 30 }, () =>
        send(connections, { target: `/bytes/${64 * 1024 + 1}` }, new Summing(true)),
      );
      for (const recorder of all)
        expect([(await recorder.over).error, recorder.sum]).toEqual([undefined, sums.get(64 * 1024 + 1)]);
    });

    it('100 MiB arrive completely, with pauses', async () => {
      const recorder = await send(pool('keepAlive'), { target: `/bytes/${100 * MIB}` }, new Summing(true)).over;
      expect([recorder.error, recorder.bytes]).toEqual([undefined, 100 * MIB]);
      expect(recorder.sum).toBe(sums.get(100 * MIB));
    }, 60_000);

    if (hasHead)
      it('HEAD has no body', async () => {
        const recorder = await sent(pool('keepAlive'), { method: 'HEAD', target: '/bytes/1000' });
        expect(recorder.summary).toBe('200 ');
      });

    if (takesBodies)
      it('bodies of 1 B to 32 MiB are sent completely, and with pauses', async () => {
        for (const kind of ['keepAlive', 'closing'] as const) {
          const connections = pool(kind);
          for (const size of [1, 1000, 4096, 64 * 1024, MIB]) {
            const body = { kind: 'bytes', bytes: bytesOf(size) } as const;
            const recorder = await sent(connections, { method: 'POST', target: '/sha256', body });
            expect(recorder.summary).toBe(`200 ${sha256(body.bytes)}`);
            await iterations();
          }
          const large = bytesOf(32 * MIB);
          async function* chunks(): AsyncGenerator<Buffer> {
            for (let at = 0; at < large.length; at += 50_000) {
              if (at % 5_000_000 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
              yield large.subarray(at, at + 50_000);
            }
          }
          const lengths = sendsChunks ? [large.length, undefined] : [large.length];
          for (const length of lengths) {
            const body = { kind: 'stream', chunks: chunks(), length } as const;
            const recorder = await sent(connections, { method: 'POST', target: '/sha256', body });
            expect(recorder.summary).toBe(`200 ${sha256(large)}`);
          }
        }
      }, 60_000);

    if (sendsChunks)
      it('chunked bodies, and with pauses, arrive completely', async () => {
        for (const kind of ['keepAlive', 'closing'] as const) {
          for (const target of ['/chunks/1', '/chunks/1048576', '/slow/1000', '/slow/1048576']) {
            const recorder = await send(pool(kind), { target }, new Summing()).over;
            expect([recorder.error, recorder.sum]).toEqual([undefined, sha256(bytesOf(Number(target.split('/')[2])))]);
          }
        }
      });
  });
});
