import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import type { Agent } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { issue } from '../config/certificate.ts';
import { type ReceivedResponse, sendRequest, type RequestOptions } from '../soak/send-request.ts';
import { childrenOf, cpuMs, resetPeakMemory, isComputing, killNow, residentMiB } from '../soak/proc.ts';
import { temporaryFolder } from '../soak/proxy-child.ts';
import { eventually, withTimeout, type Scope } from '../soak/scope.ts';
import { freePort } from '../support/free-port.ts';
import { type Endpoint, Wire } from './wire.ts';

/** A build of the product, and the Node that runs it. */
export interface Product {
  /** Path of the Node executable. */
  readonly node: string;
  /** Path of `dist/cli.js`. */
  readonly cli: string;
  /** A folder whose files can import `wakala`. */
  readonly folder: string;
}

/** How the product is run. */
export interface Kind {
  readonly form: 'binary' | 'library';
  readonly listener: 'plain' | 'TLS';
  readonly workers: 1 | 2;
}

/** Top-level keys of the configuration. */
export type Settings = Readonly<Record<string, unknown>>;

/** The clients that every target knows. */
export const PAYER_KEY = 'honest-key-0123456789';
export const ATTACKER_KEY = 'stranger-key-0123456789';

/** The header line that a client sends its key in. */
export function keyLine(key: string): string {
  return `Authorization: Bearer ${key}`;
}

const START_MS = 60_000;
const LIBRARY_APP = new URL('./library-app.mjs', import.meta.url);
/** Characters of its standard error that are kept. */
const KEPT = 4000;
/** A target that holds more than this is killed, so that an attack that gets through takes no memory from others. */
const KILLED_AT_MIB = 1536;

/** The product in a process of its own, which can be started again after an attack. */
export class Target implements Endpoint {
  readonly kind: Kind;
  /** Of the admin listener; the library has none. */
  readonly adminPort: number;
  readonly ca: string | undefined;
  readonly #scope: Scope;
  readonly #product: Product;
  readonly #settings: Settings;
  readonly #args: readonly string[];
  #child: ChildProcessByStdio<null, null, Readable> | undefined;
  #port = 0;
  #stderr = '';
  #baselineMiB = 0;

  private constructor(scope: Scope, product: Product, kind: Kind, settings: Settings, ports: readonly number[]) {
    this.#scope = scope;
    this.#product = product;
    this.kind = kind;
    const [port = 0, adminPort = 0] = ports;
    this.adminPort = adminPort;
    this.#settings = settings;
    const certificate = kind.listener === 'TLS' ? issue({ name: 'localhost' }) : undefined;
    this.ca = certificate?.cert;
    const folder = temporaryFolder(scope);
    const write = (name: string, text: string) => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const common = {
      listen: '127.0.0.1:0',
      clients: [
        { name: 'honest', key: PAYER_KEY },
        { name: 'stranger', key: ATTACKER_KEY },
      ],
      log: { level: 'info', format: 'json' },
      drain_timeout: '0s',
    };
    if (kind.form === 'library') {
      const config = { ...common, ...settings };
      this.#args = [libraryApp(product), write('app.json', JSON.stringify({ config, tls: certificate }))];
      return;
    }
    const tls = certificate && {
      cert: write('cert.pem', certificate.cert),
      key: write('key.pem', certificate.key),
    };
    const listen = { address: `127.0.0.1:${port}`, ...(tls && { tls }) };
    const config = { ...common, listen, admin: `127.0.0.1:${adminPort}`, workers: kind.workers, ...settings };
    this.#args = [product.cli, 'serve', '-c', write('proxy.config.yaml', JSON.stringify(config))];
  }

  /** Starts it, and resolves once it listens. Killed when the scope ends. */
  static async start(scope: Scope, product: Product, kind: Kind, settings: Settings): Promise<Target> {
    // With port 0, workers that start after all others died would listen somewhere else.
    const target = new Target(scope, product, kind, settings, [await freePort(), await freePort()]);
    scope.onEnd(() => target.stop());
    await target.start();
    return target;
  }

