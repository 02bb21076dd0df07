import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServers } from '../../src/config/config.ts';
import { freePort } from './free-port.ts';

const CONFIG_FILE = 'redis.conf';

/** Runs something when the test or scenario is over. */
export type OnEnd = (end: () => Promise<void>) => void;

/** The program that tests start as Redis, for example `valkey-server`. */
const REDIS_PROGRAM = process.env['WAKALA_REDIS_SERVER'] ?? 'redis-server';

/** A real Redis, or a sentinel, on a free port. It can be stopped, restarted, suspended and queried. */
export class RedisProcess {
  readonly port: number;
  readonly #directory = mkdtempSync(join(tmpdir(), 'wakala-redis-'));
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, args: readonly string[], onEnd: OnEnd) {
    this.port = port;
    this.#args = args;
    onEnd(async () => {
      await this.kill();
      rmSync(this.#directory, { recursive: true, force: true });
    });
  }

  static async start(onEnd: OnEnd, args: readonly string[] = []): Promise<RedisProcess> {
    const redis = await RedisProcess.absent(onEnd, args);
    await redis.run();
    return redis;
  }

  /** A sentinel with these lines in its configuration, which it changes while it runs. */
  static async startSentinel(onEnd: OnEnd, lines: readonly string[]): Promise<RedisProcess> {
    const sentinel = await RedisProcess.absent(onEnd, ['--sentinel']);
    writeFileSync(join(sentinel.#directory, CONFIG_FILE), lines.join('\n'));
    await sentinel.run();
    return sentinel;
  }

  /** A place for one, where nothing listens yet. */
  static async absent(onEnd: OnEnd, args: readonly string[] = []): Promise<RedisProcess> {
    return new RedisProcess(await freePort(), args, onEnd);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `redis://${this.address}`;
  }

  get servers(): RedisServers {
    return { kind: 'single', addresses: [{ host: '127.0.0.1', port: this.port }], login: {} };
  }

  async run(): Promise<void> {
    const file = join(this.#directory, CONFIG_FILE);
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--dir', this.#directory];
    const args = [...(existsSync(file) ? [file] : []), ...own, ...this.#args];
    this.#child = spawn(REDIS_PROGRAM, args, { stdio: 'ignore' });
    for (let tries = 0; tries < 500; tries++) {
      if ((await this.ask('PING').catch(() => '')) !== '') return;
      await sleep(20);
    }
    throw new Error('redis-server did not start');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Suspends it: connections stay open without responses. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Sends an inline command. @returns the raw response */
  async ask(command: string): Promise<string> {
    const socket = connect(this.port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.write(`${command}\r\n`);
      const [response] = (await once(socket, 'data')) as [Buffer];
      return response.toString();
    } finally {
      socket.destroy();
    }
  }
}
