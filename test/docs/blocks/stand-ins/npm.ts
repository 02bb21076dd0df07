import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expectFile, expectThat, hand, play, readJson } from '../played/play.ts';

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const { REPOSITORY = '', REAL_NPM = '' } = process.env;
const MODULES = path.join(REPOSITORY, 'node_modules');
const isRepository = () => (readJson('package.json') as Manifest).name === 'wakala';

/** Scripts of the repository that need nothing else, and are quick. */
const QUICK = ['package:check', 'package:trace', 'sbom'];

/** Scripts of the repository that take arguments, and the file that says which. */
const TAKE_ARGUMENTS: Readonly<Record<string, string>> = { soak: 'test/soak/run.ts', bench: 'bench/run.ts' };

const INSTALL = {
  omit: { type: 'string' },
  'save-dev': { type: 'boolean', short: 'D' },
  'no-save': { type: 'boolean' },
  'ignore-scripts': { type: 'boolean' },
  prefix: { type: 'string' },
  global: { type: 'boolean', short: 'g' },
} as const;

/** npm that downloads nothing. Of the repository's own scripts it runs the quick ones; the examples' run as they are. */
await play('npm', {
  ci: { options: INSTALL, run: (_, { prefix = '.' }) => expectFile(path.join(String(prefix), 'package-lock.json')) },
  install: { options: INSTALL, run: install },
  pack: { run: pack },
  version: {
    options: { 'git-tag-version': { type: 'boolean' }, 'allow-same-version': { type: 'boolean' } },
    run: runForReal,
  },
  sbom: { options: { 'package-lock-only': { type: 'boolean' }, 'sbom-format': { type: 'string' } }, run: runForReal },
  start: { run: (args) => runScript('start', args) },
  test: { run: (args) => runScript('test', args) },
  run: {
    options: { silent: { type: 'boolean', short: 's' } },
    run: ([name = '', ...args]) => runScript(name, args),
  },
});

/** The package as a file, which holds nothing: `install` knows that it is this repository's. */
function pack(): void {
  const { name, version } = readJson('package.json') as Manifest;
  const file = `${name ?? ''}-${version ?? ''}.tgz`;
  writeFileSync(file, '');
  process.stdout.write(`${file}\n`);
}

/** What is installed for everyone on a machine is what this repository packs. */
function installGlobally(packages: readonly string[], prefix: string): void {
  for (const file of packages) {
    expectFile(file);
    const { name = '', version = '' } = readJson(path.join(REPOSITORY, 'package.json')) as Manifest;
    expectThat(path.basename(file) === `${name}-${version}.tgz`, `nobody knows what is in ${file}`);
    const folder = path.join(prefix, 'lib/node_modules', name);
    cpSync(path.join(REPOSITORY, 'dist'), path.join(folder, 'dist'), { recursive: true });
    cpSync(path.join(REPOSITORY, 'package.json'), path.join(folder, 'package.json'));
    mkdirSync(path.join(prefix, 'bin'), { recursive: true });
    symlinkSync(path.join(folder, 'dist/cli.js'), path.join(prefix, 'bin', name));
  }
}

/** Every package named, or that package.json names, must be one that is there already. */
function install(packages: readonly string[], { prefix = '.', global }: Readonly<Record<string, unknown>>): void {
  if (global === true) {
    installGlobally(packages, String(prefix));
    return;
  }
  const { dependencies, devDependencies } = readJson(path.join(String(prefix), 'package.json')) as Manifest;
  const wanted = packages.length > 0 ? packages : Object.keys({ ...dependencies, ...devDependencies });
  for (const one of wanted) {
    if (/^[./]/.test(one)) expectFile(one);
    else
      expectThat(existsSync(path.join(MODULES, one.replace(/(?<=.)@.*$/, ''))), `nothing here uses the package ${one}`);
  }
}

function runScript(name: string, args: readonly string[]): void {
  const script = (readJson('package.json') as Manifest).scripts?.[name];
  expectThat(script !== undefined, `package.json of ${process.cwd()} has no script ${name}`);
  const bin = `${path.join(process.cwd(), 'node_modules/.bin')}:${path.join(MODULES, '.bin')}`;
  const PATH = `${process.env['PATH'] ?? ''}:${bin}`;
  const terminal = path.join(import.meta.dirname, '../terminal.ts');
  if (!isRepository() || QUICK.includes(name))
    hand(process.execPath, [terminal, 'sh', '-c', [script, ...args].join(' ')], { PATH, npm_execpath: REAL_NPM });
  else if (name === 'start') hand('node', ['dist/cli.js', 'dev', ...args]);
  else expectArguments(name, args);
}

/** What needs no network. */
function runForReal(): void {
  hand(REAL_NPM, process.argv.slice(2));
}

/** Of a script that would take too long: folders are there, options occur in its source. */
function expectArguments(name: string, args: readonly string[]): void {
  const source = TAKE_ARGUMENTS[name];
  for (const arg of args) {
    if (source !== undefined && arg.startsWith('-')) {
      const known = readFileSync(path.join(REPOSITORY, source), 'utf8').includes(arg.replace(/^--/, ''));
      expectThat(known, `npm run ${name} has no option ${arg}`);
    } else if (source === undefined) expectFile(arg);
  }
}
