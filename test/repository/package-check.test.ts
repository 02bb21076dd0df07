import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ROOT, temporaryFolder } from './packed.ts';

const CHANGELOG = `# Changelog

## [Unreleased]

## [1.2.3] - 2026-02-03

### Fixed

- It counts.

## [1.2.2] - 2026-01-02

- Older.
`;

describe('package:check', () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
    mkdirSync(path.join(folder, 'scripts'));
    cpSync(path.join(ROOT, 'scripts/package-check.mjs'), path.join(folder, 'scripts/package-check.mjs'));
    write({ version: '1.2.3' }, '1.2.3', CHANGELOG);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function write(manifest: object, locked: string, changelog: string): void {
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
    const lock = { version: locked, packages: { '': { version: locked } } };
    writeFileSync(path.join(folder, 'package-lock.json'), JSON.stringify(lock));
    writeFileSync(path.join(folder, 'CHANGELOG.md'), changelog);
  }

  function check(tag: string, env: Readonly<Record<string, string>> = {}) {
    const own = {
      ...process.env,
      GITHUB_REPOSITORY: undefined,
      GITHUB_SERVER_URL: undefined,
      GITHUB_REF_NAME: tag,
      ...env,
    };
    // The command of the workflow.
    const { jobs } = parse(readFileSync(path.join(ROOT, '.github/workflows/publish.yml'), 'utf8')) as {
      jobs: { package: { steps: readonly { name?: string; run?: string }[] } };
    };
    const step = jobs.package.steps.find(({ name }) => name === 'Compare the tag, the version and the changelog');
    const result = spawnSync('bash', ['-eo', 'pipefail', '-c', step?.run ?? 'exit 99'], {
      cwd: folder,
      env: own,
      encoding: 'utf8',
    });
    const notes = readFileSync(path.join(folder, 'release/notes.md'), 'utf8');
    rmSync(path.join(folder, 'release'), { recursive: true });
    return {
      status: result.status,
      problems: result.stderr.replaceAll('package:check: ', '').trimEnd().split('\n'),
      notes,
    };
  }

  test('prints the section of the version from the changelog', () => {
    expect(check('v1.2.3')).toEqual({ status: 0, problems: [''], notes: '### Fixed\n\n- It counts.\n' });
  });

  test('refuses a tag of another version', () => {
    const problem = (tag: string) => `the tag is "${tag}", but package.json has version 1.2.3`;
    for (const tag of ['v1.2.4', 'v1.2.3-rc.1', '1.2.3', 'v1.2.30', '']) {
      expect(check(tag)).toEqual({ status: 1, problems: [problem(tag)], notes: '' });
    }
  });

  test('refuses a lock file of another version', () => {
    write({ version: '1.2.3' }, '1.2.2', CHANGELOG);
    expect(check('v1.2.3').problems).toEqual(['package-lock.json has version 1.2.2: run "npm install"']);
  });

  test('refuses a changelog without a dated section of this version, or with an empty one', () => {
    const missing = 'CHANGELOG.md has no section "## [1.2.3] - YYYY-MM-DD"';
    for (const heading of ['## [Unreleased]', '## [1.2.3]', '## 1.2.3 - 2026-02-03', '## [1.2.30] - 2026-02-03']) {
      write({ version: '1.2.3' }, '1.2.3', CHANGELOG.replace('## [1.2.3] - 2026-02-03', heading));
      expect(check('v1.2.3').problems, heading).toEqual([missing]);
    }
    write({ version: '1.2.3' }, '1.2.3', '## [1.2.3] - 2026-02-03\n\n## [1.2.2] - 2026-01-02\n\n- Older.\n');
    expect(check('v1.2.3').problems).toEqual(['the section of 1.2.3 in CHANGELOG.md is empty']);
  });

  test('requires the repository of the workflow in package.json, as npm does', () => {
    const env = { GITHUB_SERVER_URL: 'https://git.example', GITHUB_REPOSITORY: 'till/wakala' };
    expect(check('v1.2.3', env).problems).toEqual([
      '"repository" in package.json is missing, but the workflow runs in git+https://git.example/till/wakala.git',
    ]);
    for (const [url, status] of [
      ['git+https://git.example/till/wakala.git', 0],
      ['git+https://git.example/other/wakala.git', 1],
    ] as const) {
      write({ version: '1.2.3', repository: { type: 'git', url } }, '1.2.3', CHANGELOG);
      expect(check('v1.2.3', env).status).toBe(status);
    }
  });

  test('reports all problems at once', () => {
    write({ version: '1.3.0' }, '1.2.3', CHANGELOG);
    expect(check('v1.2.3').problems).toHaveLength(3);
  });
});
