// Compiles src/ to dist/, unless dist/ was made from these very sources.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const DIST = path.join(ROOT, 'dist');
const STAMP = path.join(ROOT, 'node_modules', '.cache', 'wakala-build');
const SHEBANG = '#!/usr/bin/env node\n';

const sources = filesIn(path.join(ROOT, 'src'));
const foreign = sources.filter((file) => !file.endsWith('.ts'));
if (foreign.length > 0) fail(`src/ holds what the build would leave out: ${foreign.join(', ')}`);

const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs'];
const stamp = digest([...settings, ...sources.map((file) => `src/${file}`)]);
if (isCurrent()) {
  console.log('dist/ is up to date.');
} else {
  rmSync(STAMP, { force: true });
  rmSync(DIST, { recursive: true, force: true });
  compile();
  finishCli();
  mkdirSync(path.dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, `${stamp}\n${digest(filesIn(DIST).map((file) => `dist/${file}`))}\n`);
  console.log(`Built dist/ from ${sources.length} files.`);
}

/** Whether neither the sources nor dist/ changed since the last build. */
function isCurrent() {
  if (!existsSync(STAMP) || !existsSync(DIST)) return false;
  const [from, to] = readFileSync(STAMP, 'utf8').split('\n');
  return from === stamp && to === digest(filesIn(DIST).map((file) => `dist/${file}`));
}

function compile() {
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', path.join(ROOT, 'tsconfig.build.json')], { stdio: 'inherit' });
  if (run.status !== 0) {
    rmSync(DIST, { recursive: true, force: true });
    fail('the build failed; dist/ was removed');
  }
}

/** The package's `bin`, which also runs as `./dist/cli.js`. */
function finishCli() {
  const cli = path.join(DIST, 'cli.js');
  if (!existsSync(cli)) fail('src/cli.ts is missing, so there is no dist/cli.js');
  if (!readFileSync(cli, 'utf8').startsWith(SHEBANG)) fail(`src/cli.ts must begin with ${SHEBANG.trim()}`);
  chmodSync(cli, 0o755);
}

/** Paths below `folder`, with forward slashes, in one order everywhere. */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

function digest(files) {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(path.join(ROOT, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}
