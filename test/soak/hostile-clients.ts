import { writeFileSync } from 'node:fs';
import type { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Provider } from '../attacks/provider.ts';
import { type Endpoint, head, Wire } from '../attacks/wire.ts';
import { issue } from '../config/certificate.ts';
import { freePort } from '../support/free-port.ts';
import { randomOf } from '../support/random.ts';
import { paymentOf } from './faults.ts';
import { strangersApi } from './hostile-clients-api.ts';
import { beStrange, STRANGER_KEY } from './hostile-connection.ts';
import { judgeSendings, Ledger } from './ledger.ts';
import { connection, pay, wordsFor } from './payment-client.ts';
import { childrenOf, killNow, openSockets, residentMiB } from './proc.ts';
import { configIn, ProxyChild, temporaryFolder } from './proxy-child.ts';
import { must, newRow, type Row, Tally, wrong } from './scenario-result.ts';
import { eventually, inParallel, type Scope, within } from './scope.ts';
import { ask } from './send-request.ts';

export interface Strangers {
  readonly seed: number;
  /** How many connections they make to each proxy, at most. */
  readonly connections: number;
  /** About how long each proxy is tried, at most, besides its start and the wait until it is at rest. Milliseconds. */
  readonly forMs: number;
  /** How many there are at a time. */
  readonly atATime: number;
  /** How long one of them may stay without doing anything. Milliseconds. */
  readonly mostHeldMs: number;
  /** Whether the 99th percentile of honest payments counts: only where nothing else uses the machine. */
  readonly timed: boolean;
}

interface Kind {
  readonly listener: 'plain' | 'TLS';
  readonly workers: 1 | 2;
}

const KINDS: readonly Kind[] = [
  { listener: 'plain', workers: 1 },
  { listener: 'plain', workers: 2 },
  { listener: 'TLS', workers: 1 },
  { listener: 'TLS', workers: 2 },
];

const HONEST_KEY = 'honest-key-0123456789';
const PAYERS = 4;
const PAUSE_MS = 10;
const MOST_TIMES_BASELINE = 3;
const MOST_WINDOW_MS = 5000;
const MOST_MIB = 128;
const LOOK_MS = 250;
/** Listeners to the inspector's events that never read them. */
const SILENT_LISTENERS = 3;
/** For the deadline of what strangers began, and for idle connections to the API to be dropped. */
const BACK_IN_MS = 30_000;

/**
 * Connections that are broken, stalled and filled in every state, one after the other at a proxy of each kind, while
 * somebody looks at the inspector and honest clients pay: nobody but the strangers notices.
 */
export async function strangers(options: Strangers): Promise<Row> {
  const row = newRow('strangers', options.seed);
  for (const [i, kind] of KINDS.entries()) await at(kind, row, { ...options, seed: options.seed + i });
  return row;
}

function at(kind: Kind, row: Row, { seed, connections, forMs, atATime, mostHeldMs, timed }: Strangers): Promise<void> {
  return within(async (scope) => {
    const name = `${kind.listener}, ${kind.workers} ${kind.workers === 1 ? 'process' : 'workers'}`;
    const ledger = new Ledger();
    const provider = await Provider.start(scope);
    strangersApi(provider, ledger);
    const proxy = await AttackedProxy.start(scope, kind, provider);
    const atRest = proxy.sockets();
    const windowMs = Math.min(MOST_WINDOW_MS, forMs / 10);
    const payers = new Payers(scope, proxy, row, ledger, { seed, windowMs });
    const endsAtMs = Date.now() + forMs;
    let baselineMs = 0;
    if (timed) {
      await payers.p99Ms();
      // The best of a few windows, since other processes may get in the way of any one.
      baselineMs = Math.min(...[await payers.p99Ms(), await payers.p99Ms()]);
    }
    const did = new Tally();
    const come = (count: number, mostMs: number) => {
      const untilMs = Date.now() + mostMs;
      return inParallel(count, atATime, async () => {
        if (!proxy.isAlive || Date.now() >= untilMs) return;
        const what = await beStrange(proxy, randomOf(seed, did.total), mostHeldMs).catch(() => 'turned away');
        did.count(what);
      });
    };
    payers.start();
    const inspector = new Inspector(proxy, row);
    // What is loaded, compiled and grown at first stays.
    await come(connections / 4, forMs / 10);
    const before = proxy.memoryMiB();
    let peak = before;
    const watching = setInterval(() => (peak = Math.max(peak, proxy.memoryMiB())), LOOK_MS);
    // The last of them may stay for three times as long: before it leaves, and while it waits for the proxy to close.
    await come(connections, Math.max(forMs / 3, endsAtMs - Date.now() - 3 * mostHeldMs));
    clearInterval(watching);
    await inspector.stop();
    const windows = await payers.stop();
    row.notes.push(`${name}: ${did.total} connections; memory ${before.toFixed(0)} MiB, ${peak.toFixed(0)} at most`);
    must(row, 'lost', proxy.isAlive, `${name}: ${proxy.lastWords()}`);
    if (!proxy.isAlive) return;
    must(row, 'leaked', peak - before < MOST_MIB, `${name}: ${(peak - before).toFixed(0)} MiB more`);
    if (timed) {
      const ratio = middleOf(windows) / baselineMs;
      row.notes.push(
        `${name}: p99 of honest payments ${baselineMs.toFixed(1)} ms alone, ${ratio.toFixed(2)} times that`,
      );
      must(row, 'lost', ratio < MOST_TIMES_BASELINE, `${name}: p99 is ${ratio.toFixed(2)} times its baseline`);
    }
    must(row, 'leaked', await eventually(BACK_IN_MS, () => proxy.isAtRest()), `${name}: ${await proxy.stillHeld()}`);
    await eventually(BACK_IN_MS, () => proxy.sockets() <= atRest);
    const left = Math.max(0, proxy.sockets() - atRest);
    if (left > 0) wrong(row, 'leaked', `${name}: ${left} sockets stayed open`, left);
    must(row, 'leaked', proxy.leaks === 0, `${name}: ${proxy.leaks} log lines hold a token`);
    must(row, 'lost', ledger.mixedUp === 0, `${name}: ${ledger.mixedUp} payments had the body of another`);
    for (const id of ledger.ids) judgeSendings(row, id, ledger);
  });
}

