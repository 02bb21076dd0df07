import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HttpUpstream, sendJson } from './http-upstream.ts';
import { resetPeakMemory, residentMiB } from './proc.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { expectThat, newResult, type ScenarioResult } from './scenario-result.ts';
import { withScope } from './scope.ts';

export interface LargeBodies {
  /** Size of uploads that exceed the route's limit. */
  readonly refusedMiB: number;
  /** Size of uploads and downloads within the limit. */
  readonly passedMiB: number;
  readonly seed: number;
}

const MIB = 2 ** 20;
const WARM_UP_MIB = 8;
const LATE_READER_MS = 3000;
const REFUSED_GROWTH_MIB = 64;
/**
 * The engine collects the buffers of a streamed body only after about 60 MiB, whatever the size of the body. A body that
 * is kept in memory would be added to that.
 */
const PASSED_GROWTH_MIB = 80;

/** Uploads or downloads `mib` MiB. @returns the error, if any */
type Transfer = (port: number, mib: number) => Promise<string | undefined>;

interface Measurement {
  readonly what: string;
  readonly mib: number;
  readonly maxGrowthMiB: number;
  readonly transfer: Transfer;
}

/** Large bodies are streamed or refused, and never kept in memory. */
export function largeBodies({ refusedMiB, passedMiB, seed }: LargeBodies): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult(`uploads of ${refusedMiB} MiB, streams of ${passedMiB} MiB`, seed);
    const upstream = await HttpUpstream.start(scope, countOrStream);
    const routes = {
      '/small/*': upstream.route('key', { max_body: '1MiB' }),
      '/large/*': upstream.route('key', { max_body: '200MiB' }),
    };
    const file = writeConfig(scope, { routes });
    const refused = (what: string, transfer: Transfer) => ({
      what,
      mib: refusedMiB,
      maxGrowthMiB: REFUSED_GROWTH_MIB,
      transfer,
    });
    const passed = (what: string, transfer: Transfer) => ({
      what,
      mib: passedMiB,
      maxGrowthMiB: PASSED_GROWTH_MIB,
      transfer,
    });
    for (const measurement of [
      refused('refused upload with a length', uploadOf('/small', false, 413)),
      refused('refused upload in chunks', uploadOf('/small', true, 413)),
      passed('upload with a length', uploadOf('/large', false, 200)),
      passed('upload in chunks', uploadOf('/large', true, 200)),
      passed('download', (port, mib) => download(port, mib, 0)),
      passed('download by a late reader', (port, mib) => download(port, mib, LATE_READER_MS)),
    ]) {
      await measure(result, file, measurement);
    }
    return result;
  });
}

/** Measures in a new process, because memory left from an earlier transfer would hide growth. */
function measure(
  result: ScenarioResult,
  file: string,
  { what, mib, maxGrowthMiB, transfer }: Measurement,
): Promise<void> {
  return withScope(async (scope) => {
    const proxy = await ProxyChild.start(scope, file);
    // The first transfer loads and compiles code.
    await transfer(proxy.port, WARM_UP_MIB);
    const before = (await proxy.settledMemory()).residentMiB;
    resetPeakMemory(proxy.pid);
    result.tried += 1;
    const problem = await transfer(proxy.port, mib);
    const grownMiB = Math.round(residentMiB(proxy.pid).peak - before);
    result.notes.push(`${what}: memory grew by at most ${grownMiB} MiB`);
    expectThat(
      result,
      'leaked',
      grownMiB < maxGrowthMiB,
      `${what}: memory grew by ${grownMiB} MiB, the limit is ${maxGrowthMiB}`,
    );
    expectThat(result, 'lost', problem === undefined, `${what}: ${problem ?? ''}`);
    if (problem === undefined) result.answered += 1;
  });
}

/** `/down/N` sends N MiB. Other paths return the number of received bytes. */
async function countOrStream(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const [, mib] = /^\/down\/(\d+)$/.exec(req.url ?? '') ?? [];
  if (mib !== undefined) {
    res.on('error', () => {});
    res.writeHead(200, { 'content-length': Number(mib) * MIB });
    await writeAll(
      res,
      Number(mib),
      once(res, 'close').catch(() => undefined),
    );
    res.end();
    return;
  }
  let bytes = 0;
  req.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('error', () => {});
  req.on('end', () => sendJson(res, 200, String(bytes)));
}

/** Writes `mib` MiB as fast as the peer reads, until all is written or `over` resolves. */
async function writeAll(to: ServerResponse | ClientRequest, mib: number, over: Promise<unknown>): Promise<void> {
  const piece = Buffer.alloc(MIB / 8, 'x');
  let isOver = false;
  const stopped = over.then(() => {
    isOver = true;
  });
  for (let sent = 0; sent < mib * MIB && !isOver; sent += piece.length) {
    if (to.write(piece)) await nextTurn();
    else await Promise.race([drained(to), stopped]);
  }
}

function drained(to: ServerResponse | ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    to.once('drain', resolve);
  });
}

interface Uploaded {
  readonly status: number;
  readonly text: string;
  readonly broken: string | undefined;
}

async function upload(port: number, path: string, mib: number, chunked: boolean): Promise<Uploaded> {
  const headers = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': mib * MIB };
  const outgoing = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false });
  const { promise, resolve } = Promise.withResolvers<Uploaded>();
  let hasResponse = false;
  const responding = Promise.withResolvers<undefined>();
  outgoing.on('response', (incoming) => {
    hasResponse = true;
    responding.resolve(undefined);
    let text = '';
    incoming.setEncoding('utf8').on('data', (more: string) => (text += more));
    incoming.on('error', (error) => resolve({ status: incoming.statusCode ?? 0, text, broken: String(error) }));
    incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text, broken: undefined }));
  });
  outgoing.on('error', (error) => {
    if (!hasResponse) resolve({ status: 0, text: '', broken: String(error) });
  });
  await writeAll(outgoing, mib, Promise.race([responding.promise, promise]));
  if (!hasResponse) outgoing.end();
  const uploaded = await promise;
  outgoing.destroy();
  return uploaded;
}

function uploadOf(prefix: string, chunked: boolean, status: number): Transfer {
  return async (port, mib) => {
    const got = await upload(port, `${prefix}/up`, mib, chunked);
    if (got.broken !== undefined) return got.broken;
    const isExpected = got.status === status && (status !== 200 || got.text === JSON.stringify(String(mib * MIB)));
    return isExpected ? undefined : `${got.status} ${got.text.slice(0, 200)}`;
  };
}

/** Starts reading after `lateMs`, so that the proxy could buffer the whole body. @returns the error, if any */
function download(port: number, mib: number, lateMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const outgoing = request({ host: '127.0.0.1', port, path: `/large/down/${mib}`, agent: false }, (incoming) => {
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => (bytes += chunk.length));
      if (lateMs > 0) {
        incoming.pause();
        setTimeout(() => incoming.resume(), lateMs);
      }
      incoming.on('error', (error) => resolve(String(error)));
      incoming.on('end', () => resolve(bytes === mib * MIB ? undefined : `${bytes} bytes`));
    });
    outgoing.on('error', (error) => resolve(String(error)));
    outgoing.end();
  });
}
