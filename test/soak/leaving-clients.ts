import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from './send-request.ts';
import { answer, HttpUpstream } from './http-upstream.ts';
import type { Counted } from './never-twice.ts';
import { configIn, ProxyChild } from './proxy-child.ts';
import { type Random, randomOf } from '../support/random.ts';
import { must, newRow, type Row, Tally, wrong } from './scenario-result.ts';
import { eventually, inParallel, within } from './scope.ts';

const AT_A_TIME = 32;
const MAX_CONCURRENCY = 200;
const COLD_ROUTES = 8;
const TIMEOUT_MS = 2000;
const SETTLES_IN_MS = 15_000;
const USED_SLACK_MIB = 10;
const RESIDENT_SLACK_MIB = 96;

/** Where a client leaves. */
const PHASES = [
  'in the head',
  'before the body',
  'in the body',
  'in a stream',
  'token',
  'answer',
  'in the answer',
] as const;
type Phase = (typeof PHASES)[number];

/** An API that holds payments until it is told to answer them. */
class HoldingApi {
  /** How often each was seen whole. */
  readonly executed = new Map<string, number>();
  readonly #held = new Map<string, ServerResponse>();
  #arrived: PromiseWithResolvers<undefined> = Promise.withResolvers();

  readonly handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { url = '' } = req;
    if (url.startsWith('/endless')) {
      stream(res);
      return;
    }
    // A request whose client left comes without its end.
    if (!(await wasWhole(req))) return;
    if (url.startsWith('/held/')) {
      this.executed.set(url, (this.executed.get(url) ?? 0) + 1);
      this.#held.set(url, res);
      res.on('close', () => this.#held.delete(url));
      this.#arrived.resolve(undefined);
      this.#arrived = Promise.withResolvers();
      return;
    }
    answer(res, 200, { url });
  };

  get holdsNone(): boolean {
    return this.#held.size === 0;
  }

