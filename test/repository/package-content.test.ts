import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BUILD_TIMEOUT_MS,
  copyOfRepository,
  pack,
  type Packed,
  ROOT,
  script,
  temporaryFolder,
  unpack,
} from './packed.ts';

const LIMIT = 850_000;
const WANTED = [
  /^(README\.md|LICENSE|CHANGELOG\.md|package\.json)$/,
  /^dist\/(commit|proxy\.config\.schema\.json|cli\.js)$/,
  /^dist\/library\/(index|hono)\.(js|d\.ts)$/,
  /^dist\/chunks\/[a-z\d-]+\.js$/,
  /^dist\/chunks\/assets\/(dashboard\.css|dashboard\.js|icon\.svg)$/,
  /^dist\/(errors|logger)\.d\.ts$/,
];

describe('the package', () => {
  const folder = temporaryFolder();
  let packed: Packed;
  let unpacked: string;

  beforeAll(() => {
    script('build.mjs');
    packed = pack(ROOT, folder);
    unpacked = unpack(packed, folder);
  }, BUILD_TIMEOUT_MS);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const read = (file: string) => readFileSync(path.join(unpacked, file), 'utf8');
  const names = () => packed.files.map((file) => file.path);
  const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

  test(`is under ${LIMIT / 1000} KB unpacked`, () => {
    const sizes = new Map<string, number>();
    for (const file of packed.files) {
      const [part = ''] = /^dist\/chunks\/[a-z]+|^[^/]+(?:\/[^/]+)?/.exec(file.path) ?? [];
      sizes.set(part, (sizes.get(part) ?? 0) + file.size);
    }
    const largest = [...sizes].sort(([, a], [, b]) => b - a).map(([part, size]) => `${size} ${part}`);
    expect(packed.unpackedSize, `UNNAMED in scripts/build/bundle.mjs can help.\n${largest.join('\n')}`).toBeLessThan(
      LIMIT,
    );
  });

  test('contains documentation and code and nothing else', () => {
    expect(names()).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'CHANGELOG.md', 'package.json']));
    expect(names()).toEqual(
      expect.arrayContaining(['dist/cli.js', 'dist/library/index.d.ts', 'dist/library/hono.d.ts']),
    );
    expect(names().filter((name) => !WANTED.some((wanted) => wanted.test(name)))).toEqual([]);
  });

  test('does not contain the name of its builder or a source map reference', () => {
    const ours = [`${ROOT}/`, `${homedir()}/`, folder];
    const told = names().filter((name) => ours.some((one) => read(name).includes(one)));
    expect(told).toEqual([]);
    expect(names().filter((name) => /\.[jt]s$/.test(name) && read(name).includes('sourceMappingURL'))).toEqual([]);
  });

  test('contains every file that its package.json names', () => {
    const manifest = JSON.parse(read('package.json')) as { bin: Record<string, string>; exports: object };
    const targets = (entry: unknown): string[] =>
      typeof entry === 'string' ? [entry] : Object.values(entry as object).flatMap(targets);
    const named = [...Object.values(manifest.bin), ...targets(manifest.exports)];
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((file) => !existsSync(path.join(unpacked, file)))).toEqual([]);
    expect(packed.files.find((file) => file.path === manifest.bin['wakala'])?.mode).toBe(0o755);
  });

  test('imports only its own code, its dependencies and Node', () => {
    const { dependencies, peerDependencies } = JSON.parse(read('package.json')) as Record<string, object>;
    const known = Object.keys({ ...dependencies, ...peerDependencies });
    const imports = names()
      .filter((name) => name.endsWith('.js'))
      .flatMap((name) => ts.preProcessFile(read(name)).importedFiles.map(({ fileName }) => fileName))
      .filter((name) => !name.startsWith('.'));
    expect(imports).toContain('commander');
    const foreign = imports.filter(
      (from) => !from.startsWith('node:') && !known.some((name) => `${from}/`.startsWith(`${name}/`)),
    );
    expect([...new Set(foreign)]).toEqual([]);
  });

  test('contains the schema of the repository without white space', () => {
    const shipped = read('dist/proxy.config.schema.json');
    expect(JSON.parse(shipped)).toEqual(JSON.parse(readFileSync(path.join(ROOT, 'proxy.config.schema.json'), 'utf8')));
    expect(shipped.trimEnd()).not.toMatch(/\n| {2}/);
  });

  test('keeps function names and one line per statement in the data path', () => {
    const code = names()
      .filter((name) => name.startsWith('dist/chunks/'))
      .map(read)
      .find((text) => /class ProxiedRequest\b|ProxiedRequest=class\b/.test(text));
    if (code === undefined) throw new Error('no chunk holds a class named ProxiedRequest');
    expect(Math.max(...code.split('\n').map((line) => line.length))).toBeLessThan(2000);
  });

  test('is identical byte for byte when it is built again in another folder', { timeout: BUILD_TIMEOUT_MS }, () => {
    const copy = copyOfRepository();
    const commit = names().includes('dist/commit') ? read('dist/commit') : '';
    expect(script('build.mjs', [], { root: copy, env: { WAKALA_COMMIT: commit } })).toContain('Built dist/');
    expect(sha256(pack(copy, copy).tarball)).toBe(sha256(packed.tarball));
  });
});
