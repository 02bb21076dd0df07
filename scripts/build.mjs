// Builds dist/ from src/: the commands and the library as JavaScript, the files of the dashboard, the declarations of the
// library, the JSON Schema, and the commit. Does nothing if dist/ is up to date.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const DIST = path.join(ROOT, 'dist');
const STAMP = path.join(ROOT, 'node_modules', '.cache', 'wakala-build');
const SCHEMA = 'proxy.config.schema.json';
/** The commit of dist/, for `wakala --version`. It can change without a new build, so the stamp does not cover it. */
const COMMIT = 'commit';
const SHEBANG = '#!/usr/bin/env node\n';

const sources = filesIn(path.join(ROOT, 'src'));
/** Read at run time by `src/admin/assets.ts`, which is in a chunk: see `chunkFileNames` in build/bundle.mjs. */
const assets = sources.filter((file) => /^admin\/assets\/[\w.-]+\.(css|js|svg)$/.test(file));
const foreign = sources.filter((file) => !file.endsWith('.ts') && !assets.includes(file));
if (foreign.length > 0) fail(`src/ has files that the build would leave out: ${foreign.join(', ')}`);

const commit = commitOf();
const scripts = ['build.mjs', 'build/bundle.mjs', 'build/declarations.mjs'].map((file) => `scripts/${file}`);
const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', SCHEMA, ...scripts];
const stamp = digest([...settings, ...sources.map((file) => `src/${file}`)]);
if (isCurrent()) {
  console.log('dist/ is up to date.');
} else {
  rmSync(STAMP, { force: true });
  replaceDist(await built());
  mkdirSync(path.dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, `${stamp}\n${digestOfDist()}\n`);
  console.log(`Built dist/ from ${sources.length} files.`);
}
noteCommit();

/** Whether the sources and dist/ are unchanged since the last build. */
function isCurrent() {
  if (!existsSync(STAMP) || !existsSync(DIST)) return false;
  const [from, to] = readFileSync(STAMP, 'utf8').split('\n');
  return from === stamp && to === digestOfDist();
}

/** Content of each file of dist/, by its path in dist/. The tools are loaded only for a build. */
async function built() {
  const [{ declarations }, { bundle }] = await Promise.all(
    ['declarations', 'bundle'].map((name) => import(`./build/${name}.mjs`)),
  );
  try {
    const files = declarations(ROOT);
    for (const [file, { code }] of await bundle(ROOT)) files.set(file, code);
    if (!files.get('cli.js')?.startsWith(SHEBANG)) throw new Error(`src/cli.ts must begin with ${SHEBANG.trim()}`);
    for (const file of assets)
      files.set(`chunks/assets/${path.basename(file)}`, readFileSync(path.join(ROOT, 'src', file)));
    files.set(SCHEMA, `${JSON.stringify(JSON.parse(readFileSync(path.join(ROOT, SCHEMA), 'utf8')))}\n`);
    return files;
  } catch (error) {
    rmSync(DIST, { recursive: true, force: true });
    return fail(`${error.message}\nbuild: failed; dist/ was removed`);
  }
}

/** Replaces dist/ in one step, because it may be in use. */
function replaceDist(files) {
  const [fresh, old] = ['new', 'old'].map((which) => path.join(path.dirname(STAMP), `dist-${which}-${process.pid}`));
  for (const [file, text] of files) {
    mkdirSync(path.dirname(path.join(fresh, file)), { recursive: true });
    writeFileSync(path.join(fresh, file), text);
  }
  // The package's `bin` also runs as `./dist/cli.js`.
  chmodSync(path.join(fresh, 'cli.js'), 0o755);
  for (let attempts = 10; ; attempts--) {
    try {
      if (existsSync(DIST)) move(DIST, old);
      move(fresh, DIST);
      return;
    } catch (error) {
      // Another build may be running.
      if (attempts === 1) throw error;
    } finally {
      rmSync(old, { recursive: true, force: true });
    }
  }
}

function move(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    // node_modules/ may be on another volume.
    if (error.code !== 'EXDEV') throw error;
    cpSync(from, to, { recursive: true });
    rmSync(from, { recursive: true });
  }
}

/**
 * `WAKALA_COMMIT` if it is set, even if it is empty. Otherwise the commit of this folder, followed by `-dirty` if
 * tracked files have changed.
 */
function commitOf() {
  const given = process.env.WAKALA_COMMIT;
  if (given !== undefined) {
    if (!/^([\da-f]{7,64}(-dirty)?)?$/.test(given)) fail(`WAKALA_COMMIT is not a commit: ${given}`);
    return given.replace(/^([\da-f]{7})[\da-f]*/, '$1');
  }
  // Ignore a repository that contains this folder.
  if (!existsSync(path.join(ROOT, '.git'))) return '';
  const describe = ['describe', '--always', '--dirty', '--exclude=*', '--abbrev=7'];
  const env = { ...process.env, GIT_OPTIONAL_LOCKS: '0' };
  const { status, stdout } = spawnSync('git', describe, { cwd: ROOT, env, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '';
}

function noteCommit() {
  const file = path.join(DIST, COMMIT);
  if (commit === '') rmSync(file, { force: true });
  else if (!existsSync(file) || readFileSync(file, 'utf8') !== commit) writeFileSync(file, commit);
}

/** Paths below `folder`, with forward slashes, sorted. */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

function digestOfDist() {
  const files = filesIn(DIST).filter((file) => file !== COMMIT);
  return digest(files.map((file) => `dist/${file}`));
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