  async arrived(...urls: readonly string[]): Promise<void> {
    while (!urls.every((url) => this.#held.has(url))) await this.#arrived.promise;
  }

  letGo(url: string): void {
    const res = this.#held.get(url);
    if (res !== undefined) answer(res, 200, { url });
  }
}

function wasWhole(req: IncomingMessage): Promise<boolean> {
  return new Promise((resolve) => {
    req.on('end', () => resolve(true)).on('error', () => resolve(false));
    req.on('close', () => resolve(false));
    req.resume();
  });
}

/** Says something for as long as somebody listens. */
function stream(res: ServerResponse): void {
  const piece = Buffer.alloc(16_384, 'x');
  const more = () => {
    while (!res.destroyed && res.write(piece));
  };
  res.on('drain', more).on('error', () => {});
  more();
}

/** Clients that leave at every moment there is: nothing of them stays in the proxy. */
export function leavingClients({ count, seed }: Counted): Promise<Row> {
  return within(async (scope) => {
    const row = newRow('leaving clients', seed);
    const api = new HoldingApi();
    const upstream = await HttpUpstream.start(scope, api.handle, { tokenDelayMs: 150, lifetimeS: 1 });
    const settings = { timeout: `${TIMEOUT_MS}ms`, max_concurrency: MAX_CONCURRENCY };
    const cold = Array.from({ length: COLD_ROUTES }, (_, i) => [`/cold${i}/*`, upstream.route(`key-${i}`, settings)]);
    const warm = { upstream: upstream.origin, provider: 'static', credentials: { token: 'static-token' }, ...settings };
    const routes = { '/api/*': warm, ...(Object.fromEntries(cold) as object) };
    const proxy = await ProxyChild.start(scope, configIn(scope, { routes }));
    const atRest = proxy.sockets();
    const leave = (from: number, to: number) => leaveAll(proxy, api, row, { from, to, seed });
    // A first round, so that what is loaded once and kept is not taken for a leak.
    await leave(0, Math.ceil(count / 5));
    await everySlot(proxy, api, row);
    const before = await proxy.settledMemory();
    await leave(Math.ceil(count / 5), count);
    await everySlot(proxy, api, row);
    const tooMany = await proxy.socketsOver(atRest, SETTLES_IN_MS);
    must(row, 'leaked', tooMany === 0, `${tooMany} sockets stayed open`);
    must(
      row,
      'leaked',
      await eventually(SETTLES_IN_MS, () => upstream.sockets.size === 0),
      'upstream connections stay',
    );
    const after = await proxy.settledMemory();
    const usedMiB = Math.round(after.usedMiB - before.usedMiB);
    const residentMiB = Math.round(after.residentMiB - before.residentMiB);
    must(row, 'leaked', usedMiB < USED_SLACK_MIB, `${usedMiB} MiB more are in use`);
    must(row, 'leaked', residentMiB < RESIDENT_SLACK_MIB, `${residentMiB} MiB more are resident`);
    for (const [url, times] of api.executed) must(row, 'doubled', times === 1, `${url} was executed ${times} times`);
    row.notes.push(`memory in use ${usedMiB} MiB more, resident ${residentMiB} MiB more`);
    return row;
  });
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly seed: number;
}

async function leaveAll(proxy: ProxyChild, api: HoldingApi, row: Row, { from, to, seed }: Range): Promise<void> {
  const phases = new Tally();
  await inParallel(to - from, AT_A_TIME, async (step) => {
    const number = from + step;
    const random = randomOf(seed, number);
    const phase = random.pick(PHASES);
    phases.count(phase);
    row.tried += 1;
    // One of five stays, and must be served as if nobody else had left.
    if (random.chance(0.2)) await stay(proxy, row, random);
    else await leaveIn(phase, proxy, api, number, random);
    row.survived = row.tried - row.answered - row.lost;
  });
  row.notes.push(phases.shown());
}

async function stay(proxy: ProxyChild, row: Row, random: Random): Promise<void> {
  const path = `/cold${random.between(0, COLD_ROUTES)}/stays`;
  try {
    const { status } = await ask(proxy.port, path, { body: 'x'.repeat(random.between(1, 100_000)) });
    if (status === 200) row.answered += 1;
    else wrong(row, 'lost', `${path} got ${status}`);
  } catch (error) {
    wrong(row, 'lost', `${path}: ${String(error)}`);
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
    case 'token':
      post(`/cold${random.between(0, COLD_ROUTES)}${held}`, 4, 'body');
      break;
    case 'answer':
      post(`/api${held}`, 4, 'body');
      await api.arrived(held);
      break;
    case 'in the answer':
      socket.write('GET /api/endless HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(socket, 'data');
      break;
  }
  await delay(random.between(0, phase === 'token' ? 200 : 20));
  await gone(socket, random);
  // Nine of ten payments are answered once their client is gone; the rest run into the deadline.
  if (random.chance(0.9)) setTimeout(() => api.letGo(held), random.between(0, 300));
}

async function gone(socket: Socket, random: Random): Promise<void> {
  if (socket.destroyed) return;
  const closed = once(socket, 'close');
  if (random.chance(0.5)) socket.destroy();
  else socket.resetAndDestroy();
  await closed;
}

/** Every place that `max_concurrency` gives must be free again: one that is not means a 503. */
async function everySlot(proxy: ProxyChild, api: HoldingApi, row: Row): Promise<void> {
  must(row, 'leaked', await eventually(2 * TIMEOUT_MS, () => api.holdsNone), 'payments stay under way');
  const urls = Array.from({ length: MAX_CONCURRENCY }, (_, i) => `/held/slot-${row.tried}-${i}`);
  const asking = Promise.all(urls.map((url) => ask(proxy.port, `/api${url}`, { body: 'slot' })));
  const arrived = api.arrived(...urls);
  await Promise.race([arrived, asking]);
  for (const url of urls) api.letGo(url);
  const refused = (await asking).filter(({ status }) => status !== 200).length;
  must(row, 'leaked', refused === 0, `${refused} places of max_concurrency stayed taken`);
}
