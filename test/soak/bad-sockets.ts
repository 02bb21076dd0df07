import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HttpUpstream, sendJson } from './http-upstream.ts';
import { connection } from './payment-client.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { expectThat, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';
import { eventually, inParallel, type Scope, withScope } from './scope.ts';
import { sendRequest } from './send-request.ts';

export interface BadSockets {
  /** Sockets that send one byte of a request head at a time. */
  readonly loris: number;
  /** Sockets that never send anything. */
  readonly silent: number;
  /** Ordinary requests per measurement. */
  readonly normal: number;
  readonly seed: number;
  /** The proxy must have closed all of them after this time. */
  readonly reapedInMs: number;
  /** Whether to check the 99th percentile of response times. Use it only on an idle machine. */
  readonly timed: boolean;
}

const CLIENTS = 16;
const BYTE_EVERY_MS = 500;
const ACCEPT_TIMEOUT_MS = 5000;
const MAX_P99_RATIO = 2;
const WINDOWS = 3;

/** Slow and silent connections do not slow down ordinary requests, and the proxy closes them. */
export function badSockets({ loris, silent, normal, seed, reapedInMs, timed }: BadSockets): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult(`${loris} slow and ${silent} silent sockets`, seed);
    const upstream = await HttpUpstream.start(scope, (_, res) => sendJson(res, 200, {}));
    const proxy = await ProxyChild.start(scope, writeConfig(scope, { routes: { '/api/*': upstream.route('key') } }));
    const idleSockets = proxy.socketCount();
    const load = ordinaryLoad(scope, proxy, normal, result);
    await load();
    // The best of several windows, because other processes may disturb one.
    const baselineMs = Math.min(await load(), await load(), await load());
    const openedMs = Date.now();
    const sockets = await openAll(scope, proxy.port, loris + silent);
    result.tried = sockets.length;
    const byteTimer = setInterval(() => {
      for (const socket of sockets.slice(0, loris)) if (socket.writable) socket.write('x');
    }, BYTE_EVERY_MS);
    for (const socket of sockets.slice(0, loris)) socket.write('GET /api/x HTTP/1.1\r\nHost: localhost\r\nx-');
    const open = () => proxy.socketCount() - idleSockets;
    const isAccepted = await eventually(ACCEPT_TIMEOUT_MS, () => open() >= sockets.length);
    expectThat(result, 'lost', isAccepted, `only ${open()} of the bad sockets were accepted`);
    let busyMs = Infinity;
    for (let window = 0; window < WINDOWS; window++) busyMs = Math.min(busyMs, await load());
    const ratio = busyMs / baselineMs;
    result.notes.push(
      `p99 ${baselineMs.toFixed(1)} ms before, ${busyMs.toFixed(1)} ms with them: ${ratio.toFixed(2)} times`,
    );
    if (timed) expectThat(result, 'lost', ratio < MAX_P99_RATIO, `p99 is ${ratio.toFixed(2)} times its baseline`);
    const maxSockets = idleSockets + CLIENTS + upstream.sockets.size;
    const left = await proxy.excessSockets(maxSockets, reapedInMs - (Date.now() - openedMs));
    result.notes.push(`all closed after ${((Date.now() - openedMs) / 1000).toFixed(1)} s`);
    clearInterval(byteTimer);
    result.survived = result.tried - left;
    if (left > 0)
      recordFailure(result, 'leaked', `${left} of the bad sockets are still open after ${reapedInMs / 1000} s`, left);
    return result;
  });
}

/** @returns a function that sends `count` ordinary requests over kept connections and returns their p99 in ms */
function ordinaryLoad(scope: Scope, proxy: ProxyChild, count: number, result: ScenarioResult): () => Promise<number> {
  const agents = Array.from({ length: CLIENTS }, () => connection(scope));
  return async () => {
    const durationsMs: number[] = [];
    await inParallel(count, CLIENTS, async (number, worker) => {
      const startedMs = performance.now();
      const { status } = await sendRequest(proxy.port, `/api/${number}`, { agent: agents[worker]!, body: 'pay' });
      durationsMs.push(performance.now() - startedMs);
      if (status === 200) result.answered += 1;
      else recordFailure(result, 'lost', `an ordinary request got ${status}`);
    });
    durationsMs.sort((a, b) => a - b);
    return durationsMs[Math.floor(durationsMs.length * 0.99)] ?? 0;
  };
}

async function openAll(scope: Scope, port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  scope.onEnd(() => {
    for (const socket of sockets) socket.destroy();
  });
  await inParallel(count, 50, async () => {
    // A FIN from the proxy does not make these sockets close their side.
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.resume();
    sockets.push(socket);
    await once(socket, 'connect');
  });
  return sockets;
}
