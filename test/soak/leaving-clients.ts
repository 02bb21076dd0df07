import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Random, randomOf } from '../support/random.ts';
import { HttpUpstream, sendJson } from './http-upstream.ts';
import type { ScenarioOptions } from './never-twice.ts';
import { ProxyChild, writeConfig } from './proxy-child.ts';
import { Counts, expectThat, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';
import { eventually, inParallel, withScope } from './scope.ts';
import { sendRequest } from './send-request.ts';

const PARALLEL_CLIENTS = 32;
const MAX_CONCURRENCY = 200;
const COLD_ROUTES = 8;
const TIMEOUT_MS = 2000;
const SETTLE_TIMEOUT_MS = 15_000;
const USED_SLACK_MIB = 10;
const RESIDENT_SLACK_MIB = 96;

/** The moment at which a client disconnects. */
const PHASES = [
  'in the head',
  'before the body',
  'in the body',
  'in a stream',
  'during the token request',
  'before the response',
  'in the response',
] as const;
type Phase = (typeof PHASES)[number];

/** An API that holds payments until `respond` is called. */
class HoldingApi {
  /** How often each payment was received completely. */
  readonly executed = new Map<string, number>();
  readonly #held = new Map<string, ServerResponse>();
  #arrived: PromiseWithResolvers<undefined> = Promise.withResolvers();

  readonly handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { url = '' } = req;
    if (url.startsWith('/endless')) {
      stream(res);
      return;
    }
    // The request of a client that disconnected may be incomplete.
    if (!(await isComplete(req))) return;
    if (url.startsWith('/held/')) {
      this.executed.set(url, (this.executed.get(url) ?? 0) + 1);
      this.#held.set(url, res);
      res.on('close', () => this.#held.delete(url));
      this.#arrived.resolve(undefined);
      this.#arrived = Promise.withResolvers();
      return;
    }
    sendJson(res, 200, { url });
  };

  get holdsNone(): boolean {
    return this.#held.size === 0;
  }

  async arrived(...urls: readonly string[]): Promise<void> {
    while (!urls.every((url) => this.#held.has(url))) await this.#arrived.promise;
  }

  respond(url: string): void {
    const res = this.#held.get(url);
    if (res !== undefined) sendJson(res, 200, { url });
  }
}

function isComplete(req: IncomingMessage): Promise<boolean> {
  return new Promise((resolve) => {
    req.on('end', () => resolve(true)).on('error', () => resolve(false));
    req.on('close', () => resolve(false));
    req.resume();
  });
}

/** Writes until the client disconnects. */
function stream(res: ServerResponse): void {
  const piece = Buffer.alloc(16_384, 'x');
  const more = () => {
    while (!res.destroyed && res.write(piece));
  };
  res.on('drain', more).on('error', () => {});
  more();
}

/** Clients that disconnect at every moment: the proxy keeps no socket, slot or memory of them. */
export function leavingClients({ count, seed }: ScenarioOptions): Promise<ScenarioResult> {
  return withScope(async (scope) => {
    const result = newResult('leaving clients', seed);
    const api = new HoldingApi();
    const upstream = await HttpUpstream.start(scope, api.handle, { tokenDelayMs: 150, lifetimeS: 1 });
    const settings = { timeout: `${TIMEOUT_MS}ms`, max_concurrency: MAX_CONCURRENCY };
    const cold = Array.from({ length: COLD_ROUTES }, (_, i) => [`/cold${i}/*`, upstream.route(`key-${i}`, settings)]);
    const warm = { upstream: upstream.origin, provider: 'static', credentials: { token: 'static-token' }, ...settings };
    const routes = { '/api/*': warm, ...(Object.fromEntries(cold) as object) };
    const proxy = await ProxyChild.start(scope, writeConfig(scope, { routes }));
    const idleSockets = proxy.socketCount();
    const leave = (from: number, to: number) => leaveAll(proxy, api, result, { from, to, seed });
    // Warm up, so that memory that is allocated once does not count as a leak.
    await leave(0, Math.ceil(count / 5));
    await useEverySlot(proxy, api, result);
    const before = await proxy.settledMemory();
    await leave(Math.ceil(count / 5), count);
    await useEverySlot(proxy, api, result);
    const tooMany = await proxy.excessSockets(idleSockets, SETTLE_TIMEOUT_MS);
    expectThat(result, 'leaked', tooMany === 0, `${tooMany} sockets stayed open`);
    expectThat(
      result,
      'leaked',
      await eventually(SETTLE_TIMEOUT_MS, () => upstream.sockets.size === 0),
      'upstream connections stayed open',
    );
    const after = await proxy.settledMemory();
    const usedMiB = Math.round(after.usedMiB - before.usedMiB);
    const residentMiB = Math.round(after.residentMiB - before.residentMiB);
    expectThat(result, 'leaked', usedMiB < USED_SLACK_MIB, `${usedMiB} MiB more are in use`);
    expectThat(result, 'leaked', residentMiB < RESIDENT_SLACK_MIB, `${residentMiB} MiB more are resident`);
    for (const [url, times] of api.executed)
      expectThat(result, 'doubled', times === 1, `${url} was executed ${times} times`);
    result.notes.push(`memory in use ${usedMiB} MiB more, resident ${residentMiB} MiB more`);
    return result;
  });
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly seed: number;
}

async function leaveAll(
  proxy: ProxyChild,
  api: HoldingApi,
  result: ScenarioResult,
  { from, to, seed }: Range,
): Promise<void> {
  const phases = new Counts();
  await inParallel(to - from, PARALLEL_CLIENTS, async (step) => {
    const number = from + step;
    const random = randomOf(seed, number);
    const phase = random.pick(PHASES);
    phases.add(phase);
    result.tried += 1;
    // One client in five stays and must be served normally.
    if (random.chance(0.2)) await stay(proxy, result, random);
    else await leaveIn(phase, proxy, api, number, random);
    result.survived = result.tried - result.answered - result.lost;
  });
  result.notes.push(phases.describe());
}

async function stay(proxy: ProxyChild, result: ScenarioResult, random: Random): Promise<void> {
  const path = `/cold${random.between(0, COLD_ROUTES)}/stays`;
  try {
    const { status } = await sendRequest(proxy.port, path, { body: 'x'.repeat(random.between(1, 100_000)) });
    if (status === 200) result.answered += 1;
    else recordFailure(result, 'lost', `${path} got ${status}`);
  } catch (error) {
    recordFailure(result, 'lost', `${path}: ${String(error)}`);
  }
}

async function leaveIn(phase: Phase, proxy: ProxyChild, api: HoldingApi, number: number, random: Random) {
  const socket = connect({ port: proxy.port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  const post = (path: string, length: number, body: string) =>
    socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n${body}`);
  const held = `/held/${number}`;
  switch (phase) {
    case 'in the head':
      socket.write('POST /api/x HTTP/1.1\r\nHost: local');
      break;
    case 'before the body':
      post('/api/x', 100, '');
      break;
    case 'in the body':
      post('/api/x', 100, 'half of it');
      break;
    case 'in a stream':
      post('/api/x', 1_000_000, 'x'.repeat(random.between(1, 500_000)));
      break;
    case 'during the token request':
      post(`/cold${random.between(0, COLD_ROUTES)}${held}`, 4, 'body');
      break;
    case 'before the response':
      post(`/api${held}`, 4, 'body');
      await api.arrived(held);
      break;
    case 'in the response':
      socket.write('GET /api/endless HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(socket, 'data');
      break;
  }
  await delay(random.between(0, phase === 'during the token request' ? 200 : 20));
  await closeSocket(socket, random);
  // Nine in ten payments get a response after their client disconnected. The others reach the timeout.
  if (random.chance(0.9)) setTimeout(() => api.respond(held), random.between(0, 300));
}

async function closeSocket(socket: Socket, random: Random): Promise<void> {
  if (socket.destroyed) return;
  const closed = once(socket, 'close');
  if (random.chance(0.5)) socket.destroy();
  else socket.resetAndDestroy();
  await closed;
}

/** Uses every slot of `max_concurrency`. A slot that was not released causes a 503. */
async function useEverySlot(proxy: ProxyChild, api: HoldingApi, result: ScenarioResult): Promise<void> {
  expectThat(result, 'leaked', await eventually(2 * TIMEOUT_MS, () => api.holdsNone), 'payments are still in progress');
  const urls = Array.from({ length: MAX_CONCURRENCY }, (_, i) => `/held/slot-${result.tried}-${i}`);
  const responses = Promise.all(urls.map((url) => sendRequest(proxy.port, `/api${url}`, { body: 'slot' })));
  const arrived = api.arrived(...urls);
  await Promise.race([arrived, responses]);
  for (const url of urls) api.respond(url);
  const refused = (await responses).filter(({ status }) => status !== 200).length;
  expectThat(result, 'leaked', refused === 0, `${refused} slots of max_concurrency were not released`);
}