  /** Attacks another process of the same kind, with other settings. @throws Error if it died, whatever else it did */
  async withOther(settings: Settings, attack: (target: Target) => Promise<void>): Promise<void> {
    const target = await Target.start(this.#scope, this.#product, this.kind, { ...this.#settings, ...settings });
    const failed = await attack(target).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    if (target.hasEnded) throw new Error(`the process died (${target.describeExit()})`);
    await target.stop();
    if (failed !== undefined) throw failed;
  }

  async start(): Promise<void> {
    this.#stderr = '';
    const { PATH = '' } = process.env;
    const child = spawn(this.#product.node, this.#args, {
      env: { PATH, NO_COLOR: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT);
    });
    const port = () => /"event":"ready","listen":"127\.0\.0\.1:(\d+)"/.exec(this.#stderr)?.[1];
    const started = await eventually(START_MS, () => this.hasEnded || port() !== undefined);
    if (!started || this.hasEnded) throw new Error(`it did not start:\n${this.#stderr}`);
    this.#port = Number(port());
    const guard = setInterval(() => {
      if (this.memoryMiB().now > KILLED_AT_MIB) child.kill('SIGKILL');
    }, 200);
    child.on('exit', () => clearInterval(guard));
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.hasEnded) return;
    const pids = this.pids();
    const exited = once(child, 'exit');
    // Workers end by themselves once their primary is gone; one that does not must not meet the next target.
    for (const pid of pids) killNow(pid);
    await withTimeout(exited, START_MS, 'the end of a killed process');
  }

  get port(): number {
    return this.#port;
  }

  /** Of the process that was started: with workers, their primary. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#child?.exitCode !== null || this.#child.signalCode !== null;
  }

  /** How it ended, and the last of its standard error. */
  describeExit(): string {
    const { exitCode, signalCode } = this.#child ?? {};
    return `${signalCode ?? `exit code ${exitCode}`}\n${this.#stderr.slice(-1500)}`;
  }

  /** Process ids of all its processes. */
  pids(): number[] {
    return this.hasEnded ? [] : [this.pid, ...childrenOf(this.pid)];
  }

  workerPids(): number[] {
    return this.pids().slice(1);
  }

  /** CPU time of all its processes. Milliseconds. */
  cpuMs(): number {
    return sumOf(this.pids(), cpuMs);
  }

  /** Resident memory of all its processes: now, and the sum of their peaks since `forgetPeak`. */
  memoryMiB(): { now: number; peak: number } {
    const pids = this.pids();
    return {
      now: sumOf(pids, (pid) => residentMiB(pid).now),
      peak: sumOf(pids, (pid) => residentMiB(pid).peak),
    };
  }

  /** Notes how much memory it holds without being attacked. */
  recordBaseline(): void {
    this.#baselineMiB = this.memoryMiB().now;
  }

  get baselineMiB(): number {
    return this.#baselineMiB;
  }

  /** Whether any of its processes computes. */
  isComputing(): boolean {
    return sumOf(this.pids(), (pid) => Number(isComputing(pid))) > 0;
  }

  resetPeakMemory(): void {
    for (const pid of this.pids()) resetPeakMemory(pid);
  }

  open(): Promise<Wire> {
    return Wire.open(this);
  }

  /** Sends a request. @throws Error if no whole response comes */
  sendRequest(
    path: string,
    asked: RequestOptions & { readonly key?: string; readonly agent?: Agent } = {},
  ): Promise<ReceivedResponse> {
    const { key = ATTACKER_KEY, headers = {} } = asked;
    return sendRequest(this.port, path, {
      ...asked,
      headers: { ...headers, authorization: `Bearer ${key}` },
      ca: this.ca,
    });
  }

  /** Sends a request to the admin listener. */
  sendAdminRequest(path: string, timeoutMs = 60_000): Promise<ReceivedResponse> {
    return sendRequest(this.adminPort, path, { timeoutMs });
  }
}

/** The app that mounts the library, where it finds the package. */
function libraryApp({ folder }: Product): string {
  const file = join(folder, 'library-app.mjs');
  if (file !== LIBRARY_APP.pathname) copyFileSync(LIBRARY_APP, file);
  return file;
}

/** Processes that end meanwhile count nothing. */
function sumOf(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((sum, pid) => {
    try {
      return sum + of(pid);
    } catch {
      return sum;
    }
  }, 0);
}
