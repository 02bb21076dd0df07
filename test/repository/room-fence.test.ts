import { readdirSync } from 'node:fs';
import path from 'node:path';
import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { describe, expect, test } from 'vitest';
import roomFence, { ROOMS, roomOf } from '../../scripts/eslint/room-fence.js';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** What the rule says of one file; the file need not exist. */
function problems(file: string, code: string): string[] {
  const linter = new Linter({ cwd: ROOT });
  const config: Linter.Config = {
    files: ['**/*.ts'],
    languageOptions: { parser: tseslint.parser },
    plugins: { wakala: { rules: { 'room-fence': roomFence } } },
    rules: { 'wakala/room-fence': 'error' },
  };
  return linter.verify(code, [config], { filename: path.join(ROOT, file) }).map((problem) => problem.message);
}

describe('the table of rooms', () => {
  const folders = readdirSync(path.join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());

  test('names every folder of src/', () => {
    expect(Object.keys(ROOMS)).toEqual(expect.arrayContaining(folders.map((folder) => folder.name)));
  });

  test('names only rooms above their own place in it, so that no two can import each other', () => {
    const order = Object.keys(ROOMS);
    for (const [room, allowed] of Object.entries(ROOMS)) {
      const above = order.slice(0, order.indexOf(room));
      expect(above, room).toEqual(expect.arrayContaining(allowed.map((name) => name.replace(' (types)', ''))));
    }
  });

  test.each([
    ['src/secret.ts', 'base'],
    ['src/cli.ts', 'cli'],
    ['src/tokens/token-source.ts', 'tokens'],
    ['src/admin/pages/home.ts', 'admin'],
    ['src/http/client/pool.ts', 'http'],
    ['test/secret.test.ts', undefined],
    ['package.json', undefined],
  ])('puts %s into %s', (file, room) => {
    expect(roomOf(path.normalize(file))).toBe(room);
  });
});

describe('allows', () => {
  test.each([
    ['base from base', 'src/errors.ts', `import { Secret } from './secret.ts';`],
    ['downward', 'src/tokens/token-source.ts', `import { mpesa } from '../providers/mpesa.ts';`],
    ['a room its own files', 'src/admin/pages/home.ts', `import { app } from '../app.ts';`],
    ['http the files of src/ itself', 'src/http/client/pool.ts', `import { ProxyError } from '../../errors.ts';`],
    ['types where the table says types', 'src/proxy/route.ts', `import type { Route } from '../config/config.ts';`],
    ['types in place', 'src/proxy/route.ts', `type Route = import('../config/config.ts').Route;`],
    ['exported types', 'src/admin/api.ts', `export type { Route } from '../config/config.ts';`],
    ['packages and Node itself', 'src/providers/mpesa.ts', `import 'hono'; import 'node:fs';`],
    ['exports without a source', 'src/secret.ts', `export const a = 1; export { a as b };`],
    ['commands the whole program', 'src/commands/serve.ts', `import { serve } from '../server/serve.ts';`],
    ['tests everything', 'test/secret.test.ts', `import '../src/cli.ts'; import '../package.json';`],
  ])('%s', (_, file, code) => {
    expect(problems(file, code)).toEqual([]);
  });
});

describe('refuses', () => {
  test.each([
    ['upward', 'src/providers/mpesa.ts', `import { a } from '../tokens/cache.ts';`],
    ['sideways', 'src/emulators/app.ts', `import { a } from '../admin/app.ts';`],
    ['types as well', 'src/tokens/token-source.ts', `import type { Route } from '../config/config.ts';`],
    ['types in place', 'src/tokens/token-source.ts', `type Route = import('../config/config.ts').Route;`],
    ['import for its effect', 'src/telemetry/log.ts', `import '../tokens/cache.ts';`],
    ['import()', 'src/telemetry/log.ts', `await import('../tokens/cache.ts');`],
    ['export *', 'src/secret.ts', `export * from './providers/provider.ts';`],
    ['export { }', 'src/secret.ts', `export { a } from './providers/provider.ts';`],
    ['cli.ts from base', 'src/errors.ts', `import { a } from './cli.ts';`],
    ['tokens from http', 'src/http/client/pool.ts', `import { a } from '../../tokens/cache.ts';`],
    ['types of proxy from http', 'src/http/client/pool.ts', `import type { A } from '../../proxy/body.ts';`],
    ['commands from server', 'src/server/serve.ts', `import { a } from '../commands/serve.ts';`],
    ['a room that does not exist', 'src/proxy/request.ts', `import { a } from '../utils/a.ts';`],
  ])('%s', (_, file, code) => {
    expect(problems(file, code)).toEqual([expect.stringContaining('may not import')]);
  });

  test('says which rooms may be imported', () => {
    expect(problems('src/tokens/token-source.ts', `import { a } from '../proxy/request.ts';`)).toEqual([
      'tokens may not import proxy. It may import base, providers and itself.',
    ]);
    expect(problems('src/secret.ts', `import { a } from './proxy/request.ts';`)).toEqual([
      'base may not import proxy. It may import nothing but itself.',
    ]);
  });

  test.each([
    `import { load } from '../config/load.ts';`,
    `import { type Route } from '../config/config.ts';`,
    `await import('../config/load.ts');`,
  ])('values where the table says types: %s', (code) => {
    expect(problems('src/proxy/request.ts', code)).toEqual([
      'proxy may import only types from config: write `import type`.',
    ]);
  });

  test('what lies outside src/', () => {
    expect(problems('src/commands/version.ts', `import manifest from '../../package.json';`)).toEqual([
      'commands may not import "../../package.json": it is outside src/ and not shipped.',
    ]);
  });

  test('a folder without a row', () => {
    expect(problems('src/utils/a.ts', `export const a = 1;`)).toEqual([expect.stringContaining('has no row')]);
  });
});
