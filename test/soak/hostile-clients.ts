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
import { serveHostileClientsApi } from './hostile-clients-api.ts';
import { HOSTILE_KEY, runHostileConnection } from './hostile-connection.ts';
import { checkExecutions, Ledger } from './ledger.ts';
import { connection, describeOutcome, pay } from './payment-client.ts';
import { childrenOf, killNow, openSockets, residentMiB } from './proc.ts';
import { ProxyChild, temporaryFolder, writeConfig } from './proxy-child.ts';
import { Counts, expectThat, newResult, recordFailure, type ScenarioResult } from './scenario-result.ts';
import { eventually, inParallel, type Scope, withScope } from './scope.ts';
import { sendRequest } from './send-request.ts';

export interface HostileClientsOptions {
  readonly seed: number;
  /** Maximum number of hostile connections to each proxy. */
  readonly connections: number;
  /** Approximate duration for each proxy, without its start and the final wait. */
  readonly forMs: number;
  /** Hostile connections at a time. */
  readonly parallel: number;
  /** How long a hostile connection may be idle. */
  readonly maxIdleMs: number;
  /** Whether to check the 99th percentile of payment times. Use it only on an idle machine. */
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

const PAYER_KEY = 'payer-key-0123456789';
const PAYERS = 4;
const PAUSE_MS = 10;
const MAX_P99_RATIO = 3;
const MAX_WINDOW_MS = 5000;
const MAX_GROWTH_MIB = 128;
const POLL_MS = 250;
/** Listeners to the inspector's events that do not read them. */
const SILENT_LISTENERS = 3;
/** Time for hostile requests to reach their timeout and for idle API connections to be closed. */
const SETTLE_TIMEOUT_MS = 30_000;

/**
 * Hostile clients break, stall and flood connections in every state, at a proxy of each kind, while the inspector is used
 * and other clients make payments. The payments and the inspector must not be affected.
 */
export async function hostileClients(options: HostileClientsOptions): Promise<ScenarioResult> {
  const result = newResult('hostile clients', options.seed);
  for (const [i, kind] of KINDS.entries()) await attackOne(kind, result, { ...options, seed: options.seed + i });
  return result;
}

function attackOne(
  kind: Kind,
  result: ScenarioResult,
  { seed, connections, forMs, parallel, maxIdleMs, timed }: HostileClientsOptions,
): Promise<void> {
  return withScope(async (scope) => {
    const name = `${kind.listener}, ${kind.workers} ${kind.workers === 1 ? 'process' : 'workers'}`;
    const ledger = new Ledger();
    const provider = await Provider.start(scope);
    serveHostileClientsApi(provider, ledger);
    const proxy = await AttackedProxy.start(scope, kind, provider);
    const idleSockets = proxy.socketCount();
    const windowMs = Math.min(MAX_WINDOW_MS, forMs / 10);
    const payers = new Payers(scope, proxy, result, ledger, { seed, windowMs });
    const endsAtMs = Date.now() + forMs;
    let baselineMs = 0;
    if (timed) {
      await payers.p99Ms();
      // The best of several windows, because other processes may disturb one.
      baselineMs = Math.min(...[await payers.p99Ms(), await payers.p99Ms()]);
    }
    const actions = new Counts();
    const attack = (count: number, maxMs: number) => {
      const untilMs = Date.now() + maxMs;
      return inParallel(count, parallel, async () => {
        if (!proxy.isAlive || Date.now() >= untilMs) return;
        const what = await runHostileConnection(proxy, randomOf(seed, actions.total), maxIdleMs).catch(() => 'refused');
        actions.add(what);
      });
    };
    payers.start();
    const inspector = new Inspector(proxy, result);
    // Memory that is allocated at the start stays.
    await attack(connections / 4, forMs / 10);
    const before = proxy.memoryMiB();
    let peak = before;
    const watching = setInterval(() => (peak = Math.max(peak, proxy.memoryMiB())), POLL_MS);
    // The last connection may take three times as long: before it ends, and while it waits for the proxy to close.
    await attack(connections, Math.max(forMs / 3, endsAtMs - Date.now() - 3 * maxIdleMs));
    clearInterval(watching);
    await inspector.stop();
    const windows = await payers.stop();
    result.notes.push(
      `${name}: ${actions.total} connections; memory ${before.toFixed(0)} MiB, ${peak.toFixed(0)} at most`,
    );
    expectThat(result, 'lost', proxy.isAlive, `${name}: ${proxy.describeExit()}`);
    if (!proxy.isAlive) return;
    expectThat(result, 'leaked', peak - before < MAX_GROWTH_MIB, `${name}: ${(peak - before).toFixed(0)} MiB more`);
    if (timed) {
      const ratio = median(windows) / baselineMs;
      result.notes.push(
        `${name}: p99 of payments ${baselineMs.toFixed(1)} ms alone, ${ratio.toFixed(2)} times that under attack`,
      );
      expectThat(result, 'lost', ratio < MAX_P99_RATIO, `${name}: p99 is ${ratio.toFixed(2)} times its baseline`);
    }
    expectThat(
      result,
      'leaked',
      await eventually(SETTLE_TIMEOUT_MS, () => proxy.isAtRest()),
      `${name}: ${await proxy.describePending()}`,
    );
    await eventually(SETTLE_TIMEOUT_MS, () => proxy.socketCount() <= idleSockets);
    const left = Math.max(0, proxy.socketCount() - idleSockets);
    if (left > 0) recordFailure(result, 'leaked', `${name}: ${left} sockets stayed open`, left);
    expectThat(result, 'leaked', proxy.leakCount === 0, `${name}: ${proxy.leakCount} log lines contain a token`);
    expectThat(
      result,
      'lost',
      ledger.mixedUp === 0,
      `${name}: ${ledger.mixedUp} payments had the body of another payment`,
    );
    for (const id of ledger.ids) checkExecutions(result, id, ledger);
  });
}

/** A proxy of one kind, with an admin listener. */
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
    const file = writeConfig(scope, {
      listen: { address: '127.0.0.1:0', ...(tls && { tls }) },
      admin: `127.0.0.1:${adminPort}`,
      workers,
      inspect_bodies: true,
      clients: [
        { name: 'payer', key: PAYER_KEY },
        { name: 'hostile', key: HOSTILE_KEY },
      ],
      routes: { '/api/*': provider.route('api', { websocket: true, timeout: '5s' }) },
    });
    const child = await ProxyChild.start(scope, file, { secrets: () => provider.tokensOf('api') });
    const proxy = new AttackedProxy(child, adminPort, certificate?.cert);
    // Workers end when their primary is gone. Kill a worker that does not, because the scope would wait for it.
    scope.onEnd(() => proxy.#processes().forEach(killNow));
    return proxy;
  }