/** The proxy of one kind, with an admin listener. */
class AttackedProxy implements Endpoint {
  readonly ca: string | undefined;
  readonly adminPort: number;
  readonly #child: ProxyChild;
  readonly #pids: string;

  private constructor(child: ProxyChild, adminPort: number, ca: string | undefined) {
    this.#child = child;
    this.adminPort = adminPort;
    this.ca = ca;
    this.#pids = this.#processes().join();
  }

  static async start(scope: Scope, { listener, workers }: Kind, provider: Provider): Promise<AttackedProxy> {
    const adminPort = await freePort();
    const certificate = listener === 'TLS' ? issue({ name: 'localhost' }) : undefined;
    const tls = certificate && certificateFiles(temporaryFolder(scope), certificate);
    const file = configIn(scope, {
      listen: { address: '127.0.0.1:0', ...(tls && { tls }) },
      admin: `127.0.0.1:${adminPort}`,
      workers,
      inspect_bodies: true,
      clients: [
        { name: 'honest', key: HONEST_KEY },
        { name: 'stranger', key: STRANGER_KEY },
      ],
      routes: { '/api/*': provider.route('api', { websocket: true, timeout: '5s' }) },
    });
    const child = await ProxyChild.start(scope, file, { secrets: () => provider.tokensOf('api') });
    const proxy = new AttackedProxy(child, adminPort, certificate?.cert);
    // Workers end by themselves once their primary is gone; one that does not would be waited for without end.
    scope.onEnd(() => proxy.#processes().forEach(killNow));
    return proxy;
  }

  get port(): number {
    return this.#child.port;
  }

  get leaks(): number {
    return this.#child.leaks;
  }

  /** Whether every process lives that was there in the beginning. */
  get isAlive(): boolean {
    return !this.#child.ended && this.#processes().join() === this.#pids;
  }

  lastWords(): string {
    return `a process died: ${this.#child.tail(30)}`;
  }

  sockets(): number {
    return this.#sum((pid) => openSockets(pid));
  }

  memoryMiB(): number {
    return this.#sum((pid) => residentMiB(pid).now);
  }

  /** Whether no request and no WebSocket is under way. */
  async isAtRest(): Promise<boolean> {
    return (await this.stillHeld()) === '';
  }

  async stillHeld(): Promise<string> {
    const { text } = await ask(this.adminPort, '/api/routes');
    const { routes, processes } = JSON.parse(text) as {
      routes: { in_flight: number }[];
      processes: { websockets: number; connections: number }[];
    };
    const requests = routes.reduce((sum, { in_flight }) => sum + in_flight, 0);
    const websockets = processes.reduce((sum, told) => sum + told.websockets, 0);
    return requests + websockets === 0 ? '' : `${requests} requests and ${websockets} WebSockets are still under way`;
  }

  #processes(): number[] {
    if (this.#child.ended) return [];
    return [this.#child.pid, ...childrenOf(this.#child.pid)];
  }

  #sum(of: (pid: number) => number): number {
    return this.isAlive ? this.#processes().reduce((sum, pid) => sum + of(pid), 0) : 0;
  }
}

function certificateFiles(folder: string, { cert, key }: { cert: string; key: string }) {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key, { mode: 0o600 });
  return files;
}

