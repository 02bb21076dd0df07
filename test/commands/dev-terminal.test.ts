import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { CLI, DevSession, hasPty, KEY_LINE, ROOT, startDevSession } from './dev-session.ts';

const KEYS_MODULE = join(ROOT, 'src', 'commands', 'dev', 'dev-keys.ts');

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.skipIf(!hasPty)('the terminal mode is restored', { timeout: 60_000 }, () => {
  it.each<[string, (session: DevSession) => void, number]>([
    ['q', (session) => session.press('q'), 0],
    ['Ctrl-C', (session) => session.press('\u0003'), 0],
    ['SIGTERM', (session) => void process.kill(session.pid, 'SIGTERM'), 0],
    ['SIGHUP', (session) => void process.kill(session.pid, 'SIGHUP'), 129],
    ['SIGQUIT', (session) => void process.kill(session.pid, 'SIGQUIT'), 131],
  ])('after %s', async (_, leave, expected) => {
    const session = await startDevSession();
    const during = spawnSync('stty', ['-a', '-F', `/proc/${session.pid}/fd/0`], { encoding: 'utf8' }).stdout;
    expect(during).toContain('-icanon');
    leave(session);
    const { code, before, after } = await session.end();
    expect([code, after]).toEqual([expected, before]);
    expect(before).toMatch(/(?<!-)icanon/);
  });

  it('after a second Ctrl-C, which does not wait for requests in progress', async () => {
    const session = await startDevSession();
    await sendRequest(session.portOf(/\/paypack\/\*/), '/_emulator', {
      method: 'POST',
      body: '{"token_delay_ms": 600000}',
    });
    const waiting = sendRequest(session.proxy, '/paypack/transactions/list').catch(() => 'cut off');
    await expect.poll(async () => (await session.emulator('paypack'))['counters']).toMatchObject({ token_requests: 1 });
    session.press('\u0003');
    await session.until(/draining/);
    session.press('\u0003');
    const { code, before, after } = await session.end();
    expect([code, after]).toEqual([1, before]);
    expect(await waiting).toBe('cut off');
  });

  it('and the process ends when the terminal closes', async () => {
    const session = await startDevSession();
    const { pid } = session;
    session.closeTerminal();
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });

  it('after an unexpected error', async () => {
    const script =
      `import { readKeys, processTerminal } from ${JSON.stringify(KEYS_MODULE)};` +
      'readKeys(processTerminal(), () => { throw new Error("unexpected"); }); console.log("armed");';
    const session = new DevSession({ program: [process.execPath, '--input-type=module', '-e', script], args: [] });
    await session.until(/armed/);
    session.press('a');
    await session.until(/Error: unexpected/);
    const { code, before, after } = await session.end();
    expect([code, after]).toEqual([1, before]);
  });

  it('after a failed start', async () => {
    const session = new DevSession({ args: ['-c', 'nowhere.yaml'] });
    const { code, before, after } = await session.end();
    expect([code, after]).toEqual([3, before]);
  });
});

describe.skipIf(!hasPty)('wakala dev reads no keys', { timeout: 60_000 }, () => {
  it.each([
    ['if stdin is not a terminal', (command: string) => `echo "pid=$$"; exec ${command} < /dev/null`],
    ['if stdout is not a terminal', (command: string) => `echo "pid=$$"; exec ${command} > out.txt`],
    ['in a background job', (command: string) => `set -m; ${command} & echo "pid=$!"; wait`],
  ])('%s', async (_, shell) => {
    const session = new DevSession({ shell });
    await session.until(/pid=\d+/);
    await session.until(/ready/);
    await expect.poll(() => session.screen + session.readFile('out.txt')).toContain('Ctrl-C stops it');
    const settings = spawnSync('stty', ['-a', '-F', `/proc/${session.pid}/fd/2`], { encoding: 'utf8' }).stdout;
    expect(settings).toMatch(/(?<!-)icanon/);
    expect(session.screen + session.readFile('out.txt')).not.toMatch(KEY_LINE);
    process.kill(session.pid, 'SIGTERM');
    await session.end();
  });
});

/** Creates a checkout with an empty build script. @returns the path of its start script */
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
  it.each<[string, (session: DevSession) => void]>([
    ['q', (session) => session.press('q')],
    ['Ctrl-C', (session) => session.press('\u0003')],
    ['SIGTERM', (session) => void process.kill(session.pid, 'SIGTERM')],
  ])('passes keys on and restores the terminal mode after %s', async (_, leave) => {
    const session = await startDevSession({ program: [process.execPath, startScript()] });
    session.press('e');
    await session.until(/There is no valid token/);
    leave(session);
    const { code, before, after } = await session.end();
    expect([code, after]).toEqual([0, before]);
  });
});

describe.skipIf(!hasPty)('the start screen', { timeout: 60_000 }, () => {
  it.each([
    [{ NO_COLOR: '1' }, false],
    [{ NO_COLOR: '' }, true],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  ])('with %j is coloured: %s', async (env, coloured) => {
    const session = await startDevSession({ env });
    expect(session.raw.includes('\u001b[30;43m EMULATED')).toBe(coloured);
  });
});
