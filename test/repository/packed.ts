import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

export const ROOT = path.resolve(import.meta.dirname, '../..');

/** A build is slow beside other tests. */
export const BUILD_TIMEOUT_MS = 240_000;

export interface Packed {
  readonly tarball: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number; readonly mode: number }[];
}

/** Creates a folder that is removed at the end of the test, or by the caller. */
export function temporaryFolder(): string {
  return mkdtempSync(path.join(tmpdir(), 'wakala-package-'));
}

/** Runs a script of the repository or of a copy. @throws Error with its output if it fails */
export function script(name: string, args: readonly string[] = [], { root = ROOT, env = {}, input = '' } = {}): string {
  return run(process.execPath, [path.join(root, 'scripts', name), ...args], { cwd: root, env, input });
}

/** @throws Error with its output if it fails */
export function npm(args: readonly string[], cwd: string): string {
  const cli = process.env['npm_execpath'];
  return cli === undefined ? run('npm', args, { cwd }) : run(process.execPath, [cli, ...args], { cwd });
}

export function run(
  command: string,
  args: readonly string[],
  { cwd, env = {}, input = '' }: { cwd: string; env?: Readonly<Record<string, string>>; input?: string },
): string {
  const inherited = { ...process.env, NODE_OPTIONS: '', WAKALA_COMMIT: undefined };
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...inherited, ...env },
    input,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${status} ${error?.message ?? ''}\n${stdout}${stderr}`);
  return stdout;
}

/** Packs the build. */
export function pack(root: string, folder: string): Packed {
  const told = npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root);
  const [{ filename, ...more }] = JSON.parse(told) as [Omit<Packed, 'tarball'> & { filename: string }];
  return { ...more, tarball: path.join(folder, filename) };
}

/** Unpacks a tarball to where a project imports it as `wakala`. @returns the folder */
export function unpack({ tarball }: Packed, project: string): string {
  const folder = path.join(project, 'node_modules', 'wakala');
  mkdirSync(folder, { recursive: true });
  run('tar', ['-xzf', tarball, '--strip-components=1', '-C', folder], { cwd: project });
  return folder;
}

/** Copies the input of a build to another folder. */
export function copyOfRepository(): string {
  const folder = temporaryFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const { files } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { files: readonly string[] };
  const more = ['README.md', 'LICENSE', 'package.json', 'package-lock.json', 'proxy.config.schema.json'];
  const needed = ['src', 'scripts', 'tsconfig.json', 'tsconfig.build.json', ...more, ...files];
  for (const file of needed.filter((one) => one !== 'dist')) {
    cpSync(path.join(ROOT, file), path.join(folder, file), { recursive: true });
  }
  linkPackages(folder);
  return folder;
}

/** All installed packages, without the caches of builds. */
export function linkPackages(folder: string): void {
  mkdirSync(path.join(folder, 'node_modules', '.cache'), { recursive: true });
  const { dependencies, devDependencies } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Record<
    string,
    Readonly<Record<string, string>>
  >;
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
    const link = path.join(folder, 'node_modules', name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.join(ROOT, 'node_modules', name), link);
  }
}
