// Runs a program of a document as a reader does who has enough terminals: one that ends is waited for, and one that
// serves goes on when this process ends, which is once it listens. `node terminal.ts <program> <argument>...`
// What it prints goes to files as well, which have the name RUN_NAME if that is set.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What Wakala says once all that it serves listens: `dev` and `emulate`, `serve`, `emulate --json`. */
const READY = /Ctrl-C stops (it|them)\.|"event":"ready"|\bready\b.*listen|^\{"emulators":/m;
/** Programs that serve only while they run themselves, such as a test suite. */
const ENDS = /^(--test|test|vitest)$/;
const POLL_MS = 20;

const [program = '', ...args] = process.argv.slice(2);
const { RUNNING = '', OWN_PORTS = '', READY_TEXT: readyText } = process.env;
const run = process.env['RUN_NAME'] || randomUUID();
const mayServe = !args.some((arg) => ENDS.test(arg));

mkdirSync(RUNNING, { recursive: true });
const files = ['out', 'err'].map((stream) => path.join(RUNNING, `${run}.${stream}`));
const outputs = files.map((file) => openSync(file, 'a'));
const child = spawn(program, args, {
  detached: true,
  stdio: ['inherit', outputs[0], outputs[1]],
  env: { ...process.env, OWN_PORTS_RUN: run },
});
// A program that was started under the same name before has printed into the same files.
const before = files.map((file) => statSync(file).size);
const shown = [...before];
const record = path.join(RUNNING, `${run}.json`);
// For whoever ends it with the page, and reads what else it prints.
writeFileSync(record, JSON.stringify({ pid: child.pid, files }));
let end: number | undefined;
const ended = new Promise<void>((resolve) => {
  const leave = (status: number) => {
    end = status;
    resolve();
  };
  child.once('error', ({ message }) => {
    process.stderr.write(`${program}: ${message}\n`);
    leave(127);
  });
  child.once('exit', (status) => leave(status ?? 1));
});

while (end === undefined) {
  show();
  if (mayServe && serves()) break;
  await Promise.race([ended, sleep(POLL_MS)]);
}
show();
for (const output of outputs) closeSync(output);
if (end === undefined) child.unref();
else rmSync(record);
process.exitCode = end ?? 0;

/** Passes on what the program printed since. */
function show(): void {
  for (const [i, stream] of [process.stdout, process.stderr].entries()) {
    const text = readFileSync(files[i] ?? '').subarray(shown[i]);
    shown[i] = (shown[i] ?? 0) + text.length;
    if (text.length > 0) stream.write(text);
  }
}

function serves(): boolean {
  const printed = files.map((file, i) => readFileSync(file).subarray(before[i]).toString()).join('');
  if (READY.test(printed) || (readyText !== undefined && printed.includes(readyText))) return true;
  return !isWakala(printed) && listens();
}

/** Its screen or log is to come yet: it says itself when it is ready. */
function isWakala(printed: string): boolean {
  const command = args.join(' ');
  return /\bcli\.(ts|js)\b|\bwakala\b/.test(command) || /wakala (dev|emulate)/.test(printed);
}

function listens(): boolean {
  if (!existsSync(OWN_PORTS)) return false;
  return readdirSync(OWN_PORTS).some((port) => readFileSync(path.join(OWN_PORTS, port), 'utf8').endsWith(run));
}
