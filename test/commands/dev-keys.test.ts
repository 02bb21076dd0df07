import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask } from '../support/proxy-ask.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const CLI = join(ROOT, 'src', 'cli.ts');
const hasPty = spawnSync('python3', ['-c', 'import pty']).status === 0 && spawnSync('stty', ['--version']).status === 0;

/** What passes between this process and a terminal that runs a shell script. */
const RELAY = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';

const ANY_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];

/** `wakala dev` in front of somebody at a terminal. */
class Desk {
  readonly folder = mkdtempSync(join(tmpdir(), 'wakala-dev-'));
  readonly closed: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #screen = '';
  #read = 0;
  #ended = false;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  constructor({
    program = [process.execPath, CLI, 'dev'],
    args = ANY_PORTS,
    env = {},
    shell = (command) => `echo "pid=$$"; exec ${command}`,
    config,
  }: DeskOptions = {}) {
    const command = [...program, ...args].map((word) => `'${word}'`).join(' ');
    const inner = shell(command);
    if (config !== undefined) writeFileSync(this.file, config);
    const script = `stty -a > before; sh -c "$INNER"; echo "code=$?"; stty -a > after; echo closed`;
    const { PATH = '' } = process.env;
    this.#child = spawn('python3', ['-c', RELAY, 'sh', '-c', script], {
      cwd: this.folder,
      env: { PATH, INNER: inner, NO_COLOR: '1', TERM: 'xterm', ...env },
      stdio: 'pipe',
    });
    onTestFinished(() => {
      this.#child.kill('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true });
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => this.#changed(() => (this.#screen += text)));
    this.closed = new Promise((resolve) => {
      this.#child.on('close', () => {
        this.#changed(() => (this.#ended = true));
        resolve();
      });
    });
  }

  /** The configuration that it reads unless it is told otherwise. */
  get file(): string {
    return join(this.folder, 'proxy.config.yaml');
  }

  /** As it came, escapes and all. */
  get raw(): string {
    return this.#screen;
  }

  get screen(): string {
    return stripVTControlCharacters(this.#screen).replaceAll('\r\n', '\n');
  }

  press(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Waits for text after what was waited for last. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.screen.slice(this.#read));
      if (found !== null) {
        this.#read += found.index + found[0].length;
        return found;
      }
      if (this.#ended) throw new Error(`it ended without ${String(pattern)}:\n${this.screen}`);
      await this.#change.promise;
    }
  }

  get pid(): number {
    return Number(/pid=(\d+)/.exec(this.screen)?.[1]);
  }

  /** Closes the window. */
  leave(): void {
    this.#child.kill('SIGKILL');
  }

  /** Waits for the end. @returns the exit code, and the terminal's settings before and after */
  async end(): Promise<{ code: number; before: string; after: string }> {
    const [, code] = await this.until(/code=(\d+)\n/);
    await this.until(/closed/);
    return { code: Number(code), before: this.written('before'), after: this.written('after') };
  }

  /** The text of a file in its folder; empty where there is none. */
  written(name: string): string {
    const path = join(this.folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  portOf(pattern: RegExp): number {
    return Number(new RegExp(`${pattern.source}.*http://127\\.0\\.0\\.1:(\\d+)`).exec(this.screen)?.[1]);
  }

  get proxy(): number {
    return this.portOf(/ {2}proxy/);
  }

  async emulator(route: string) {
    return (await ask(this.portOf(new RegExp(`/${route}/\\*`)), '/_emulator')).json();
  }

  #changed(apply: () => void): void {
    apply();
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }
}

interface DeskOptions {
  readonly program?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What the shell is told; it says `pid=`. */
  readonly shell?: (command: string) => string;
  readonly config?: string;
}

const KEY_LINE = /keys {2}h help, e expire tokens, x refuse the next token, d dashboard, r reload, c clear, q quit\n/;

async function sitDown(options?: DeskOptions) {
  const desk = new Desk(options);
  await desk.until(KEY_LINE);
  return desk;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const routes = (...names: string[]) =>
  `routes:\n${names.map((name) => `  /${name}/*: {provider: ${name}}\n`).join('')}`;

describe.skipIf(!hasPty)('wakala dev at a terminal', { timeout: 60_000 }, () => {
  it('expires the tokens of all emulators at e, and says how many', async () => {
    const desk = await sitDown();
    desk.press('e');
    await desk.until(/no token is alive/);
    await ask(desk.proxy, '/mpesa/mpesa/stkpush/v1/processrequest', { method: 'POST', body: '{}' });
    await ask(desk.proxy, '/paypack/transactions/list');
    expect(await desk.emulator('mpesa')).toMatchObject({ counters: { tokens_alive: 1 } });
    desk.press('e');
    await desk.until(/2 tokens expired \(mpesa 1, paypack 1\)/);
    expect(await desk.emulator('mpesa')).toMatchObject({ counters: { tokens_alive: 0 } });
    expect((await ask(desk.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('replayed');
    const line =
      / 200 {3}GET \/paypack\/\* \/transactions\/list {2}\d+ ms {2}token was dead: refreshed and sent again {2}#[0-9a-f]{8}\n/;
    await desk.until(line);
    expect(desk.screen).not.toContain('sent again with a new token');
  });

  it('has the next token refused at x', async () => {
    const desk = await sitDown();
    desk.press('x');
    await desk.until(/next token will be refused .*\(jpay, mpesa, jeel, paypack\)/);
    expect(await desk.emulator('jeel')).toMatchObject({ switches: { refuse_next_tokens: 1 } });
    expect((await ask(desk.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('replayed');
    expect(await desk.emulator('paypack')).toMatchObject({ switches: { refuse_next_tokens: 0 } });
  });

  it('tells every key at h, the address of the dashboard at d, and nothing at other keys', async () => {
    const desk = await sitDown();
    desk.press('z\r\u001b[A\u001bOQ\u001bq\u001b[24~ \r\u0004\r\u001a\r');
    desk.press('h');
    for (const key of 'hexdrcq') await desk.until(new RegExp(`\\n {2}${key} {2}\\w.*`));
    const admin = desk.portOf(/ {2}dashboard/);
    desk.press('d\r');
    await desk.until(new RegExp(`\\n {2}http://127\\.0\\.0\\.1:${admin}\\n`));
    expect(desk.screen.slice(desk.screen.search(KEY_LINE))).not.toMatch(/quitting|\u001b|z/);
    expect((await ask(admin, '/livez')).status).toBe(200);
  });

  it('takes pasted text for nothing', async () => {
    const desk = await sitDown();
    desk.press('curl -q http://127.0.0.1/\n');
    desk.press('d\n');
    await desk.until(/\n {2}http:/);
    desk.press('q\n');
    await desk.until(/quitting when the requests under way are answered/);
    expect((await desk.end()).code).toBe(0);
  });

  it('clears the screen at c, and shows the start screen again', async () => {
    const desk = await sitDown();
    desk.press('c');
    await desk.until(KEY_LINE);
    expect(desk.raw).toContain('\u001b[2J\u001b[H\r\n  wakala dev  [EMULATED]');
  });
});

describe.skipIf(!hasPty)('a callback of an emulator', { timeout: 60_000 }, () => {
  const pay = async (desk: Desk, port: number) => {
    const [, body = ''] = /-d '(\{"BusinessShortCode".*\})'/.exec(desk.screen) ?? [];
    const headers = { 'content-type': 'application/json' };
    const path = '/mpesa/mpesa/stkpush/v1/processrequest';
    await ask(desk.proxy, path, { method: 'POST', headers, body: body.replace('127.0.0.1:3000', `127.0.0.1:${port}`) });
  };

  it('leaves a line that says where it went and what became of it', async () => {
    const app = createServer((_, res) => res.writeHead(204).end()).listen(0, '127.0.0.1');
    onTestFinished(() => void app.close());
    await once(app, 'listening');
    const { port } = app.address() as AddressInfo;
    const desk = await sitDown();
    await pay(desk, port);
    await desk.until(new RegExp(` 204 {3}mpesa called back http://127\\.0\\.0\\.1:${port}/callbacks/mpesa\\n`));
    app.close();
    await once(app, 'close');
    await pay(desk, port);
    await desk.until(/ WARN {2}mpesa could not call back http:.*\/callbacks\/mpesa {2}connect ECONNREFUSED .*\n/);
  });
});

describe.skipIf(!hasPty)('r in wakala dev', { timeout: 60_000 }, () => {
  it('takes a changed file over, with emulators for new providers, and keeps the tokens', async () => {
    const desk = await sitDown();
    await ask(desk.proxy, '/paypack/transactions/list');
    writeFileSync(desk.file, routes('paypack') + '  /own/*: {provider: static, upstream: https://api.invalid}\n');
    desk.press('r');
    await desk.until(/proxy\.config\.yaml is read again: 2 routes; static is now emulated at http:/);
    expect((await ask(desk.proxy, '/own/x')).header('x-emulated-by')).toBe('wakala');
    expect((await ask(desk.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('cached');
    expect((await ask(desk.proxy, '/mpesa/x')).status).toBe(404);
    desk.press('c');
    await desk.until(/config {5}proxy\.config\.yaml\n[^]*\/own\/\*[^]*keys/);
    desk.press('q');
    expect((await desk.end()).code).toBe(0);
  });

  it('tells what is wrong with a bad file, and serves on with the old one', async () => {
    const desk = await sitDown();
    writeFileSync(desk.file, 'routes: {/a/*: {provider: mpeza}, /b/*: {provider: jpey}}\n');
    desk.press('r');
    await desk.until(/proxy\.config\.yaml:1:\d+: .*mpeza/);
    await desk.until(/proxy\.config\.yaml:1:\d+: .*jpey/);
    await desk.until(/proxy\.config\.yaml is not taken over, the old configuration serves on\n/);
    expect((await ask(desk.proxy, '/mpesa/x')).header('x-emulated-by')).toBe('wakala');
    expect((await ask(desk.portOf(/ {2}dashboard/), '/readyz')).json()).toMatchObject({ status: 'ready' });
  });

  it('tells that there is no file', async () => {
    const desk = await sitDown();
    desk.press('r');
    await desk.until(/there is no such file/);
    expect((await ask(desk.proxy, '/mpesa/x')).header('x-emulated-by')).toBe('wakala');
  });

  it('takes nothing over that needs a restart, and forgets the emulators that were started for it', async () => {
    const own = '  /own/*: {provider: static, upstream: https://api.invalid}\n';
    const start = 'listen: 127.0.0.1:0\nadmin: false\n';
    const desk = await sitDown({ args: [], config: start + routes('paypack') });
    writeFileSync(desk.file, `listen: 127.0.0.1:1\nadmin: false\n${routes('paypack')}${own}`);
    desk.press('r');
    await desk.until(/the old configuration serves on: `listen`, .* take a restart\n/);
    writeFileSync(desk.file, start + routes('paypack') + own);
    desk.press('r');
    await desk.until(/2 routes; static is now emulated/);
    desk.press('d');
    await desk.until(/there is no dashboard: `admin` is off/);
  });
});

describe.skipIf(!hasPty)('the terminal is as it was', { timeout: 60_000 }, () => {
  it.each([
    ['q', (desk: Desk) => desk.press('q'), 0],
    ['Ctrl-C', (desk: Desk) => desk.press('\u0003'), 0],
    ['SIGTERM', (desk: Desk) => process.kill(desk.pid, 'SIGTERM'), 0],
    ['SIGHUP', (desk: Desk) => process.kill(desk.pid, 'SIGHUP'), 129],
    ['SIGQUIT', (desk: Desk) => process.kill(desk.pid, 'SIGQUIT'), 131],
  ] as const)('after %s', async (_, leave, expected) => {
    const desk = await sitDown();
    const during = spawnSync('stty', ['-a', '-F', `/proc/${desk.pid}/fd/0`], { encoding: 'utf8' }).stdout;
    expect(during).toContain('-icanon');
    leave(desk);
    const { code, before, after } = await desk.end();
    expect([code, after]).toEqual([expected, before]);
    expect(before).toMatch(/(?<!-)icanon/);
  });

  it('after a second Ctrl-C, which does not wait for requests under way', async () => {
    const desk = await sitDown();
    await ask(desk.portOf(/\/paypack\/\*/), '/_emulator', { method: 'POST', body: '{"token_delay_ms": 600000}' });
    const waiting = ask(desk.proxy, '/paypack/transactions/list').catch(() => 'cut off');
    await expect.poll(async () => (await desk.emulator('paypack'))['counters']).toMatchObject({ token_requests: 1 });
    desk.press('\u0003');
    await desk.until(/draining/);
    desk.press('\u0003');
    const { code, before, after } = await desk.end();
    expect([code, after]).toEqual([1, before]);
    expect(await waiting).toBe('cut off');
  });

  it('or gone, and the process with it', async () => {
    const desk = await sitDown();
    const { pid } = desk;
    desk.leave();
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });

  it('after it could not start', async () => {
    const desk = new Desk({ args: ['-c', 'nowhere.yaml'] });
    const { code, before, after } = await desk.end();
    expect([code, after]).toEqual([3, before]);
  });
});

