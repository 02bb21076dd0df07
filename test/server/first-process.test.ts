import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../support/proxy-process.ts';

const CLI = path.resolve(import.meta.dirname, '../../src/cli.ts');
const CONFIG = JSON.stringify({
  listen: '127.0.0.1:0',
  admin: false,
  routes: { '/api/*': { provider: 'static', upstream: 'http://127.0.0.1:1', credentials: { token: 'made-up-key' } } },
});

/** A module to preload: an open of `file` writes `file.opened`, and waits for `file.go`. */
const waitingToOpen = (file: string) => `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const { openSync } = fs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  fs.openSync = (path, ...rest) => {
    if (path === ${JSON.stringify(file)}) {
      fs.writeFileSync(path + '.opened', '');
      while (!fs.existsSync(path + '.go')) Atomics.wait(pause, 0, 0, 10);
    }
    return openSync(path, ...rest);
  };
  syncBuiltinESMExports();
`;

/** Only root may start a process as the first of a new namespace, as a container engine does. */
const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

describe.runIf(isRoot)('the first process of a container', { timeout: 60_000 }, () => {
  it('ends on a SIGTERM that arrives before it serves', async () => {
    const folder = temporaryDirectory();
    const [file, hook] = [path.join(folder, 'proxy.config.yaml'), path.join(folder, 'hook.mjs')];
    writeFileSync(file, CONFIG);
    writeFileSync(hook, waitingToOpen(file));
    const args = ['--pid', '--fork', '--kill-child', process.execPath, '--import', hook, CLI, 'serve', '-c', file];
    const child = spawn('unshare', args, { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const ended = once(child, 'exit') as Promise<[number]>;
    // The process is reading its configuration now.
    await appeared(`${file}.opened`);
    const [, first] = /^(\d+) $/.exec(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')) ?? [];
    expect(first).toBeDefined();
    process.kill(Number(first), 'SIGTERM');
    writeFileSync(`${file}.go`, '');
    const [code] = await ended;
    expect([0, 143]).toContain(code);
  });
});

async function appeared(file: string): Promise<void> {
  const watcher = watch(path.dirname(file));
  onTestFinished(() => watcher.close());
  while (!existsSync(file)) await once(watcher, 'change');
}
