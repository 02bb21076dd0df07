// Packs the package and installs it under each supported Node version. Runs and attacks it there, and runs the tests of
// Node's internals. Run it with `npm run package:try`. The last line of the output is "N passed, N failed".
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runMatrix, targetName } from '../test/attacks/matrix.ts';
import { CHECKS } from './package-try/checks.ts';
import { environment, type Installed, Program, run } from './package-try/program.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
/** The oldest version that package.json allows, the version of this project (undefined), and the latest major version. */
const NODE_VERSIONS = [oldest(), undefined, '26'];
const CHECK_TIMEOUT_MS = 60_000;
const INTERNALS = ['test/http/node-internals.test.ts', 'test/http/client/node-facts.test.ts'];

const temporary = mkdtempSync(path.join(tmpdir(), 'wakala-package-'));
let [passed, failed] = [0, 0];
try {
  const tarball = await packed();
  const runs = await Promise.allSettled(NODE_VERSIONS.map((wanted) => tryOn(wanted, tarball)));
  for (const [i, installed] of runs.entries()) {
    if (installed.status === 'rejected') note(NODE_VERSIONS[i] ?? process.version, 'set up', installed.reason);
    // Memory and CPU time of an attacked process are read from /proc.
    else if (process.platform === 'linux') await attack(installed.value);
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** Installs the package under a Node version and checks it. @throws Error if it cannot be installed */
async function tryOn(wanted: string | undefined, tarball: string): Promise<Installed & { readonly name: string }> {
  const node = wanted === undefined ? process.execPath : await nodeOf(wanted);
  const name = (await run(node, ['--version'], temporary)).stdout.trim();
  const folder = path.join(temporary, name);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
  const installed = { node, folder };
  const args = ['install', tarball, '--omit=dev', '--engine-strict', '--no-audit', '--no-fund', '--prefer-offline'];
  const { code, stderr } = await npm(node, args, folder);
  if (code !== 0) throw new Error(stderr);
  note(name, 'npm install', /deprecated|EBADENGINE|install-scripts/.test(stderr) ? new Error(stderr) : undefined);
  for (const title of Object.keys(CHECKS)) note(name, title, await problemOf(title, installed));
  note(name, 'internals of Node', await internalsProblem(node));
  return { ...installed, name };
}

/** Runs the tests of Node's undocumented interfaces. @returns undefined if they pass */
async function internalsProblem(node: string): Promise<Error | undefined> {
  const vitest = path.join(ROOT, 'node_modules/vitest/vitest.mjs');
  const { code, stdout, stderr } = await run(node, [vitest, 'run', '--project', 'tests', ...INTERNALS], ROOT);
  return code === 0 ? undefined : new Error(stdout + stderr);
}

async function attack({ node, folder, name }: Installed & { readonly name: string }): Promise<void> {
  const product = { node, cli: path.join(folder, 'node_modules/wakala/dist/cli.js'), folder };
  await runMatrix(product, ({ kind, attack, failure }) =>
    note(name, `${targetName(kind)}: ${attack.promise}`, failure),
  );
}

/** Runs a check and kills its processes. @returns undefined if it passes, else the error */
async function problemOf(title: string, installed: Installed): Promise<unknown> {
  const started: Program[] = [];
  const running = (args: readonly string[]) => {
    const program = new Program(installed, args);
    started.push(program);
    return program;
  };
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => timeout.reject(new Error(`not finished after ${CHECK_TIMEOUT_MS} ms`)),
    CHECK_TIMEOUT_MS,
  );
  try {
    await Promise.race([CHECKS[title]?.(installed, running), timeout.promise]);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
    for (const program of started) program.kill();
  }
}

function note(node: string, title: string, problem?: unknown): void {
  if (problem === undefined) passed += 1;
  else failed += 1;
  console.log(`${problem === undefined ? 'ok     ' : 'FAILED '} ${node} ${title}`);
  if (problem === undefined) return;
  const message = problem instanceof Error ? problem.message : JSON.stringify(problem);
  console.log(message.replace(/^/gm, '        '));
}

/** Packs the package. @returns the path of the tarball */
async function packed(): Promise<string> {
  const { code, stdout, stderr } = await npm(
    process.execPath,
    ['pack', '--json', '--pack-destination', temporary],
    ROOT,
  );
  if (code !== 0) throw new Error(stderr);
  const [{ filename, unpackedSize }] = JSON.parse(stdout) as [{ filename: string; unpackedSize: number }];
  console.log(`${filename}: ${unpackedSize} bytes unpacked`);
  return path.join(temporary, filename);
}

/** Installs a Node version from the npm registry and keeps it for the next run. @returns the path of its executable */
async function nodeOf(version: string): Promise<string> {
  const folder = path.join(ROOT, 'node_modules', '.cache', 'wakala-nodes', version);
  const binary = path.join(folder, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  const manifest = { private: true, dependencies: { node: version }, allowScripts: { node: true } };
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  const { code, stderr } = await npm(process.execPath, ['install', '--no-audit', '--no-fund'], folder);
  if (code !== 0 || !existsSync(binary)) throw new Error(`cannot install Node ${version}: ${stderr}`);
  return binary;
}

/** Runs npm on a Node version: the npm that runs this script, or else that of the PATH. */
async function npm(node: string, args: readonly string[], cwd: string) {
  const cli = process.env['npm_execpath'];
  const env = { ...environment(), PATH: `${path.dirname(node)}${path.delimiter}${process.env['PATH'] ?? ''}` };
  return cli === undefined ? await run('npm', args, cwd, env) : await run(node, [cli, ...args], cwd, env);
}

function oldest(): string {
  const { engines } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  const [, version] = /^>=(\d+\.\d+)$/.exec(engines.node) ?? [];
  if (version === undefined) throw new Error(`engines.node is not ">=major.minor": ${engines.node}`);
  return version;
}
