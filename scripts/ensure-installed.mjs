// Installs the dependencies if they are missing. `npm start` and `npm test` run it first on a fresh clone, so it uses no
// dependencies and runs on Node 18 too.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const WINDOWS = process.platform === 'win32';

const reason = missingDependency();
if (reason !== undefined) {
  console.log(`Installing dependencies with "npm ci": ${reason}.`);
  const status = install();
  if (status !== 0) fail(`"npm ci" failed`, status);
  const remaining = missingDependency();
  if (remaining !== undefined) fail(`"npm ci" succeeded, but ${remaining}`, 1);
}

/** Why dependencies must be installed; undefined if all are. npm writes `.package-lock.json` at the end of an install. */
function missingDependency() {
  const wanted = readJson('package-lock.json');
  if (wanted === undefined) return 'package-lock.json cannot be read';
  const installed = readJson('node_modules/.package-lock.json');
  if (installed === undefined) return 'they are not installed';

  const manifest = readJson('package.json') ?? {};
  for (const kind of ['dependencies', 'devDependencies']) {
    const [ours, locked] = [manifest[kind] ?? {}, wanted.packages[''][kind] ?? {}];
    for (const name of Object.keys({ ...ours, ...locked })) {
      if (ours[name] !== locked[name]) return `${name} differs between package.json and package-lock.json`;
    }
  }
  for (const [where, entry] of Object.entries(wanted.packages)) {
    // Optional packages may belong to other platforms, and npm's settings may leave out peers.
    if (where === '' || entry.optional || entry.peer) continue;
    const found = installed.packages[where];
    if (found?.version !== entry.version || found?.integrity !== entry.integrity) {
      return `${where.replace(/^.*node_modules\//, '')} is not at ${entry.version}`;
    }
  }
  if (!nodeRuns()) return 'node_modules/.bin/node does not run (its install script may have been blocked)';
  return undefined;
}

/** Whether the Node executable that npm scripts find first runs. */
function nodeRuns() {
  const bin = path.join(ROOT, 'node_modules', '.bin', WINDOWS ? 'node.cmd' : 'node');
  return spawnSync(WINDOWS ? `"${bin}"` : bin, ['--version'], { shell: WINDOWS }).status === 0;
}

function install() {
  // The build and the tests need the dev dependencies and run on the Node among them, not on this one.
  const args = ['ci', '--include=dev', '--no-engine-strict', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const viaNode = npm !== undefined && /\.[cm]?js$/.test(npm);
  const [command, before, shell] = viaNode
    ? [process.env.npm_node_execpath ?? process.execPath, [npm], false]
    : ['npm', [], WINDOWS];
  const run = spawnSync(command, [...before, ...args], { cwd: ROOT, stdio: 'inherit', shell });
  if (run.error !== undefined) console.error(`Cannot start ${command}: ${run.error.message}`);
  return run.status ?? 1;
}

function fail(what, status) {
  console.error(
    `${what}. Check the network and npm's registry (npm ping). After a change to package.json, run "npm install" first. ` +
      `Allow install scripts for the package "node" (npm config get ignore-scripts). Then run this again.`,
  );
  process.exit(status);
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(path.join(ROOT, file), 'utf8'));
  } catch {
    return undefined;
  }
}