/** Honest clients, each on a connection that it keeps. */
class Payers {
  readonly #row: Row;
  readonly #ledger: Ledger;
  readonly #seed: number;
  readonly #windowMs: number;
  readonly #proxy: AttackedProxy;
  readonly #agents: readonly Agent[];
  #isOver = true;
  #running: Promise<unknown> = Promise.resolve();
  #next = 0;
  #windows: number[][] = [];

  constructor(
    scope: Scope,
    proxy: AttackedProxy,
    row: Row,
    ledger: Ledger,
    { seed, windowMs }: { seed: number; windowMs: number },
  ) {
    this.#proxy = proxy;
    this.#row = row;
    this.#ledger = ledger;
    this.#seed = seed;
    this.#windowMs = windowMs;
    const listener = proxy.ca === undefined ? 'plain' : 'TLS';
    this.#agents = Array.from({ length: PAYERS }, () => connection(scope, listener));
  }

  start(): void {
    this.#isOver = false;
    this.#windows = [[]];
    const windows = setInterval(() => this.#windows.push([]), this.#windowMs);
    const paying = this.#agents.map(async (agent) => {
      while (!this.#isOver && this.#proxy.isAlive) {
        await this.#pay(agent);
        await delay(PAUSE_MS);
      }
    });
    this.#running = Promise.all(paying).finally(() => clearInterval(windows));
  }

  /** @returns the 99th percentile of the time that payments took, in each window. Milliseconds. */
  async stop(): Promise<number[]> {
    this.#isOver = true;
    await this.#running;
    for (const agent of this.#agents) agent.destroy();
    return this.#windows.filter((tookMs) => tookMs.length > 0).map(p99Of);
  }

  /** Pays for one window. @returns the 99th percentile of the time that payments took. Milliseconds. */
  async p99Ms(): Promise<number> {
    this.start();
    await delay(this.#windowMs);
    return Math.max(...(await this.stop()));
  }

  async #pay(agent: Agent): Promise<void> {
    const { port, ca } = this.#proxy;
    const payment = { ...paymentOf(this.#seed, this.#next++), fault: 'fine' as const };
    const { id } = payment;
    const startedMs = performance.now();
    const outcome = await pay({ port, prefix: '/api', agent, ca, key: HONEST_KEY }, payment);
    // A client that pauses itself takes as long as it likes.
    if (payment.pauseMs === 0) this.#windows.at(-1)?.push(performance.now() - startedMs);
    this.#row.tried += 1;
    const isRight = outcome.kind === 'answer' && outcome.status === 200 && outcome.echoed === id;
    // What a process takes with it that dies is counted as its death.
    if (!isRight && !this.#proxy.isAlive) return;
    if (!isRight) wrong(this.#row, 'lost', `${id}: ${wordsFor(outcome)}`);
    else if (this.#ledger.of(id).executed !== 1) wrong(this.#row, 'lost', `${id}: 200, but it was not executed once`);
    else this.#row.answered += 1;
    if (isRight && this.#ledger.of(id).sighted === 1) this.#ledger.forget(id);
  }
}

function p99Of(tookMs: readonly number[]): number {
  const sorted = tookMs.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

function middleOf(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

/** Somebody who looks at the inspector: listeners to its events, of which some never read, and polls. */
class Inspector {
  readonly #running: Promise<unknown>;
  readonly #listeners: Wire[] = [];
  #isOver = false;

  constructor(proxy: AttackedProxy, row: Row) {
    this.#running = this.#look(proxy).catch((error: unknown) => {
      if (proxy.isAlive) wrong(row, 'lost', `the inspector: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
    for (const listener of this.#listeners) listener.close();
  }

  async #look({ adminPort }: AttackedProxy): Promise<void> {
    for (let i = 0; i <= SILENT_LISTENERS; i++) {
      const listener = await Wire.openTcp(adminPort);
      this.#listeners.push(listener);
      listener.send(head('GET /api/events HTTP/1.1', `Host: 127.0.0.1:${adminPort}`));
      if (i > 0) listener.stopReading();
    }
    while (!this.#isOver) {
      for (const path of ['/api/requests', '/', '/api/routes']) {
        const { status } = await ask(adminPort, path);
        if (status !== 200) throw new Error(`${path} got ${status}`);
      }
      await delay(LOOK_MS);
    }
  }
}
