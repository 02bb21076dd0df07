// `npm start`: installs what is missing, builds, and runs `wakala dev`, on the Node of node_modules whatever this one is.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import './ensure-installed.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const NODE = path.join(ROOT, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

const build = spawnSync(NODE, [path.join(ROOT, 'scripts', 'build.mjs')], { stdio: 'inherit' });
if (build.status !== 0) process.exit(build.status ?? 1);

const wakala = spawn(NODE, [path.join(ROOT, 'dist', 'cli.js'), 'dev', ...process.argv.slice(2)], { stdio: 'inherit' });
let stopped = false;
const stop = () => {
  // Once: Wakala takes a second signal for impatience.
  if (!stopped) wakala.kill('SIGTERM');
  stopped = true;
};

// A terminal gives Ctrl-C to Wakala itself as well, as a signal or as a key.
process.on('SIGINT', () => {});
process.on('SIGTERM', stop);
process.on('SIGHUP', stop);

// npm passes SIGTERM on to its shell only, and many a shell dies of it without telling its children.
const parent = process.ppid;
const watch = setInterval(() => {
  if (process.ppid !== parent) {
    clearInterval(watch);
    stop();
  }
}, 250);

wakala.on('error', (error) => {
  console.error(`Cannot start ${NODE}: ${error.message}`);
  process.exit(1);
});
wakala.on('exit', (status, signal) => process.exit(status ?? (signal === 'SIGINT' ? 130 : 143)));
