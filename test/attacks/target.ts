import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import type { Agent } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { issue } from '../config/certificate.ts';
import { childrenOf, cpuMs, isComputing, killNow, resetPeakMemory, residentMiB } from '../soak/proc.ts';
import { temporaryFolder } from '../soak/proxy-child.ts';
import { eventually, type Scope, withTimeout } from '../soak/scope.ts';
import { type ReceivedResponse, type RequestOptions, sendRequest } from '../soak/send-request.ts';
import { freePort } from '../support/free-port.ts';
import { type Endpoint, Wire } from './wire.ts';

/** A build of the product and a Node executable. */
export interface Product {
  /** Path of the Node executable. */
  readonly node: string;
  /** Path of `dist/cli.js`. */
  readonly cli: string;
  /** A folder whose files can import `wakala`. */
  readonly folder: string;
}

/** How the product runs. */
export interface Kind {
  readonly form: 'binary' | 'library';
  readonly listener: 'plain' | 'TLS';
  readonly workers: 1 | 2;
}

/** Top-level keys of the configuration. */
export type Settings = Readonly<Record<string, unknown>>;

/** The keys of the two clients of every target. */
export const PAYER_KEY = 'payer-key-0123456789';
export const ATTACKER_KEY = 'attacker-key-0123456789';

/** The header line with a client's key. */
export function keyLine(key: string): string {
  return `Authorization: Bearer ${key}`;
}

const START_MS = 60_000;
const LIBRARY_APP = new URL('./library-app.mjs', import.meta.url);
/** Characters of standard error that are kept. */
const MAX_STDERR = 4000;
/** A target with more memory is killed, so that a successful attack does not affect other targets. */
const KILL_AT_MIB = 1536;

/** The product in a child process that can be restarted after an attack. */
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
        { name: 'payer', key: PAYER_KEY },
        { name: 'attacker', key: ATTACKER_KEY },
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

  /** Starts a target and waits until it listens. It is killed at the end of the scope. */
  static async start(scope: Scope, product: Product, kind: Kind, settings: Settings): Promise<Target> {
    // With port 0, workers that start after all others died would listen on another port.
    const target = new Target(scope, product, kind, settings, [await freePort(), await freePort()]);
    scope.onEnd(() => target.stop());
    await target.start();
    return target;
  }

  /** Attacks another target of the same kind with other settings. @throws Error if it died or the attack succeeded */
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
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR);
    });
    const port = () => /"event":"ready","listen":"127\.0\.0\.1:(\d+)"/.exec(this.#stderr)?.[1];
    const started = await eventually(START_MS, () => this.hasEnded || port() !== undefined);
    if (!started || this.hasEnded) throw new Error(`the target did not start:\n${this.#stderr}`);
    this.#port = Number(port());
    const guard = setInterval(() => {
      if (this.memoryMiB().now > KILL_AT_MIB) child.kill('SIGKILL');
    }, 200);
    child.on('exit', () => clearInterval(guard));
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.hasEnded) return;
    const pids = this.pids();
    const exited = once(child, 'exit');
    // Workers end when their primary is gone. Kill them anyway, so that none affects the next target.
    for (const pid of pids) killNow(pid);
    await withTimeout(exited, START_MS, 'the end of a killed process');
  }

  get port(): number {
    return this.#port;
  }

  /** The process that was started; the primary if there are workers. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#child?.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The exit code or signal, and the end of standard error. */
  describeExit(): string {
    const { exitCode, signalCode } = this.#child ?? {};
    return `${signalCode ?? `exit code ${exitCode}`}\n${this.#stderr.slice(-1500)}`;
  }

  /** Process IDs of all processes. */
  pids(): number[] {
    return this.hasEnded ? [] : [this.pid, ...childrenOf(this.pid)];
  }

  workerPids(): number[] {
    return this.pids().slice(1);
  }

  /** CPU time of all processes. */
  cpuMs(): number {
    return sumOf(this.pids(), cpuMs);
  }

  /** Resident memory of all processes: now, and the sum of their peaks since `resetPeakMemory`. */
  memoryMiB(): { now: number; peak: number } {
    const pids = this.pids();
    return {
      now: sumOf(pids, (pid) => residentMiB(pid).now),
      peak: sumOf(pids, (pid) => residentMiB(pid).peak),
    };
  }

  /** Stores the current memory as the baseline without an attack. */
  recordBaseline(): void {
    this.#baselineMiB = this.memoryMiB().now;
  }

  get baselineMiB(): number {
    return this.#baselineMiB;
  }

  /** Whether any process is running. */
  isComputing(): boolean {
    return sumOf(this.pids(), (pid) => Number(isComputing(pid))) > 0;
  }

  resetPeakMemory(): void {
    for (const pid of this.pids()) resetPeakMemory(pid);
  }

  open(): Promise<Wire> {
    return Wire.open(this);
  }

  /** Sends a request. @throws Error without a complete response */
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

/** Copies the library app to where it finds the package. @returns its path */
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
