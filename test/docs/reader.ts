import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, vi } from 'vitest';
import { freePort, isListening } from '../support/free-port.ts';
import { ROOT, textOf } from './documents.ts';

/** What a checkout needs for the commands of a page. */
const COPIED = ['docs', 'package.json', 'proxy.config.schema.json', 'proxy.config.yaml', 'scripts', 'src'];

/** A line that starts a server, which listens on 8080. */
const SERVES = /^(npm start|wakala|wakala (?:dev|serve)\b.*|node [\w-]+\.mjs)(?:\s+#.*)?$/gm;

/** Defines `wakala`, ends each body that `curl` prints with a newline, and waits for a server. */
const FUNCTIONS = `
wakala() { node "$CHECKOUT/dist/cli.js" "$@"; }
curl() { command curl "$@" && echo; }
listens() { until command curl -s -o /dev/null http://127.0.0.1:8080/; do kill -0 $!; sleep 0.1; done; }
`;

/** With this Node first. */
const PATH = `${path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;

/** Any values do: the emulators have fixed credentials, and no other host is called. */
const CREDENTIALS = Object.fromEntries(
  [...textOf('proxy.config.yaml').matchAll(/\$\{(\w+)(?::-[^}]*)?\}/g)].map(([, name = '']) => [
    name,
    `made-up-${name}`,
  ]),
);

/**
 * Runs the commands of a page in a copy of the repository. Servers run in the background until the next server starts.
 *
 * The ports 8080 and 9901 of the page are free ports here, and `dist/` is the sources. `npm start` is `wakala dev`; the
 * other npm scripts install, build and test, and are skipped because that takes minutes.
 */
export class Reader {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'wakala-page-'));
  /** Ports as the page has them, and what they are here. */
  readonly #ports = new Map<string, string>();
  readonly #shells: ChildProcess[] = [];
  /** Whether the last block started a server. */
  #serves = false;
  #printed = '';

  static async start(): Promise<Reader> {
    const reader = new Reader();
    for (const port of ['8080', '9901']) reader.#ports.set(port, String(await freePort()));
    for (const name of COPIED) cpSync(path.join(ROOT, name), path.join(reader.folder, name), { recursive: true });
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(reader.folder, 'node_modules'));
    const listen = reader.#here('["--listen", "127.0.0.1:8080", "--admin", "127.0.0.1:9901"]');
    reader.put('dist/library/index.js', "export * from '../../src/library/index.ts';\n");
    reader.put('dist/library/hono.js', "export * from '../../src/library/hono.ts';\n");
    reader.put(
      'dist/cli.js',
      `if (/^(-|dev$|serve$)/.test(process.argv[2] ?? '-')) process.argv.push(...${listen});\nimport('../src/cli.ts');\n`,
    );
    return reader;
  }

  /** Writes a file of the page. */
  put(name: string, text: string): void {
    const file = path.join(this.folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, this.#here(text));
  }

  /** Applies a diff of the page. @throws Error unless it fits */
  patch(diff: string): void {
    const { status, stderr } = spawnSync('git', ['apply', '-'], { cwd: this.folder, input: diff, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }

  /** Runs the commands of a block. @throws Error if one of them fails */
  async run(block: string): Promise<void> {
    this.#serves = block.search(SERVES) !== -1;
    if (this.#serves) await this.#stop();
    const commands = block
      .replace(/^npm (?!start).*$/gm, 'true')
      .replace(SERVES, (_, command: string) => `${command.replace('npm start', 'wakala dev')} >served 2>&1 & listens`);
    this.#printed = '';
    const shell = spawn('sh', ['-e', '-c', this.#here(FUNCTIONS + commands)], {
      cwd: this.folder,
      env: { ...CREDENTIALS, PATH, CHECKOUT: this.folder, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#shells.push(shell);
    for (const stream of [shell.stdout, shell.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.#printed += text));
    }
    const [status] = (await once(shell, 'exit')) as [number | null];
    if (status !== 0) throw new Error(`exit code ${status}:\n${this.#output()}`);
    // An emulator takes another port where its own is busy, and says so.
    for (const [, port = '', other = ''] of this.#output().matchAll(/port (\d+) is taken, .* on \S+:(\d+)/g)) {
      this.#ports.set(port, other);
    }
  }

  /** Waits until the last block, or the server that it started, has printed what the page shows. */
  async shows(text: string): Promise<void> {
    await vi.waitFor(() => expectOutput(text, this.#page(this.#output())), { timeout: 10_000 });
  }

  async close(): Promise<void> {
    await this.#stop();
    rmSync(this.folder, { recursive: true });
  }

  async #stop(): Promise<void> {
    for (const { pid } of this.#shells.splice(0)) {
      try {
        if (pid !== undefined) process.kill(-pid, 'SIGKILL');
      } catch {
        // It has left nothing running.
      }
    }
    await vi.waitFor(async () => expect(await isListening(Number(this.#ports.get('8080')))).toBe(false), 10_000);
  }

  #output(): string {
    return this.#printed + (this.#serves ? readFileSync(path.join(this.folder, 'served'), 'utf8') : '');
  }

  #here(text: string): string {
    return text.replace(/\b\d{4,5}\b/g, (port) => this.#ports.get(port) ?? port);
  }

  #page(text: string): string {
    const ports = new Map([...this.#ports].map(([port, here]) => [here, port]));
    return text.replace(/\b\d{4,5}\b/g, (port) => ports.get(port) ?? port);
  }
}

/** Ids, times, and how long a token is still valid. */
const VARYING = [/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, /\d{4}-\d\d-\d\dT[\d:.]+Z/g, /(?<="expires_in":")\d+/g];

/** The lines of a text, without what differs from run to run and with single spaces. */
function comparable(text: string): string[] {
  const plain = VARYING.reduce((all, pattern) => all.replace(pattern, '*'), text);
  return plain.split('\n').map((line) => line.replace(/\s+/g, ' ').trim());
}

/** Checks that each line of a block was printed, in that order. `...` stands for anything, also for whole lines. */
function expectOutput(shown: string, printed: string): void {
  const lines = comparable(printed);
  let at = 0;
  for (const line of comparable(shown).filter((one) => one !== '' && one !== '...')) {
    const parts = line.split('...').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
    const pattern = new RegExp(`^${parts.join('.*')}$`);
    const found = lines.findIndex((one, i) => i >= at && pattern.test(one));
    expect(found, `${JSON.stringify(line)} is not in what was printed:\n${printed}`).not.toBe(-1);
    at = found + 1;
  }
}