  get port(): number {
    return this.#child.port;
  }

  get leakCount(): number {
    return this.#child.leakCount;
  }

  /** Whether all processes of the start are alive. */
  get isAlive(): boolean {
    return !this.#child.hasEnded && this.#processes().join() === this.#pids;
  }

  describeExit(): string {
    return `a process died: ${this.#child.tail(30)}`;
  }

  socketCount(): number {
    return this.#sum((pid) => openSockets(pid));
  }

  memoryMiB(): number {
    return this.#sum((pid) => residentMiB(pid).now);
  }

  /** Whether no request and no WebSocket is in progress. */
  async isAtRest(): Promise<boolean> {
    return (await this.describePending()) === '';
  }

  async describePending(): Promise<string> {
    const { text } = await sendRequest(this.adminPort, '/api/routes');
    const { routes, processes } = JSON.parse(text) as {
      routes: { in_flight: number }[];
      processes: { websockets: number; connections: number }[];
    };
    const requests = routes.reduce((sum, { in_flight }) => sum + in_flight, 0);
    const websockets = processes.reduce((sum, process) => sum + process.websockets, 0);
    return requests + websockets === 0 ? '' : `${requests} requests and ${websockets} WebSockets are still in progress`;
  }

  #processes(): number[] {
    if (this.#child.hasEnded) return [];
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

/** Clients that make payments, each on a keep-alive connection. */
class Payers {
  readonly #result: ScenarioResult;
  readonly #ledger: Ledger;
  readonly #seed: number;
  readonly #windowMs: number;
  readonly #proxy: AttackedProxy;
  readonly #agents: readonly Agent[];
  #isStopped = true;
  #running: Promise<unknown> = Promise.resolve();
  #next = 0;
  #windows: number[][] = [];

  constructor(
    scope: Scope,
    proxy: AttackedProxy,
    result: ScenarioResult,
    ledger: Ledger,
    { seed, windowMs }: { seed: number; windowMs: number },
  ) {
    this.#proxy = proxy;
    this.#result = result;
    this.#ledger = ledger;
    this.#seed = seed;
    this.#windowMs = windowMs;
    const listener = proxy.ca === undefined ? 'plain' : 'TLS';
    this.#agents = Array.from({ length: PAYERS }, () => connection(scope, listener));
  }

  start(): void {
    this.#isStopped = false;
    this.#windows = [[]];
    const windows = setInterval(() => this.#windows.push([]), this.#windowMs);
    const paying = this.#agents.map(async (agent) => {
      while (!this.#isStopped && this.#proxy.isAlive) {
        await this.#pay(agent);
        await delay(PAUSE_MS);
      }
    });
    this.#running = Promise.all(paying).finally(() => clearInterval(windows));
  }

  /** @returns the 99th percentile of payment times in each window, in milliseconds */
  async stop(): Promise<number[]> {
    this.#isStopped = true;
    await this.#running;
    for (const agent of this.#agents) agent.destroy();
    return this.#windows.filter((durationsMs) => durationsMs.length > 0).map(p99Of);
  }

  /** Makes payments for one window. @returns the 99th percentile of their times, in milliseconds */
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
    const outcome = await pay({ port, prefix: '/api', agent, ca, key: PAYER_KEY }, payment);
    // Payments with pauses are not measured.
    if (payment.pauseMs === 0) this.#windows.at(-1)?.push(performance.now() - startedMs);
    this.#result.tried += 1;
    const isCorrect = outcome.kind === 'response' && outcome.status === 200 && outcome.echoed === id;
    // A dead process is reported once, not for each of its payments.
    if (!isCorrect && !this.#proxy.isAlive) return;
    if (!isCorrect) recordFailure(this.#result, 'lost', `${id}: ${describeOutcome(outcome)}`);
    else if (this.#ledger.of(id).executed !== 1)
      recordFailure(this.#result, 'lost', `${id}: 200, but it was not executed exactly once`);
    else this.#result.answered += 1;
    if (isCorrect && this.#ledger.of(id).received === 1) this.#ledger.forget(id);
  }
}

function p99Of(durationsMs: readonly number[]): number {
  const sorted = durationsMs.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

/** Uses the inspector: event listeners, some of which do not read, and polling. */
class Inspector {
  readonly #running: Promise<unknown>;
  readonly #listeners: Wire[] = [];
  #isStopped = false;

  constructor(proxy: AttackedProxy, result: ScenarioResult) {
    this.#running = this.#run(proxy).catch((error: unknown) => {
      if (proxy.isAlive)
        recordFailure(result, 'lost', `the inspector: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    for (const listener of this.#listeners) listener.close();
  }

  async #run({ adminPort }: AttackedProxy): Promise<void> {
    for (let i = 0; i <= SILENT_LISTENERS; i++) {
      const listener = await Wire.openTcp(adminPort);
      this.#listeners.push(listener);
      listener.send(head('GET /api/events HTTP/1.1', `Host: 127.0.0.1:${adminPort}`));
      if (i > 0) listener.stopReading();
    }
    while (!this.#isStopped) {
      for (const path of ['/api/requests', '/', '/api/routes']) {
        const { status } = await sendRequest(adminPort, path);
        if (status !== 200) throw new Error(`${path} got ${status}`);
      }
      await delay(POLL_MS);
    }
  }
}
