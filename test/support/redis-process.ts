import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';

/** Runs something when the test or scenario is over. */
export type OnEnd = (end: () => Promise<void>) => void;

/** A real Redis on a free port. It can be stopped, restarted, suspended and queried. */
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

  /** A place for one, where nothing listens yet. */
  static async absent(onEnd: OnEnd, args: readonly string[] = []): Promise<RedisProcess> {
    return new RedisProcess(await freePort(), args, onEnd);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async run(): Promise<void> {
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--dir', this.#directory];
    this.#child = spawn('redis-server', [...own, ...this.#args], { stdio: 'ignore' });
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
