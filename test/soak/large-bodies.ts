import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { answer, HttpUpstream } from './http-upstream.ts';
import { forgetPeak, residentMiB } from './proc.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { must, newRow, type Row } from './scenario-result.ts';
import { within } from './scope.ts';

export interface LargeBodies {
  /** Size of uploads that are too large for the route. */
  readonly refusedMiB: number;
  /** Size of uploads and downloads that pass. */
  readonly passedMiB: number;
  readonly seed: number;
}

const MIB = 2 ** 20;
const WARM_UP_MIB = 8;
const LATE_MS = 3000;
const REFUSED_GROWTH_MIB = 64;
/**
 * What passes through leaves buffers behind that the engine collects only once there are some 60 MiB of them, however
 * large the body is. A body that is held in memory comes on top of that.
 */
const PASSED_GROWTH_MIB = 80;

/** Sends or fetches that much. @returns what went wrong */
type Transfer = (port: number, mib: number) => Promise<string | undefined>;

interface Measurement {
  readonly what: string;
  readonly mib: number;
  readonly mostMiB: number;
  readonly transfer: Transfer;
}

/** Bodies of any size pass or are refused, and never lie in memory. */
export function largeBodies({ refusedMiB, passedMiB, seed }: LargeBodies): Promise<Row> {
  return within(async (scope) => {
    const row = newRow(`uploads of ${refusedMiB} MiB, streams of ${passedMiB} MiB`, seed);
    const upstream = await HttpUpstream.start(scope, countOrStream);
    const routes = {
      '/small/*': upstream.route('key', { max_body: '1MiB' }),
      '/large/*': upstream.route('key', { max_body: '200MiB' }),
    };
    const file = configIn(scope, { routes });
    const refused = (what: string, transfer: Transfer) => ({
      what,
      mib: refusedMiB,
      mostMiB: REFUSED_GROWTH_MIB,
      transfer,
    });
    const passed = (what: string, transfer: Transfer) => ({
      what,
      mib: passedMiB,
      mostMiB: PASSED_GROWTH_MIB,
      transfer,
    });
    for (const measurement of [
      refused('refused upload with a length', uploading('/small', false, 413)),
      refused('refused upload in chunks', uploading('/small', true, 413)),
      passed('upload with a length', uploading('/large', false, 200)),
      passed('upload in chunks', uploading('/large', true, 200)),
      passed('download', (port, mib) => download(port, mib, 0)),
      passed('download by a late reader', (port, mib) => download(port, mib, LATE_MS)),
    ]) {
      await measure(row, file, measurement);
    }
    return row;
  });
}

/** In a process of its own, so that no memory is left from another that could be taken into use unnoticed. */
function measure(row: Row, file: string, { what, mib, mostMiB, transfer }: Measurement): Promise<void> {
  return within(async (scope) => {
    const proxy = await ProxyChild.start(scope, file);
    // Once for the code that is loaded and compiled.
    await transfer(proxy.port, WARM_UP_MIB);
    const before = (await proxy.settledMemory()).residentMiB;
    forgetPeak(proxy.pid);
    row.tried += 1;
    const problem = await transfer(proxy.port, mib);
    const grownMiB = Math.round(residentMiB(proxy.pid).peak - before);
    row.notes.push(`${what}: at most ${grownMiB} MiB more`);
    must(row, 'leaked', grownMiB < mostMiB, `${what}: memory grew by ${grownMiB} MiB, not under ${mostMiB}`);
    must(row, 'lost', problem === undefined, `${what}: ${problem ?? ''}`);
    if (problem === undefined) row.answered += 1;
  });
}

/** `/down/N` gives N MiB; everything else says how many bytes came in. */
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
  req.on('end', () => answer(res, 200, String(bytes)));
}

/** Writes that much as fast as it is taken, until it is all out, or `over`. */
async function writeAll(to: ServerResponse | ClientRequest, mib: number, over: Promise<unknown>): Promise<void> {
  const piece = Buffer.alloc(MIB / 8, 'x');
  let wanted = true;
  const stopped = over.then(() => {
    wanted = false;
  });
  for (let sent = 0; sent < mib * MIB && wanted; sent += piece.length) {
    if (to.write(piece)) await turn();
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
  let answered = false;
  const answering = Promise.withResolvers<undefined>();
  outgoing.on('response', (incoming) => {
    answered = true;
    answering.resolve(undefined);
    let text = '';
    incoming.setEncoding('utf8').on('data', (more: string) => (text += more));
    incoming.on('error', (error) => resolve({ status: incoming.statusCode ?? 0, text, broken: String(error) }));
    incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text, broken: undefined }));
  });
  outgoing.on('error', (error) => {
    if (!answered) resolve({ status: 0, text: '', broken: String(error) });
  });
  await writeAll(outgoing, mib, Promise.race([answering.promise, promise]));
  if (!answered) outgoing.end();
  const uploaded = await promise;
  outgoing.destroy();
  return uploaded;
}

function uploading(prefix: string, chunked: boolean, status: number): Transfer {
  return async (port, mib) => {
    const got = await upload(port, `${prefix}/up`, mib, chunked);
    if (got.broken !== undefined) return got.broken;
    const right = got.status === status && (status !== 200 || got.text === JSON.stringify(String(mib * MIB)));
    return right ? undefined : `${got.status} ${got.text.slice(0, 200)}`;
  };
}

/** Reads nothing for `lateMs`, in which all of it could pile up in the proxy. @returns what went wrong */
function download(port: number, mib: number, lateMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path: `/large/down/${mib}`, agent: false }, (incoming) => {
      let bytes = 0;
      incoming.on('data', (chunk: Buffer) => (bytes += chunk.length));
      if (lateMs > 0) {
        incoming.pause();
        setTimeout(() => incoming.resume(), lateMs);
      }
      incoming.on('error', (error) => resolve(String(error)));
      incoming.on('end', () => resolve(bytes === mib * MIB ? undefined : `${bytes} bytes`));
    });
    asked.on('error', (error) => resolve(String(error)));
    asked.end();
  });
}
