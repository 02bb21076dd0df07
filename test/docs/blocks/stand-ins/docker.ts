import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  type Container,
  execute,
  folderOf,
  isRunning,
  load,
  logsOf,
  publish,
  run,
  signal,
  start,
  stop,
} from '../played/container.ts';
import { playCompose } from '../played/compose.ts';
import { Images } from '../played/images.ts';
import { expectFile, expectThat, play, print, type Subcommand } from '../played/play.ts';

/**
 * docker (and podman) without an engine: images are names that the page built, and a container of Wakala's image runs as
 * a process that has the container's arguments, variables, files and ports alone.
 */

const images = new Images();

const BUILD = {
  file: { type: 'string', short: 'f' },
  tag: { type: 'string', short: 't', multiple: true },
  'build-arg': { type: 'string', multiple: true },
  platform: { type: 'string' },
  pull: { type: 'boolean' },
  'no-cache': { type: 'boolean' },
  target: { type: 'string' },
  iidfile: { type: 'string' },
} as const;

/** What hardens a container, or bounds it, and changes nothing about what runs. */
const LIMITS = {
  'read-only': { type: 'boolean' },
  'cap-drop': { type: 'string', multiple: true },
  'security-opt': { type: 'string', multiple: true },
  memory: { type: 'string', short: 'm' },
  user: { type: 'string', short: 'u' },
  'group-add': { type: 'string', multiple: true },
  tmpfs: { type: 'string', multiple: true },
  init: { type: 'boolean' },
  restart: { type: 'string' },
  network: { type: 'string' },
  'stop-timeout': { type: 'string' },
  userns: { type: 'string' },
  'add-host': { type: 'string', multiple: true },
} as const;

const RUN = {
  ...LIMITS,
  rm: { type: 'boolean' },
  detach: { type: 'boolean', short: 'd' },
  interactive: { type: 'boolean', short: 'i' },
  tty: { type: 'boolean', short: 't' },
  name: { type: 'string' },
  publish: { type: 'string', short: 'p', multiple: true },
  volume: { type: 'string', short: 'v', multiple: true },
  mount: { type: 'string', multiple: true },
  env: { type: 'string', short: 'e', multiple: true },
  'env-file': { type: 'string', multiple: true },
} as const;

const COMMANDS: Readonly<Record<string, Subcommand>> = {
  build: { options: BUILD, run: build },
  'buildx build': { options: { ...BUILD, push: { type: 'boolean' }, load: { type: 'boolean' } }, run: build },
  push: { run: ([image = '']) => void images.get(image) },
  tag: { run: ([image = '', other = '']) => images.tag(image, other) },
  run: { options: RUN, runsCommand: true, run: runContainer },
  exec: { runsCommand: true, run: ([name = '', ...command]) => void (process.exitCode = execute(load(name), command)) },
  logs: {
    options: { follow: { type: 'boolean', short: 'f' }, tail: { type: 'string' } },
    run: ([name = '']) => print(logsOf(load(name).name)),
  },
  stop: { options: { time: { type: 'string', short: 't' } }, run: ([name = '']) => stop(name) },
  kill: {
    options: { signal: { type: 'string', short: 's' } },
    run: ([name = ''], { signal: which = 'KILL' }) => signal(name, String(which)),
  },
  rm: { options: { force: { type: 'boolean', short: 'f' } }, run: remove },
};

if (process.argv[2] === 'compose') await playCompose(images);
else await play('docker', COMMANDS);

function build([context = '']: readonly string[], values: Readonly<Record<string, unknown>>): void {
  const { file = path.join(context, 'Dockerfile'), tag = [], 'build-arg': args = [] } = values;
  expectThat((tag as string[]).length > 0, 'the image gets no name');
  for (const name of tag as string[]) images.build(name, String(file), context, args as string[]);
}

function runContainer([image = '', ...args]: readonly string[], values: Readonly<Record<string, unknown>>): void {
  const { WAKALA_COMMIT: commit } = images.get(image);
  const { publish: ports = [], detach, name: given } = values;
  const name = typeof given === 'string' ? given : `container-${process.pid}`;
  const container: Container = {
    name,
    args: args.length > 0 ? args : ['serve'],
    env: environment(values),
    mounts: new Map([...mounts(values), ...commitFile(name, commit)]),
  };
  process.exitCode = detach === true ? start(container) : run(container);
  if (detach === true) {
    expectThat(process.exitCode === 0, logsOf(name));
    print(`${createHash('sha256').update(name).digest('hex')}\n`);
  }
  if (!isRunning(name)) return;
  for (const port of ports as string[]) {
    const [inside, outside = inside] = port.split(':').reverse();
    publish(name, Number(inside), Number(outside));
  }
}

async function remove([name = '']: readonly string[], { force }: Readonly<Record<string, unknown>>): Promise<void> {
  expectThat(load(name).name === name && (force === true || !isRunning(name)), `container ${name} is running`);
  if (isRunning(name)) await stop(name);
}

/** The file in which a build notes its commit, as a mount over that of the sources, which have none. */
function commitFile(name: string, commit = ''): [string, string][] {
  if (commit === '') return [];
  const file = path.join(folderOf(name, 'image'), 'commit');
  writeFileSync(file, commit);
  return [[path.resolve(import.meta.dirname, '../../../../src/commit'), file]];
}

function environment({ env = [], 'env-file': files = [] }: Readonly<Record<string, unknown>>): Record<string, string> {
  for (const file of files as string[]) expectFile(file);
  const pairs = (env as string[]).map((one) => {
    const [, name = '', value] = /^(\w+)(?:=([^]*))?$/.exec(one) ?? [];
    const own = value ?? process.env[name];
    expectThat(name !== '' && own !== undefined, `the variable ${one} is not set`);
    return [name, own] as const;
  });
  return Object.fromEntries(pairs);
}

function mounts({ volume = [], mount = [] }: Readonly<Record<string, unknown>>): Map<string, string> {
  const long = (mount as string[]).map((text) => {
    const keys = new Map(text.split(',').map((pair) => pair.split('=') as [string, string]));
    return [keys.get('target') ?? keys.get('dst') ?? '', keys.get('source') ?? keys.get('src') ?? ''] as const;
  });
  const short = (volume as string[]).map((text) => {
    const [source = '', target = ''] = text.split(':');
    return [target, source] as const;
  });
  for (const [target, source] of [...long, ...short]) {
    expectThat(path.isAbsolute(source) && path.isAbsolute(target), `${source}:${target}: both paths are absolute`);
    expectFile(source);
  }
  return new Map([...long, ...short]);
}
