import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ask } from './send-request.ts';
import { answer, HttpUpstream } from './http-upstream.ts';
import { connection } from './payment-client.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { must, newRow, type Row, wrong } from './scenario-result.ts';
import { eventually, inParallel, type Scope, within } from './scope.ts';

export interface BadSockets {
  /** Sockets that send a byte of a head now and then. */
  readonly loris: number;
  /** Sockets that never send anything. */
  readonly silent: number;
  /** Ordinary requests in one measurement. */
  readonly normal: number;
  readonly seed: number;
  /** How soon all of them must be closed. Milliseconds. */
  readonly reapedInMs: number;
  /** Whether the 99th percentile of their time counts: only where nothing else uses the machine. */
  readonly timed: boolean;
}

const CLIENTS = 16;
const BYTE_EVERY_MS = 500;
const TAKEN_IN_MS = 5000;
const MOST_TIMES_BASELINE = 2;
const WINDOWS = 3;

/** Slow and silent connections take nothing from the others, and do not stay. */
export function badSockets({ loris, silent, normal, seed, reapedInMs, timed }: BadSockets): Promise<Row> {
  return within(async (scope) => {
    const row = newRow(`${loris} slow and ${silent} silent sockets`, seed);
    const upstream = await HttpUpstream.start(scope, (_, res) => answer(res, 200, {}));
    const proxy = await ProxyChild.start(scope, configIn(scope, { routes: { '/api/*': upstream.route('key') } }));
    const atRest = proxy.sockets();
    const load = normalLoad(scope, proxy, normal, row);
    await load();
    // The best of a few windows, since other processes may get in the way of any one.
    const baselineMs = Math.min(await load(), await load(), await load());
    const openedMs = Date.now();
    const sockets = await openAll(scope, proxy.port, loris + silent);
    row.tried = sockets.length;
    const dribble = setInterval(() => {
      for (const socket of sockets.slice(0, loris)) if (socket.writable) socket.write('x');
    }, BYTE_EVERY_MS);
    for (const socket of sockets.slice(0, loris)) socket.write('GET /api/x HTTP/1.1\r\nHost: localhost\r\nx-');
    const open = () => proxy.sockets() - atRest;
    const taken = await eventually(TAKEN_IN_MS, () => open() >= sockets.length);
    must(row, 'lost', taken, `only ${open()} of the bad sockets were taken`);
    let busyMs = Infinity;
    for (let window = 0; window < WINDOWS; window++) busyMs = Math.min(busyMs, await load());
    const ratio = busyMs / baselineMs;
    row.notes.push(
      `p99 ${baselineMs.toFixed(1)} ms before, ${busyMs.toFixed(1)} ms with them: ${ratio.toFixed(2)} times`,
    );
    if (timed) must(row, 'lost', ratio < MOST_TIMES_BASELINE, `p99 is ${ratio.toFixed(2)} times its baseline`);
    const mostLeft = atRest + CLIENTS + upstream.sockets.size;
    const left = await proxy.socketsOver(mostLeft, reapedInMs - (Date.now() - openedMs));
    row.notes.push(`all reaped after ${((Date.now() - openedMs) / 1000).toFixed(1)} s`);
    clearInterval(dribble);
    row.survived = row.tried - left;
    if (left > 0) wrong(row, 'leaked', `${left} of the bad sockets are still open after ${reapedInMs / 1000} s`, left);
    return row;
  });
}

/** Ordinary requests over kept connections. @returns a function that makes `count` of them and gives their p99 */
function normalLoad(scope: Scope, proxy: ProxyChild, count: number, row: Row): () => Promise<number> {
  const agents = Array.from({ length: CLIENTS }, () => connection(scope));
  return async () => {
    const tookMs: number[] = [];
    await inParallel(count, CLIENTS, async (number, worker) => {
      const startedMs = performance.now();
      const { status } = await ask(proxy.port, `/api/${number}`, { agent: agents[worker]!, body: 'pay' });
      tookMs.push(performance.now() - startedMs);
      if (status === 200) row.answered += 1;
      else wrong(row, 'lost', `an ordinary request got ${status}`);
    });
    tookMs.sort((a, b) => a - b);
    return tookMs[Math.floor(tookMs.length * 0.99)] ?? 0;
  };
}

async function openAll(scope: Scope, port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  scope.onEnd(() => {
    for (const socket of sockets) socket.destroy();
  });
  await inParallel(count, 50, async () => {
    // They take no hint: a FIN from the proxy does not make them close their side.
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.resume();
    sockets.push(socket);
    await once(socket, 'connect');
  });
  return sockets;
}
