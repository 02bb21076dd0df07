import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { FileWatcher } from '../../src/server/reload.ts';
import { ManualClock, settled } from '../support/manual-clock.ts';
import { Calls, ConfigMap, folder, rewrite } from './support.ts';

const POLL_MS = 10_000;

function watching(...files: string[]) {
  const changes = new Calls();
  const watch = new FileWatcher(systemClock, changes.call);
  onTestFinished(() => watch.close());
  watch.watch(files);
  return { changes, watch };
}

/** With a clock that the test moves, so that no event is handled: only the poll finds changes. */
function polling(...files: string[]) {
  const changes = new Calls();
  const clock = new ManualClock();
  const watch = new FileWatcher(clock, changes.call);
  onTestFinished(() => watch.close());
  watch.watch(files);
  return { changes, clock, watch };
}

function file(text = 'one'): string {
  const path = join(folder(), 'proxy.config.yaml');
  writeFileSync(path, text);
  return path;
}

describe('a FileWatcher calls back for a change', () => {
  it.each([
    ['written in place', (path: string) => writeFileSync(path, 'two')],
    ['appended to', (path: string) => appendFileSync(path, 'two')],
    ['renamed over, as editors do', (path: string) => rewrite(path, 'two')],
    ['moved away', (path: string) => renameSync(path, `${path}~`)],
    ['deleted', (path: string) => unlinkSync(path)],
  ])('of a file that is %s, once', async (_, change) => {
    const path = file();
    const { changes } = watching(path);
    change(path);
    await changes.until(1);
    expect(changes.count).toBe(1);
  });

  it('of a file that appears', async () => {
    const path = join(folder(), 'later.yaml');
    const { changes } = watching(path);
    writeFileSync(path, 'here');
    await changes.until(1);
  });

  it('of each of many files, in any folder', async () => {
    const files = [file(), file(), file()];
    const { changes } = watching(...files);
    for (const [i, path] of files.entries()) {
      rewrite(path, 'two');
      await changes.until(i + 1);
    }
  });

  it('each time Kubernetes replaces the folder behind a link', async () => {
    const map = new ConfigMap({ 'proxy.config.yaml': 'one', other: 'same' });
    const { changes } = watching(map.file('proxy.config.yaml'));
    for (const [i, text] of ['two', 'three', 'four'].entries()) {
      map.swap({ 'proxy.config.yaml': text, other: 'same' });
      await changes.until(i + 1);
    }
    expect(changes.count).toBe(3);
  });

  it('while another file in its folder is written to without a pause', async () => {
    const path = file();
    const changes = new Calls();
    const withoutPoll: Clock = {
      now: () => systemClock.now(),
      after: (delayMs, callback) => (delayMs < POLL_MS ? systemClock.after(delayMs, callback) : () => {}),
    };
    const watch = new FileWatcher(withoutPoll, changes.call);
    watch.watch([path]);
    const writer = setInterval(() => writeFileSync(`${path}.log`, 'a line\n', { flag: 'a' }), 10);
    onTestFinished(() => {
      clearInterval(writer);
      watch.close();
    });
    rewrite(path, 'two');
    await changes.until(1);
  });

  it('once for several changes at once', async () => {
    const path = file();
    const { changes } = watching(path);
    for (const text of ['two', 'three', 'four', 'five']) writeFileSync(path, text);
    await changes.until(1);
    rewrite(path, 'six');
    await changes.until(2);
    expect(changes.count).toBe(2);
  });
});

describe('a FileWatcher does not call back', () => {
  it('for a file that is touched or rewritten with the same content, or for another file', async () => {
    const path = file();
    const { changes } = watching(path);
    utimesSync(path, new Date(), new Date(0));
    rewrite(path, 'one');
    writeFileSync(`${path}.bak`, 'else');
    chmodSync(path, 0o600);
    // Only the change after these is reported.
    rewrite(path, 'two');
    await changes.until(1);
    expect(changes.count).toBe(1);
  });

  it('for a change that `check` has found already', async () => {
    const path = file();
    const { changes, clock, watch } = polling(path);
    writeFileSync(path, 'two');
    expect(watch.check()).toBe(true);
    expect(watch.check()).toBe(false);
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(0);
  });

  it('for files that are no longer watched, and after it was closed', async () => {
    const [old, kept] = [file(), file()];
    const { changes, clock, watch } = polling(old, kept);
    watch.watch([kept]);
    writeFileSync(old, 'two');
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(0);
    watch.close();
    writeFileSync(kept, 'two');
    await clock.advance(POLL_MS * 3);
    expect([changes.count, clock.timers]).toEqual([0, 0]);
  });
});

describe('without file system events', () => {
  it('a change is found within ten seconds', async () => {
    const path = file();
    const { changes, clock } = polling(path);
    writeFileSync(path, 'two');
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(1);
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(1);
  });

  it('a folder that was deleted and created again is found', async () => {
    const path = join(folder(), 'sub', 'proxy.config.yaml');
    mkdirSync(join(path, '..'));
    writeFileSync(path, 'one');
    const { changes, clock } = polling(path);
    rmSync(join(path, '..'), { recursive: true });
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(1);
    mkdirSync(join(path, '..'));
    writeFileSync(path, 'one');
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(2);
  });

  it('a file that becomes unreadable is found, and one that becomes readable', async () => {
    const path = join(folder(), 'proxy.config.yaml');
    writeFileSync(path, 'one');
    const { changes, clock } = polling(path);
    rmSync(path);
    // A folder cannot be read as a file by any user.
    mkdirSync(path);
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(1);
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(1);
    rmSync(path, { recursive: true });
    writeFileSync(path, 'one');
    await clock.advance(POLL_MS);
    expect(changes.count).toBe(2);
  });

  it.skipIf(process.platform === 'win32')(
    'FileWatch never waits for a pipe that took the place of a file',
    async () => {
      const path = join(folder(), 'proxy.config.yaml');
      writeFileSync(path, 'one');
      const { changes, clock } = polling(path);
      rmSync(path);
      execFileSync('mkfifo', [path]);
      await clock.advance(POLL_MS);
      expect(changes.count).toBe(1);
    },
  );

  it('a folder that does not exist is no error', async () => {
    const { changes, clock } = polling('/nonexistent/folder/proxy.config.yaml');
    await settled();
    await clock.advance(POLL_MS * 2);
    expect(changes.count).toBe(0);
  });
});
