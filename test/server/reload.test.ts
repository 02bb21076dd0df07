import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config/config.ts';
import { validateConfig, type ValidatedConfig } from '../../src/config/load.ts';
import { Reloader } from '../../src/server/reload.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { LogLines } from '../support/token-fakes.ts';
import { Calls, ConfigMap, folder, rewrite } from './support.ts';

const GOOD = (timeout = '60s') => `
routes:
  /mpesa/*:
    provider: mpesa
    timeout: ${timeout}
    credentials: { consumer_key: k, consumer_secret: "\${file:secret}" }
`;

/** A configuration and a secret on disk, and a reloader that watches both. */
function start(options: { clock?: Clock; file?: string; refuse?: () => void; during?: () => void } = {}) {
  const file = options.file ?? join(folder(), 'proxy.config.yaml');
  if (options.file === undefined) {
    writeFileSync(join(file, '..', 'secret'), 'secret-one', { mode: 0o600 });
    writeFileSync(file, GOOD());
  }
  const log = new LogLines();
  const applied: Config[] = [];
  const applications = new Calls();
  const examinations = new Calls();
  const readConfig = (): ValidatedConfig => {
    const found = validateConfig(file, { env: {} });
    options.during?.();
    examinations.call();
    return found;
  };
  const apply = (config: Config) => {
    options.refuse?.();
    applied.push(config);
    applications.call();
  };
  const reloader = new Reloader({ readConfig, apply, log, clock: options.clock ?? systemClock });
  onTestFinished(() => reloader.close());
  reloader.watch(validateConfig(file, { env: {} }).files);
  const secretNow = () => applied.at(-1)?.routes[0]?.credentials.get('consumer_secret')?.reveal();
  return { file, log, applied, applications, examinations, reloader, secretNow };
}

describe('Reloader', () => {
  it('applies a changed file', async () => {
    const { file, applied, applications, log } = start();
    rewrite(file, GOOD('5s'));
    await applications.until(1);
    expect(applied.map(({ routes }) => routes[0]?.timeoutMs)).toEqual([5000]);
    expect(log.events).toContain('config_reloaded');
  });

  it('applies a changed secret if the configuration file has not changed', async () => {
    const { file, applications, secretNow } = start();
    rewrite(join(file, '..', 'secret'), 'secret-two');
    await applications.until(1);
    expect(secretNow()).toBe('secret-two');
  });

  it('applies every update by Kubernetes, of file and secret together', async () => {
    const map = new ConfigMap({ 'proxy.config.yaml': GOOD('1s'), secret: 'secret-1' });
    const { applied, applications, secretNow } = start({ file: map.file('proxy.config.yaml') });
    for (const n of [2, 3]) {
      map.swap({ 'proxy.config.yaml': GOOD(`${n}s`), secret: `secret-${n}` });
      await applications.until(n - 1);
      expect([applied.at(-1)?.routes[0]?.timeoutMs, secretNow()]).toEqual([n * 1000, `secret-${n}`]);
    }
  });

  it('keeps the old configuration while the new one is invalid, reports that, and recovers', async () => {
    const { file, applied, applications, examinations, reloader, log } = start();
    expect(reloader.reloads.failure).toBeUndefined();
    rewrite(file, 'routes: {/mpesa/*: {provider: mpeza}}');
    await examinations.until(1);
    expect(applied).toEqual([]);
    expect(reloader.reloads.failure).toMatch(
      /^reload refused; the old configuration stays in use: .*config\.yaml:1:\d+: .*mpeza/,
    );
    expect(log.lines.filter(({ level }) => level === 'error')).not.toHaveLength(0);
    expect(log.lines[0]?.fields).toMatchObject({ file, line: 1 });
    rewrite(file, GOOD());
    await applications.until(1);
    expect(reloader.reloads.failure).toBeUndefined();
  });

  it('reports why a configuration could not be applied, until one can be', () => {
    let refusing = true;
    const { reloader } = start({
      refuse: () => {
        if (refusing) throw new Error('`listen` takes a restart');
      },
    });
    reloader.reload('SIGHUP');
    expect(reloader.reloads.failure).toContain('`listen` takes a restart');
    refusing = false;
    reloader.reload('SIGHUP');
    expect(reloader.reloads.failure).toBeUndefined();
  });

  it('keeps the old configuration while the file is missing, and applies the next one', async () => {
    const { file, applied, applications, examinations, reloader } = start();
    rmSync(file);
    await examinations.until(1);
    expect(applied).toEqual([]);
    expect(reloader.reloads.failure).toContain('reload refused');
    writeFileSync(file, GOOD('7s'));
    await applications.until(1);
    expect(applied.at(-1)?.routes[0]?.timeoutMs).toBe(7000);
  });

  it('waits for a secret that does not exist yet', async () => {
    const { file, applications, examinations, secretNow } = start();
    const wanted = join(file, '..', 'fresh');
    rewrite(file, GOOD().replace('file:secret', 'file:fresh'));
    await examinations.until(1);
    writeFileSync(wanted, 'secret-fresh', { mode: 0o600 });
    await applications.until(1);
    expect(secretNow()).toBe('secret-fresh');
  });

  it('logs no secret', async () => {
    const { file, examinations, log } = start();
    rewrite(file, GOOD().replace('mpesa\n', 'mpeza\n').replace('k,', 'canary-key,'));
    await examinations.until(1);
    expect(JSON.stringify(log.lines)).not.toContain('canary-key');
    expect(JSON.stringify(log.lines)).not.toContain('secret-one');
  });

  it('reloads on demand, changed or not', () => {
    const { applied, reloader } = start();
    reloader.reload('SIGHUP');
    reloader.reload('SIGHUP');
    expect(applied).toHaveLength(2);
  });

  it('does nothing after it is closed', async () => {
    const clock = new ManualClock();
    const { file, reloader, examinations } = start({ clock });
    reloader.close();
    rewrite(file, GOOD('5s'));
    await clock.advance(60_000);
    expect([examinations.count, clock.timers]).toEqual([0, 0]);
  });
});

describe('a change while a reload reads its files', () => {
  it('of a file that was watched before is applied by the next poll', async () => {
    const clock = new ManualClock();
    let pending = true;
    const { file, reloader, applied } = start({
      clock,
      during: () => {
        if (pending) rewrite(file, GOOD('9s'));
        pending = false;
      },
    });
    reloader.reload('SIGHUP');
    expect(applied.at(-1)?.routes[0]?.timeoutMs).toBe(60_000);
    await clock.advance(10_000);
    expect(applied.at(-1)?.routes[0]?.timeoutMs).toBe(9000);
  });

  it('of a file that is new in the configuration is applied by the next poll', async () => {
    const clock = new ManualClock();
    let pending = true;
    const { file, reloader, secretNow } = start({
      clock,
      during: () => {
        if (pending) writeFileSync(join(file, '..', 'fresh'), 'secret-new');
        pending = false;
      },
    });
    writeFileSync(join(file, '..', 'fresh'), 'secret-old', { mode: 0o600 });
    rewrite(file, GOOD().replace('file:secret', 'file:fresh'));
    reloader.reload('SIGHUP');
    await clock.advance(10_000);
    expect(secretNow()).toBe('secret-new');
  });
});
