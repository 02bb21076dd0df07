import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../support/proxy-process.ts';

const CLI = path.resolve(import.meta.dirname, '../../src/cli.ts');
const CONFIG = JSON.stringify({
  listen: '127.0.0.1:0',
  admin: false,
  routes: { '/api/*': { provider: 'static', upstream: 'http://127.0.0.1:1', credentials: { token: 'made-up-key' } } },
});

/** Only root may make a process the first of its own namespace, as a container engine does. */
const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

describe.runIf(isRoot)('the first process of a container', { timeout: 60_000 }, () => {
  it('hears of a SIGTERM that comes before it serves', async () => {
    const file = path.join(temporaryDirectory(), 'proxy.config.yaml');
    // Whoever reads it waits until somebody writes.
    execFileSync('mkfifo', [file]);
    const args = ['--pid', '--fork', '--kill-child', process.execPath, CLI, 'serve', '-c', file];
    const child = spawn('unshare', args, { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const ended = once(child, 'exit') as Promise<[number]>;
    // Opens when the other side does: it reads its configuration now.
    const writing = await open(file, 'w');
    // Whoever looks again finds a plain file.
    rmSync(file);
    writeFileSync(file, CONFIG);
    const [first = 0] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').split(' ').map(Number);
    process.kill(first, 'SIGTERM');
    await writing.writeFile(CONFIG);
    await writing.close();
    const [code] = await ended;
    expect([0, 143]).toContain(code);
  });
});
