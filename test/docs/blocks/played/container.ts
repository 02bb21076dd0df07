import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gone } from '../processes.ts';
import { expectThat } from './play.ts';

/**
 * A container: a program with the container's arguments, variables, files and ports, and none of this machine's. Its
 * files are where they are mounted from, so it sees a change as through a mount.
 */
export interface Container {
  readonly name: string;
  /** What the image runs; Wakala's unless said otherwise. */
  readonly program?: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Folders and files by their path in the container. */
  readonly mounts: ReadonlyMap<string, string>;
  /** Containers of one network find each other's ports; `host` is the page's own. Without it, one of its own. */
  readonly network?: string;
  readonly cwd?: string;
}

const PRELOAD = pathToFileURL(path.resolve(import.meta.dirname, '../own-ports/container-paths.mjs')).href;
const { REPOSITORY = '', RUNNING = '', OWN_PORTS = '', NODE_OPTIONS = '', MACHINE = '' } = process.env;
const CONTAINERS = path.join(path.dirname(REPOSITORY), 'containers');
/** What the image runs, and what documents write for it where they name the program. */
const COMMAND = ['/nodejs/bin/node', '/app/dist/cli.js'];

/** For later commands of the page. */
function save(container: Container): void {
  const { mounts, ...rest } = container;
  writeFileSync(fileOf(container.name), JSON.stringify({ ...rest, mounts: [...mounts] }));
}

/** @throws Error unless the page has made it */
export function load(name: string): Container {
  expectThat(existsSync(fileOf(name)), `there is no container ${name}`);
  const { mounts, ...rest } = JSON.parse(readFileSync(fileOf(name), 'utf8')) as Container & {
    mounts: [string, string][];
  };
  return { ...rest, mounts: new Map(mounts) };
}

function fileOf(name: string): string {
  return path.join(folderOf(name, '.'), 'container.json');
}

/** Signals its process. @throws Error unless it runs */
export function signal(name: string, which: string): void {
  expectThat(isRunning(name), `the container ${name} does not run`);
  process.kill(pidOf(name), `SIG${which.replace(/^SIG/, '')}` as NodeJS.Signals);
}

/** Ends it gently. @throws Error unless it runs */
export async function stop(name: string): Promise<void> {
  signal(name, 'TERM');
  await gone(pidOf(name));
  rmSync(recordOf(name));
}

function pidOf(name: string): number {
  return (JSON.parse(readFileSync(recordOf(name), 'utf8')) as { readonly pid: number }).pid;
}

function recordOf(name: string): string {
  return path.join(RUNNING, `${name}.json`);
}

/** A folder of this container, for what it mounts. */
export function folderOf(name: string, part: string): string {
  const folder = path.join(CONTAINERS, name, part);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Starts it, quietly, and waits until it serves or has ended. @returns its exit code, 0 if it serves */
export function start(container: Container): number {
  save(container);
  return spawn(container, 'ignore');
}

/** Runs it in the foreground. @returns its exit code, 0 if it serves */
export function run(container: Container): number {
  save(container);
  return spawn(container, 'inherit');
}

function spawn(container: Container, stdio: 'ignore' | 'inherit'): number {
  const { program = 'wakala', args, cwd } = container;
  return (
    spawnSync(program, args, { env: environmentOf(container), stdio, ...(cwd === undefined ? {} : { cwd }) }).status ??
    1
  );
}

/** Runs another command in it, which has to be Wakala's. @returns its exit code */
export function execute(container: Container, command: readonly string[]): number {
  const isWakala = COMMAND.every((word, i) => command[i] === word);
  expectThat(isWakala, `the image has no program ${command.join(' ')}; Wakala is ${COMMAND.join(' ')}`);
  const env = { ...environmentOf(container), RUN_NAME: '' };
  return spawnSync('wakala', command.slice(COMMAND.length), { env, stdio: 'inherit' }).status ?? 1;
}

/** All that it printed. */
export function logsOf(name: string): string {
  const files = ['out', 'err'].map((stream) => path.join(RUNNING, `${name}.${stream}`));
  return files.map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : '')).join('');
}

/** Makes a port of it one of this machine. @throws Error if nothing listens on it there */
export function publish(name: string, inside: number, outside: number): void {
  const file = path.join(portsOf(load(name)), String(inside));
  expectThat(existsSync(file), `nothing in ${name} listens on ${inside}:\n${logsOf(name)}`);
  const here = path.join(OWN_PORTS, String(outside));
  rmSync(here, { force: true });
  symlinkSync(file, here);
}

/** The folder of the ports that it sees: see `own-ports/node.mjs`. */
export function portsOf({ name, network = name }: Container): string {
  return network === 'host' ? OWN_PORTS : folderOf(network, 'ports');
}

export function environmentOf(container: Container): NodeJS.ProcessEnv {
  const { name, program, env = {}, mounts } = container;
  const inherited = Object.entries(process.env).filter(([key]) => !isOfThisMachine(key));
  const image = { WAKALA_CONFIG: '/etc/wakala/proxy.config.yaml', NODE_ENV: 'production' };
  return {
    ...Object.fromEntries(inherited),
    ...(program === undefined ? image : {}),
    ...env,
    RUN_NAME: name,
    OWN_PORTS: portsOf(container),
    NODE_OPTIONS: `${NODE_OPTIONS} --import=${PRELOAD}`,
    MOUNTS: [...mounts].map(([inside, outside]) => `${inside.replace(MACHINE, '')}=${outside}`).join('\n'),
  };
}

/** Credentials: a container has what it is given. */
function isOfThisMachine(variable: string): boolean {
  return /(_KEY|_SECRET|_ID|_TOKEN|_PASSWORD|_COUNTRY|_CURRENCY)$/.test(variable);
}

export function isRunning(name: string): boolean {
  return existsSync(recordOf(name));
}
