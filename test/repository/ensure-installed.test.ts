import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const SCRIPT = path.resolve(import.meta.dirname, '../../scripts/ensure-installed.mjs');

/** A fake npm that writes what `npm ci` would install and records its arguments. */
const FAKE_NPM = `
import { appendFileSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
appendFileSync('asked', process.argv.slice(2).join(' ') + '\\n');
if (existsSync('npm-fails')) process.exit(7);
mkdirSync('node_modules/.bin', { recursive: true });
if (!existsSync('npm-forgets-node')) {
  writeFileSync('node_modules/.bin/node', '#!/bin/sh\\necho v24.0.0\\n', { mode: 0o755 });
}
copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

describe.skipIf(process.platform === 'win32')('ensure-installed', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'wakala-install-'));
    mkdirSync(path.join(folder, 'scripts'));
    cpSync(SCRIPT, path.join(folder, 'scripts/ensure-installed.mjs'));
    writeFileSync(path.join(folder, 'npm.mjs'), FAKE_NPM);
    write('1.0.0');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function write(version: string): void {
    const manifest = { dependencies: { hono: `^${version}` } };
    const packages = {
      '': manifest,
      'node_modules/hono': { version, integrity: `sha512-${version}` },
      'node_modules/for-another-platform': { version: '1.0.0', optional: true },
    };
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
    writeFileSync(path.join(folder, 'package-lock.json'), JSON.stringify({ packages }));
  }

  function run(): { status: number | null; stdout: string; stderr: string } {
    const env = { ...process.env, npm_execpath: path.join(folder, 'npm.mjs'), npm_node_execpath: process.execPath };
    // The script must find its project from any folder.
    return spawnSync(process.execPath, [path.join(folder, 'scripts/ensure-installed.mjs')], {
      cwd: tmpdir(),
      env,
      encoding: 'utf8',
    });
  }

  function installs(): number {
    const asked = path.join(folder, 'asked');
    return existsSync(asked) ? readFileSync(asked, 'utf8').trimEnd().split('\n').length : 0;
  }

  test('installs once with one line of output, and prints nothing the second time', () => {
    expect(run()).toMatchObject({
      status: 0,
      stdout: 'Installing dependencies with "npm ci": they are not installed.\n',
      stderr: '',
    });
    expect(run()).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(installs()).toBe(1);
    expect(readFileSync(path.join(folder, 'asked'), 'utf8')).toMatch(/^ci --include=dev /);
  });

  test('installs again after the lock file changed', () => {
    run();
    write('1.0.1');
    expect(run().stdout).toContain('hono is not at 1.0.1');
    expect(installs()).toBe(2);
    run();
    expect(installs()).toBe(2);
  });

  test('accepts a manual install and a changed script in package.json', () => {
    run();
    const manifest = { dependencies: { hono: '^1.0.0' }, scripts: { test: 'true' } };
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
    expect(run().stdout).toBe('');
    expect(installs()).toBe(1);
  });

  test('installs again if the Node in node_modules is missing or does not run', () => {
    run();
    writeFileSync(path.join(folder, 'node_modules/.bin/node'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    run();
    rmSync(path.join(folder, 'node_modules/.bin/node'));
    run();
    expect(installs()).toBe(3);
  });

  test('exits with the status of a failed npm and says what to do', () => {
    writeFileSync(path.join(folder, 'npm-fails'), '');
    const { status, stderr } = run();
    expect(status).toBe(7);
    expect(stderr).toContain('"npm ci" failed. Check the network');
  });

  test('fails if npm succeeds but Node is still missing', () => {
    writeFileSync(path.join(folder, 'npm-forgets-node'), '');
    const { status, stderr } = run();
    expect(status).toBe(1);
    expect(stderr).toContain('node_modules/.bin/node does not run');
  });

  test('fails if package.json has a dependency that the lock file lacks', () => {
    run();
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ dependencies: { hono: '^2.0.0' } }));
    const { status, stdout } = run();
    expect(stdout).toContain('hono differs between package.json and package-lock.json');
    expect(status).toBe(1);
  });
});
