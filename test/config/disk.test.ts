import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { issue } from './certificate.ts';
import { mpesaWith } from './validate-text.ts';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;
const MIB = 1024 * 1024;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'wakala-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Writes a configuration into a folder. @returns its path */
function written(inFolder: string, text: string): string {
  const file = join(inFolder, 'proxy.config.yaml');
  writeFileSync(file, text);
  chmodSync(file, 0o644);
  return file;
}

/** A configuration whose credential is in `secret`. */
function withSecret(secret: string): string {
  return mpesaWith().replace('consumer_key: k', `consumer_key: "\${file:${secret}}"`);
}

function problemsOf(file: string): string[] {
  return validateConfig(file, { env: {}, nowMs: Date.now() }).problems.map(({ message }) => message);
}

/** `wakala check` in another process, killed if it hangs. */
function check(file: string): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'check', '-c', file], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' },
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
  return { status, text: stdout + stderr };
}

/** Paths that are not regular files: a name, a function that makes one, and its message. */
const KINDS: readonly (readonly [string, (path: string) => unknown, string])[] = [
  ['a pipe', (path) => execFileSync('mkfifo', [path]), 'it is a pipe, not a regular file'],
  ['a socket', listenAt, 'it is a socket, not a regular file'],
  ['a device', (path) => symlinkSync('/dev/zero', path), 'it is a device, not a regular file'],
  ['a folder', (path) => mkdirSync(path), 'it is a folder, not a regular file'],
];

async function listenAt(path: string): Promise<void> {
  const server = createServer().listen(path);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
}

describe.skipIf(process.platform === 'win32')('a path that is not a regular file', { timeout: 60_000 }, () => {
  it.each([
    ['the configuration', (_: string, made: string) => made],
    ['a secret', (inFolder: string, made: string) => written(inFolder, withSecret(made))],
    [
      'a certificate',
      (inFolder: string, made: string) =>
        written(inFolder, `listen: {address: "127.0.0.1:0", tls: {cert: ${made}, key: ${made}}}\n${mpesaWith()}`),
    ],
  ])('is a problem for `wakala check` as %s, which does not block', async (_, configOf) => {
    const inFolder = folder();
    const pipe = join(inFolder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const { status, text } = check(configOf(inFolder, pipe));
    expect(text).toContain('it is a pipe, not a regular file');
    expect(status).toBe(3);
  });

  it.each(KINDS)('is named in the message: %s', async (_, make, message) => {
    const inFolder = folder();
    const path = join(inFolder, 'made');
    await make(path);
    expect(problemsOf(written(inFolder, withSecret(path)))).toEqual([
      `routes./mpesa/*.credentials.consumer_key: cannot read the file \`${path}\`: ${message}`,
    ]);
    expect(problemsOf(path)).toEqual([`cannot be read: ${message}`]);
  });

  it('is rejected behind a link, while a regular file behind links is read', () => {
    const inFolder = folder();
    const [pipe, toPipe, file, toFile, further] = ['pipe', 'to-pipe', 'file', 'to-file', 'further'].map((name) =>
      join(inFolder, name),
    ) as [string, string, string, string, string];
    execFileSync('mkfifo', [pipe]);
    symlinkSync(pipe, toPipe);
    expect(problemsOf(written(inFolder, withSecret(toPipe)))).toEqual([expect.stringContaining('it is a pipe')]);
    writeFileSync(file, 'secret', { mode: 0o600 });
    symlinkSync(file, toFile);
    symlinkSync(toFile, further);
    expect(problemsOf(written(inFolder, withSecret(further)))).toEqual([]);
  });
});

describe('a file of more than 1 MiB', () => {
  const TOO_LARGE = 'it is larger than 1 MiB';

  it('is rejected as a secret and as a configuration', () => {
    const inFolder = folder();
    const large = join(inFolder, 'large');
    writeFileSync(large, '');
    truncateSync(large, 64 * 1024 * MIB);
    expect(problemsOf(written(inFolder, withSecret(large)))).toEqual([expect.stringContaining(TOO_LARGE)]);
    expect(problemsOf(large)).toEqual([`cannot be read: ${TOO_LARGE}`]);
  });

  it('is rejected as a certificate', () => {
    const inFolder = folder();
    const { cert, key } = issue({ name: 'localhost' });
    writeFileSync(join(inFolder, 'cert.pem'), cert + '#'.repeat(MIB));
    writeFileSync(join(inFolder, 'key.pem'), key, { mode: 0o600 });
    const text = `listen: {address: "127.0.0.1:0", tls: {cert: cert.pem, key: key.pem}}\n${mpesaWith()}`;
    expect(problemsOf(written(inFolder, text))).toEqual([expect.stringContaining(TOO_LARGE)]);
  });

  it('of exactly 1 MiB is read', () => {
    const text = mpesaWith();
    expect(problemsOf(written(folder(), text + '#'.repeat(MIB - text.length)))).toEqual([]);
    expect(problemsOf(written(folder(), text + '#'.repeat(MIB - text.length + 1)))).toEqual([
      `cannot be read: ${TOO_LARGE}`,
    ]);
  });
});

describe.runIf(process.platform === 'linux')('a file whose size is not known before it is read', () => {
  it('is read completely', () => {
    const text = withSecret('/proc/self/cmdline');
    const { texts } = validateConfig(written(folder(), text), { env: {} });
    expect(texts.get('/proc/self/cmdline')).toContain(process.execPath.split('/').at(-1));
  });
});
