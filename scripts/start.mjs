// `npm start`: installs missing dependencies, builds, and runs `wakala dev` on the Node in node_modules.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import './ensure-installed.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const NODE = path.join(ROOT, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');

const build = spawnSync(NODE, [path.join(ROOT, 'scripts', 'build.mjs')], { stdio: 'inherit' });
if (build.status !== 0) process.exit(build.status ?? 1);

const wakala = spawn(NODE, [path.join(ROOT, 'dist', 'cli.js'), 'dev', ...process.argv.slice(2)], { stdio: 'inherit' });
let isStopped = false;
const stop = () => {
  // Only once: a second signal makes Wakala exit without waiting for requests.
  if (!isStopped) wakala.kill('SIGTERM');
  isStopped = true;
};

// The terminal also sends Ctrl-C to Wakala, as a signal or as a key.
process.on('SIGINT', () => {});
process.on('SIGTERM', stop);
process.on('SIGHUP', stop);

// npm passes SIGTERM only to its shell, and many shells exit without passing it on.
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
