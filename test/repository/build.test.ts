import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BUILD_TIMEOUT_MS, linkPackages, ROOT, run, temporaryFolder } from './packed.ts';

/** A minimal project for the build. It reads its version as the real one does. */
const SOURCES = {
  'cli.ts': `#!/usr/bin/env node
const { versionLine } = await import('./server/version.ts');
console.log(versionLine());
`,
  'library/index.ts': `import type { Bounds } from '../bounds.ts';
import type { Shape } from '../errors.ts';
/** What is told. */
export type WakalaConfig = Bounds<{ port: number }>;
export class Told implements Shape { readonly told = true; }
export const twice = (n: number): number => n * 2; // not for readers of dist/
`,
  'library/hono.ts': `export { twice } from './index.ts';\n`,
  'bounds.ts': `export type Bounds<T> = { [K in keyof T]?: T[K] | undefined };\n`,
  'errors.ts': `export interface Shape { readonly told: boolean }\nexport interface Unused { readonly never: boolean }\n`,
};

const SETTINGS = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', 'proxy.config.schema.json'];

describe('npm run build', { timeout: BUILD_TIMEOUT_MS }, () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
    for (const file of ['scripts/build.mjs', 'scripts/build', 'src/server/version.ts', ...SETTINGS]) {
      cpSync(path.join(ROOT, file), path.join(folder, file), { recursive: true });
    }
    write('package.json', '{ "name": "wakala", "version": "1.2.3", "type": "module" }');
    for (const [file, text] of Object.entries(SOURCES)) write(`src/${file}`, text);
    linkPackages(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function write(file: string, text: string): void {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
  }

  const read = (file: string) => readFileSync(path.join(folder, file), 'utf8');
  const files = (under: string) => readdirSync(path.join(folder, under), { recursive: true, encoding: 'utf8' }).sort();

  function build(commit?: string) {
    const env = { ...process.env, NODE_OPTIONS: '', WAKALA_COMMIT: commit };
    return spawnSync(process.execPath, [path.join(folder, 'scripts/build.mjs')], { cwd: '/', env, encoding: 'utf8' });
  }

  const versionLine = () => run(path.join(folder, 'dist/cli.js'), ['--version'], { cwd: folder }).trim();

  function git(...args: string[]): void {
    const who = ['-c', 'user.name=Till', '-c', 'user.email=till@shop.example', '-c', 'commit.gpgsign=false'];
    run('git', [...who, '-c', 'init.defaultBranch=main', ...args], { cwd: folder });
  }

  test('creates the program, and the declarations of the library with their imports', () => {
    expect(build('')).toMatchObject({ status: 0, stdout: 'Built dist/ from 6 files.\n', stderr: '' });
    expect(files('dist').filter((file) => file.includes('.') && !file.startsWith('chunks'))).toEqual([
      'cli.js',
      'errors.d.ts',
      'library/hono.d.ts',
      'library/hono.js',
      'library/index.d.ts',
      'library/index.js',
      'proxy.config.schema.json',
    ]);
    expect(read('dist/library/index.d.ts')).toBe(`import type { Shape } from '../errors.js';
/** What is told. */
export type WakalaConfig = {
    port?: number | undefined;
};
export declare class Told implements Shape {
    readonly told = true;
}
export declare const twice: (n: number) => number;
`);
    expect(read('dist/library/hono.d.ts')).toBe(`export { twice } from './index.js';\n`);
    expect(read('dist/errors.d.ts')).toBe('export interface Shape {\n    readonly told: boolean;\n}\n');
    expect(files('dist').some((file) => /\.js$/.test(file) && read(`dist/${file}`).includes('not for readers'))).toBe(
      false,
    );
    expect(statSync(path.join(folder, 'dist/cli.js')).mode & 0o777).toBe(0o755);
  });

  test('does nothing if dist/ matches the sources, and else repairs it', () => {
    build('');
    expect(build('').stdout).toBe('dist/ is up to date.\n');
    write('dist/library/index.js', 'export const twice = 3;\n');
    expect(build('').stdout).toBe('Built dist/ from 6 files.\n');
    write('src/library/index.ts', SOURCES['library/index.ts'].replace('n * 2', 'n + n'));
    expect(build('').stdout).toBe('Built dist/ from 6 files.\n');
    expect(files('dist').some((file) => /\.js$/.test(file) && /=>\w\+\w/.test(read(`dist/${file}`)))).toBe(true);
    expect(files('node_modules/.cache')).toEqual(['wakala-build']);
  });

  test('records a new commit of the same sources without a new build', () => {
    build('0123456789abcdef0123456789abcdef01234567');
    expect(versionLine()).toBe('1.2.3 (0123456)');
    expect(build('fedcba9').stdout).toBe('dist/ is up to date.\n');
    expect(versionLine()).toBe('1.2.3 (fedcba9)');
    expect(build('').stdout).toBe('dist/ is up to date.\n');
    expect(versionLine()).toBe('1.2.3');
    expect(run(process.execPath, ['src/cli.ts'], { cwd: folder }).trim()).toBe('1.2.3');
  });

  test('gets the commit from git if none is given, and marks changed files', () => {
    build();
    expect(versionLine()).toBe('1.2.3');
    write('.gitignore', 'node_modules\ndist\n');
    git('init', '--quiet');
    git('add', '.');
    git('commit', '--quiet', '--message=First');
    const commit = run('git', ['rev-parse', '--short=7', 'HEAD'], { cwd: folder }).trim();
    build();
    expect(versionLine()).toBe(`1.2.3 (${commit})`);
    write('README.md', 'not known to git\n');
    build();
    expect(versionLine()).toBe(`1.2.3 (${commit})`);
    write('.gitignore', 'node_modules\ndist\nREADME.md\n');
    build();
    expect(versionLine()).toBe(`1.2.3 (${commit}-dirty)`);
  });

  test('does not use the commit of an enclosing repository', () => {
    write('inner/package.json', '{ "name": "wakala", "version": "1.2.3", "type": "module" }');
    git('init', '--quiet');
    git('add', 'package.json');
    git('commit', '--quiet', '--message=First');
    for (const file of ['scripts', 'src', ...SETTINGS]) {
      cpSync(path.join(folder, file), path.join(folder, 'inner', file), { recursive: true });
    }
    symlinkSync(path.join(folder, 'node_modules'), path.join(folder, 'inner/node_modules'));
    folder = path.join(folder, 'inner');
    try {
      build();
      expect(versionLine()).toBe('1.2.3');
    } finally {
      folder = path.dirname(folder);
    }
  });

  test('refuses an invalid commit', () => {
    expect(build('main; true')).toMatchObject({
      status: 1,
      stderr: 'build: WAKALA_COMMIT is not a commit: main; true\n',
    });
  });

  test('reports a type error with its place and leaves no dist/', () => {
    build('');
    write(
      'src/errors.ts',
      `export const status: number = 'none';\nexport interface Shape { readonly told: boolean }\n`,
    );
    const { status, stderr } = build('');
    expect(status).toBe(1);
    expect(stderr).toContain("src/errors.ts(1,14): error TS2322: Type 'string' is not assignable to type 'number'.");
    expect(files('.')).not.toContain('dist');
  });

  test('copies the files of the dashboard next to the chunks', () => {
    write('src/admin/assets/dashboard.css', 'body { margin: 0 }\n');
    expect(build('').status).toBe(0);
    expect(read('dist/chunks/assets/dashboard.css')).toBe('body { margin: 0 }\n');
  });

  test('refuses files that are not TypeScript, and a command without a shebang', () => {
    write('src/page.html', '<p>\n');
    expect(build('').stderr).toBe('build: src/ has files that the build would leave out: page.html\n');
    rmSync(path.join(folder, 'src/page.html'));
    write('src/cli.ts', 'console.log(1);\n');
    expect(build('').stderr).toContain('src/cli.ts must begin with #!/usr/bin/env node');
  });
});
