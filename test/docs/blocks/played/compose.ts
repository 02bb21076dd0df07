import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import type { Compose, Service } from '../../../deploy/compose-file.ts';
import { freePort } from '../../../support/free-port.ts';
import {
  type Container,
  environmentOf,
  execute,
  folderOf,
  isRunning,
  logsOf,
  publish,
  signal,
  start,
  stop,
} from './container.ts';
import type { Images } from './images.ts';
import { expectFile, expectThat, play, print } from './play.ts';

/**
 * `docker compose`: the files are read by the real Compose, and the services run as processes of one network. Services
 * of other images than Wakala's are those of IMAGES.
 */

const PROJECT = 'compose';
/** Images of others, and the program in them that runs here. */
const IMAGES: Readonly<Record<string, string>> = { 'node:24-slim': 'node', 'redis:8-alpine': 'redis-server' };
const REDIS_PORT = 6379;
const UP = { build: { type: 'boolean' }, detach: { type: 'boolean', short: 'd' }, wait: { type: 'boolean' } } as const;
const LOGS = { follow: { type: 'boolean', short: 'f' }, tail: { type: 'string', short: 'n' } } as const;

export async function playCompose(images: Images): Promise<void> {
  process.argv.splice(2, 1);
  const files: string[] = [];
  while (process.argv[2] === '-f') files.push(process.argv.splice(2, 2)[1] ?? '');
  const compose = read(files.length > 0 ? files : ['compose.yaml']);
  const container = (name: string) => containerOf(name, compose);
  await play('docker compose', {
    config: { options: { quiet: { type: 'boolean', short: 'q' } }, run: () => undefined },
    build: { run: () => build(compose, images) },
    up: {
      options: UP,
      run: async (_, values) => {
        if (values['build'] === true) build(compose, images);
        for (const name of inOrder(compose)) await bringUp(name, compose, images);
      },
    },
    down: { options: { volumes: { type: 'boolean', short: 'v' } }, run: () => down(compose) },
    stop: { run: ([name = '']) => stop(container(name).name) },
    restart: { run: ([name = '']) => bringUp(name, compose, images) },
    kill: {
      options: { signal: { type: 'string', short: 's' } },
      run: ([name = ''], { signal: which = 'KILL' }) => signal(container(name).name, String(which)),
    },
    logs: { options: LOGS, run: ([name = '']) => print(logsOf(container(name).name)) },
    exec: {
      options: { 'no-TTY': { type: 'boolean', short: 'T' } },
      runsCommand: true,
      run: ([name = '', ...command]) => void (process.exitCode = execute(container(name), command)),
    },
  });
}

/** The files laid over each other, with absolute paths. `name` is younger than the Compose that Debian has. */
function read(files: readonly string[]): Compose {
  const copies = files.flatMap((file) => {
    expectFile(file);
    const copy = path.join(folderOf(PROJECT, 'files'), path.basename(file));
    writeFileSync(copy, readFileSync(file, 'utf8').replace(/^name: .*$/m, ''));
    return ['-f', copy];
  });
  const args = ['--project-directory', path.dirname(path.resolve(files[0] ?? '')), ...copies, 'config'];
  const env = { ...process.env, PATH: '/usr/bin:/bin' };
  const { status, stdout, stderr } = spawnSync('docker-compose', args, { encoding: 'utf8', env });
  expectThat(status === 0, stderr);
  return parse(stdout) as Compose;
}

function build({ services }: Compose, images: Images): void {
  for (const { image = '', build: from } of Object.values(services)) {
    if (from !== undefined) images.build(image, path.join(from.context, from.dockerfile), from.context, []);
  }
}

/** Services that no profile holds back, each after those it depends on. */
function inOrder({ services }: Compose): string[] {
  const active = Object.entries(services).filter(([, { profiles = [] }]) => profiles.length === 0);
  const order: string[] = [];
  const add = (name: string) => {
    const needs = services[name]?.depends_on ?? [];
    for (const other of Array.isArray(needs) ? (needs as string[]) : Object.keys(needs)) add(other);
    if (!order.includes(name)) order.push(name);
  };
  for (const [name] of active) add(name);
  return order;
}

async function bringUp(name: string, compose: Compose, images: Images): Promise<void> {
  const service = compose.services[name] as Service;
  const container = containerOf(name, compose);
  if (isRunning(container.name)) await stop(container.name);
  if (container.program === 'redis-server') {
    await startRedis(container, service);
    return;
  }
  if (container.program === undefined) images.get(service.image ?? '');
  expectThat(start(container) === 0, `${name} does not start:\n${logsOf(container.name)}`);
  const [kind, ...check] = service.healthcheck?.test ?? [];
  if (container.program === undefined && kind === 'CMD' && check[1] === '/app/dist/cli.js') {
    expectThat(execute(container, check) === 0, `${name} is not healthy:\n${logsOf(container.name)}`);
  }
  for (const port of service.ports ?? []) {
    const [inside, outside] = port.replace('/tcp', '').split(':').reverse();
    publish(container.name, Number(inside), Number(outside));
  }
}

function containerOf(name: string, compose: Compose): Container {
  const service = compose.services[name];
  expectThat(service !== undefined, `no such service: ${name}`);
  const { image = '', command = [], environment = {}, volumes = [], secrets = [], working_dir: cwd } = service;
  const program = IMAGES[image];
  expectThat(program !== undefined || image.startsWith('wakala:'), `nobody knows the image ${image}`);
  const folders = volumes.map((volume) => volume.split(':').slice(0, 2).reverse() as [string, string]);
  const files = secrets.map((use): [string, string] => {
    const { source, target = source } = typeof use === 'string' ? { source: use } : use;
    const { file = '' } = compose.secrets[source] ?? {};
    expectFile(file);
    return [path.posix.resolve('/run/secrets', target), file];
  });
  const mounts = new Map([...folders, ...files]);
  const here = mounts.get(cwd ?? '');
  return {
    name: `${PROJECT}-${name}`,
    ...(program === undefined ? { args: command } : { program, args: command.slice(1) }),
    env: environment,
    mounts,
    network: PROJECT,
    ...(here === undefined ? {} : { cwd: here }),
  };
}

/** Redis itself, by its own command, which ends in `redis-server`; on a free port of this machine. */
async function startRedis(container: Container, { command = [] }: Service): Promise<void> {
  const port = await freePort();
  const data = folderOf(container.name, 'data');
  const own = `redis-server --port ${port} --bind 127.0.0.1 --dir ${data}`;
  const [shell = '', ...args] = command.map((word) => {
    const files = [...container.mounts].reduce((text, [inside, outside]) => text.replaceAll(inside, outside), word);
    return files.replaceAll('$$', '$').replace('redis-server', own);
  });
  const env = { ...environmentOf(container), PATH: '/usr/bin:/bin', RUN_NAME: container.name };
  const terminal = path.resolve(import.meta.dirname, '../terminal.ts');
  const ports = folderOf(PROJECT, 'ports');
  mkdirSync(ports, { recursive: true });
  rmSync(path.join(ports, String(REDIS_PORT)), { force: true });
  spawnSync(process.execPath, [terminal, shell, ...args], {
    env: { ...env, READY_TEXT: 'Ready to accept connections' },
  });
  writeFileSync(path.join(ports, String(REDIS_PORT)), `${port} 0 ${container.name}`);
}

async function down(compose: Compose): Promise<void> {
  for (const name of Object.keys(compose.services)) {
    const own = `${PROJECT}-${name}`;
    if (isRunning(own)) await stop(own);
  }
}
