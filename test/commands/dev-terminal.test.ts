import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask } from '../support/proxy-ask.ts';
import { CLI, Desk, hasPty, KEY_LINE, ROOT, sitDown } from './dev-session.ts';

const KEYBOARD = join(ROOT, 'src', 'commands', 'dev', 'keys.ts');

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.skipIf(!hasPty)('the terminal is as it was', { timeout: 60_000 }, () => {
  it.each<[string, (desk: Desk) => void, number]>([
    ['q', (desk) => desk.press('q'), 0],
    ['Ctrl-C', (desk) => desk.press('\u0003'), 0],
    ['SIGTERM', (desk) => void process.kill(desk.pid, 'SIGTERM'), 0],
    ['SIGHUP', (desk) => void process.kill(desk.pid, 'SIGHUP'), 129],
    ['SIGQUIT', (desk) => void process.kill(desk.pid, 'SIGQUIT'), 131],
  ])('after %s', async (_, leave, expected) => {
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

  it('after an error that nobody expected', async () => {
    const script =
      `import { readKeys, thisTerminal } from ${JSON.stringify(KEYBOARD)};` +
      'readKeys(thisTerminal(), () => { throw new Error("unexpected"); }); console.log("armed");';
    const desk = new Desk({ program: [process.execPath, '--input-type=module', '-e', script], args: [] });
    await desk.until(/armed/);
    desk.press('a');
    await desk.until(/Error: unexpected/);
    const { code, before, after } = await desk.end();
    expect([code, after]).toEqual([1, before]);
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
  it.each<[string, (desk: Desk) => void]>([
    ['q', (desk) => desk.press('q')],
    ['Ctrl-C', (desk) => desk.press('\u0003')],
    ['SIGTERM', (desk) => void process.kill(desk.pid, 'SIGTERM')],
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
