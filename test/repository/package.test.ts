import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly engines: { readonly node: string };
  readonly publishConfig: unknown;
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(path.join(ROOT, file), 'utf8')) as T;
}

const manifest = read<Manifest>('package.json');
const lock = read<{ version: string; packages: Record<string, Partial<Manifest>> }>('package-lock.json');

describe('package.json', () => {
  test('ships only dist/, with the command wakala', () => {
    expect(manifest.bin).toEqual({ wakala: 'dist/cli.js' });
    expect(manifest.files).toEqual(['dist', 'CHANGELOG.md']);
    expect(manifest.scripts['prepack']).toBe('node scripts/build.mjs >&2');
  });

  // With `provenance`, npm refuses to publish outside a workflow.
  test('is published publicly and only by a workflow', () => {
    expect(manifest.publishConfig).toEqual({ access: 'public', provenance: true });
  });

  test('requires Node 22.19 or newer, and Node 24 for development', () => {
    expect(manifest.engines.node).toBe('>=22.19');
    expect(manifest.devDependencies['node']).toMatch(/^\^24\./);
    expect(lock.packages['node_modules/node']?.version).toMatch(/^24\./);
    expect(process.versions.node).toMatch(/^24\./);
  });

  // A shell caches the path of `node`, so the command after the install must be a new npm run.
  test('npm test installs first and then starts a new npm run', () => {
    expect(manifest.scripts['test']).toBe('node scripts/ensure-installed.mjs && npm run --silent test:all');
  });

  test('npm start is a direct child of npm, so that it notices when npm is stopped', () => {
    expect(manifest.scripts['start']).toBe('node scripts/start.mjs');
  });

  test('names the licence in LICENSE', () => {
    expect(manifest.license).toBe('Apache-2.0');
    expect(readFileSync(path.join(ROOT, 'LICENSE'), 'utf8')).toMatch(/Apache License\s+Version 2\.0, January 2004/);
  });
});

describe('package-lock.json', () => {
  test('has the same version and dependencies as package.json', () => {
    const root = lock.packages[''];
    expect(root?.version).toBe(manifest.version);
    expect(root?.dependencies).toEqual(manifest.dependencies);
    expect(root?.devDependencies).toEqual(manifest.devDependencies);
  });

  test.each(Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }))('contains %s', (name) => {
    expect(lock.packages[`node_modules/${name}`]?.version).toBeDefined();
  });
});

test('npm scripts find the Node of node_modules first', () => {
  const run = spawnSync(path.join(ROOT, 'node_modules/.bin/node'), ['--version'], { encoding: 'utf8' });
  expect(run.stdout.trim()).toBe(`v${lock.packages['node_modules/node']?.version ?? ''}`);
});