describe.skipIf(!hasPty)('wakala dev leaves keys alone', { timeout: 60_000 }, () => {
  it.each([
    ['where stdin is no terminal', (command: string) => `echo "pid=$$"; exec ${command} < /dev/null`],
    ['where stdout is no terminal', (command: string) => `echo "pid=$$"; exec ${command} > out.txt`],
    ['in a job in the background', (command: string) => `set -m; ${command} & echo "pid=$!"; wait`],
  ])('%s', async (_, shell) => {
    const desk = new Desk({ shell });
    await desk.until(/pid=\d+/);
    await desk.until(/ready/);
    await expect.poll(() => desk.screen + desk.written('out.txt')).toContain('Ctrl-C stops it');
    const settings = spawnSync('stty', ['-a', '-F', `/proc/${desk.pid}/fd/2`], { encoding: 'utf8' }).stdout;
    expect(settings).toMatch(/(?<!-)icanon/);
    expect(desk.screen + desk.written('out.txt')).not.toMatch(KEY_LINE);
    process.kill(desk.pid, 'SIGTERM');
    await desk.end();
  });
});

/** A checkout whose build is done at once. @returns its `npm start` */
function startScript(): string {
  const root = mkdtempSync(join(tmpdir(), 'wakala-start-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const folder of ['scripts', 'dist']) mkdirSync(join(root, folder));
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  copyFileSync(join(ROOT, 'scripts', 'start.mjs'), join(root, 'scripts', 'start.mjs'));
  for (const script of ['ensure-installed.mjs', 'build.mjs']) writeFileSync(join(root, 'scripts', script), '');
  writeFileSync(join(root, 'dist', 'cli.js'), `import ${JSON.stringify(CLI)};\n`);
  return join(root, 'scripts', 'start.mjs');
}

describe.skipIf(!hasPty)('npm start', { timeout: 60_000 }, () => {
  it.each([
    ['q', (desk: Desk) => desk.press('q')],
    ['Ctrl-C', (desk: Desk) => desk.press('\u0003')],
    ['SIGTERM', (desk: Desk) => process.kill(desk.pid, 'SIGTERM')],
  ])('passes keys on, and the terminal is as it was after %s', async (_, leave) => {
    const desk = await sitDown({ program: [process.execPath, startScript()] });
    desk.press('e');
    await desk.until(/no token is alive/);
    leave(desk);
    const { code, before, after } = await desk.end();
    expect([code, after]).toEqual([0, before]);
  });
});

describe.skipIf(!hasPty)('the start screen', { timeout: 60_000 }, () => {
  it.each([
    [{ NO_COLOR: '1' }, false],
    [{ NO_COLOR: '' }, true],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  ])('at a terminal with %j is coloured: %s', async (env, coloured) => {
    const desk = await sitDown({ env });
    expect(desk.raw.includes('\u001b[30;43m EMULATED')).toBe(coloured);
  });
});
