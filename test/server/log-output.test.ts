import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { configFile, temporaryDirectory } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

/** A pipe. The test reads it when it wants to; it may close and open its end again. */
class Pipe {
  readonly path = join(temporaryDirectory(), 'pipe');
  /** For the child process. */
  readonly writeEnd: number;
  #readEnd: number | undefined;

  constructor() {
    execFileSync('mkfifo', [this.path]);
    this.openReader();
    this.writeEnd = openSync(this.path, 'w');
    onTestFinished(() => this.closeReader());
  }

  openReader(): void {
    this.#readEnd = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  closeReader(): void {
    if (this.#readEnd !== undefined) closeSync(this.#readEnd);
    this.#readEnd = undefined;
  }

  /** Reads until the text matches. */
  async until(pattern: RegExp): Promise<string> {
    let text = '';
    const bytes = Buffer.alloc(65_536);
    while (!pattern.test(text)) {
      try {
        text += bytes.toString('utf8', 0, readSync(this.#readEnd ?? -1, bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
      await sleep(10);
    }
    return text;
  }
}

interface Started {
  readonly port: number;
  readonly stop: () => Promise<number | null>;
  readonly dropped: () => Promise<number>;
}

/** `wakala serve` with a log line for each request, which goes to this descriptor, or to a socket that is not read. */
async function serve(settings: Readonly<Record<string, unknown>>, stderr: number | 'socket'): Promise<Started> {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const [port, admin] = [await freePort(), await freePort()];
  const file = configFile({
    listen: `127.0.0.1:${port}`,
    admin: `127.0.0.1:${admin}`,
    log: { requests: true, format: 'json' },
    routes: { '/api/*': routeTo(upstream) },
    ...settings,
  });
  // Node's pipe to a child is a pair of sockets.
  const output = stderr === 'socket' ? 'pipe' : stderr;
  const child = spawn(process.execPath, [CLI, 'serve', '-c', file], { stdio: ['ignore', 'ignore', output] });
  onTestFinished(() => void child.kill('SIGKILL'));
  if (stderr !== 'socket') closeSync(stderr);
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const isReady = async () => {
    try {
      return (await sendRequest(admin, '/readyz')).status === 200;
    } catch {
      return false;
    }
  };
  while (!(await isReady())) await sleep(50);
  return {
    port,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
    dropped: async () => {
      const { body } = await sendRequest(admin, '/metrics');
      return Number(/^wakala_log_lines_dropped_total (\d+)$/m.exec(String(body))?.[1]);
    },
  };
}

/** Each causes a long log line. */
async function statusesOf(port: number, requests: number): Promise<Set<number>> {
  const path = `/api/${'ab/'.repeat(1500)}`;
  const responses = await Promise.all(Array.from({ length: requests }, () => sendRequest(port, path)));
  return new Set(responses.map(({ status }) => status));
}

describe.runIf(process.platform === 'linux')('requests are served', { timeout: 60_000 }, () => {
  describe.each([1, 2])('with `workers: %i`', (workers) => {
    it('if the reader of the log is gone; the log goes on when another one reads', async () => {
      const pipe = new Pipe();
      const { port, dropped, stop } = await serve({ workers }, pipe.writeEnd);
      pipe.closeReader();
      expect(await statusesOf(port, 10)).toEqual(new Set([200]));
      expect(await dropped()).toBeGreaterThanOrEqual(10);
      pipe.openReader();
      expect(await statusesOf(port, 2 * workers)).toEqual(new Set([200]));
      const lines = await pipe.until(/log_lines_dropped.*\n.*request_finished.*\n/);
      expect(lines).toMatch(/"event":"log_lines_dropped","lines":\d+/);
      expect(await stop()).toBe(0);
    });

    it('if the log cannot be written, as on a full disk', async () => {
      const { port, dropped, stop } = await serve({ workers }, openSync('/dev/full', 'w'));
      expect(await statusesOf(port, 10)).toEqual(new Set([200]));
      expect(await dropped()).toBeGreaterThanOrEqual(10);
      expect(await stop()).toBe(0);
    });

    it.each(['pipe', 'socket'])(
      'if the log is not read from a %s, and a signal still ends the process',
      async (kind) => {
        const output = kind === 'socket' ? kind : new Pipe().writeEnd;
        const { port, dropped, stop } = await serve({ workers, drain_timeout: '2s' }, output);
        while ((await dropped()) === 0) expect(await statusesOf(port, 100)).toEqual(new Set([200]));
        expect(await stop()).toBe(0);
      },
    );

    it('if the log is read again after a pause', async () => {
      const pipe = new Pipe();
      const { port, dropped, stop } = await serve({ workers }, pipe.writeEnd);
      while ((await dropped()) === 0) expect(await statusesOf(port, 100)).toEqual(new Set([200]));
      const text = await pipe.until(/"event":"log_lines_dropped".*\n/);
      expect(() =>
        text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as unknown),
      ).not.toThrow();
      const stopped = stop();
      await pipe.until(/"event":"stopped"/);
      expect(await stopped).toBe(0);
    });
  });
});

/** Runs a command whose standard output goes to this descriptor. */
async function run(args: readonly string[], stdout: number) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', stdout, 'pipe'] });
  closeSync(stdout);
  let stderr = '';
  child.stderr?.on('data', (bytes) => (stderr += String(bytes)));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stderr };
}

describe.runIf(process.platform === 'linux')('the output of a command', { timeout: 60_000 }, () => {
  it.each(['schema', 'providers --json', 'completion bash', '--help'])(
    'ends quietly if its reader is gone, %s',
    async (args) => {
      const pipe = new Pipe();
      pipe.closeReader();
      expect(await run(args.split(' '), pipe.writeEnd)).toEqual({ code: 0, stderr: '' });
    },
  );

  it('is complete if its reader is slow', async () => {
    const pipe = new Pipe();
    const running = run(['providers', '--json'], pipe.writeEnd);
    await sleep(500);
    const text = await pipe.until(/\n\]?\}?\n$/);
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    expect(await running).toEqual({ code: 0, stderr: '' });
  });

  it('is an error if it cannot be written', async () => {
    expect(await run(['schema'], openSync('/dev/full', 'w'))).toEqual({
      code: 1,
      stderr: 'wakala: cannot write to standard output (ENOSPC)\n',
    });
  });
});
