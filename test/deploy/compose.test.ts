import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { validateConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/errors.ts';
import { ROOT, textOf } from '../docs/documents.ts';
import { temporaryDirectory } from '../support/proxy-process.ts';
import { hasTool } from '../support/tools.ts';

/** Where the paths of deploy/compose.yaml, and of what is laid over it, start. */
const FOLDER = path.join(ROOT, 'deploy');

interface SecretUse {
  readonly source: string;
  readonly target?: string;
}

interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly secrets?: readonly (string | SecretUse)[];
  readonly networks?: readonly string[];
  readonly group_add?: readonly string[];
  readonly profiles?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
  readonly mem_limit?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks?: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

/** Reads a Compose file of `deploy/`. */
function readCompose(file: string): Compose {
  return parse(textOf(`deploy/${file}`)) as Compose;
}

/** What a service finds at which place: folders of the repository, by their path in the container. */
function mountsOf({ volumes = [] }: Service): ReadonlyMap<string, string> {
  return new Map(
    volumes.map((volume) => {
      const [source = '', target = ''] = volume.split(':');
      return [target, path.join(FOLDER, source)];
    }),
  );
}

/** The names of the secrets that a service is given, by their path in the container. */
function secretsOf({ secrets = [] }: Service): ReadonlyMap<string, string> {
  return new Map(
    secrets.map((use) => {
      const { source, target = source } = typeof use === 'string' ? { source: use } : use;
      return [path.posix.resolve('/run/secrets', target), source];
    }),
  );
}

/** A duration as Compose writes it, in milliseconds. */
function milliseconds(duration = ''): number {
  const [, count, unit] = /^(\d+)(ms|s|m)$/.exec(duration) ?? [];
  return Number(count) * ({ ms: 1, s: 1000, m: 60_000 }[unit ?? ''] ?? NaN);
}

const COMPOSE = readCompose('compose.yaml');
const LIVE = readCompose('compose/live.yaml');
const SERVICES = Object.entries(COMPOSE.services);

/** The configuration in a folder of `deploy/compose`, with made-up secrets where the container has its own. */
function examined(folder: string) {
  const file = `deploy/compose/${folder}/proxy.config.yaml`;
  return validateConfig('/etc/wakala/proxy.config.yaml', {
    env: {},
    fileMode: () => 0o400,
    readFile: (name) =>
      name.startsWith('/run/secrets/') ? `made-up-${path.basename(name)}-for-the-check\n` : textOf(file),
  });
}

/** What Debian's docker-compose makes of the files. It is older than `name`, which is left out. */
function config(files: readonly string[], env: Record<string, string> = {}) {
  const folder = temporaryDirectory();
  const copies = files.map((file, i) => {
    const copy = path.join(folder, `${i}.yaml`);
    writeFileSync(copy, textOf(`deploy/${file}`).replace(/^name: .*$/m, ''));
    return ['-f', copy];
  });
  const args = ['--project-directory', FOLDER, ...copies.flat(), 'config', '--quiet'];
  const { PATH = '' } = process.env;
  return spawnSync('docker-compose', args, { encoding: 'utf8', env: { PATH, ...env } });
}

describe('deploy/compose.yaml', () => {
  it.runIf(hasTool('docker-compose'))('is taken by Compose, alone and with live.yaml over it', () => {
    expect(config(['compose.yaml'])).toMatchObject({ status: 0, stderr: '' });
    const both = ['compose.yaml', 'compose/live.yaml'];
    expect(config(both, { SECRETS_GID: '1000' })).toMatchObject({ status: 0, stderr: '' });
    expect(config(both).stderr).toContain('the group that may read the secrets');
  });

  it('mounts and builds from what is there', () => {
    const named = [
      ...[...SERVICES, ...Object.entries(LIVE.services)].flatMap(([, service]) => [...mountsOf(service).values()]),
      ...Object.values(COMPOSE.secrets).map(({ file }) => path.join(FOLDER, file)),
    ];
    expect(named.filter((name) => !existsSync(name))).toEqual([]);
    const { context = '', dockerfile = '' } = COMPOSE.services['wakala']?.build ?? {};
    expect(path.join(FOLDER, context)).toBe(ROOT);
    expect(dockerfile).toBe('deploy/Dockerfile');
  });

  it.each(SERVICES)('lets %s write nowhere and rise to nothing', (_, service) => {
    expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
    expect(service.mem_limit).toMatch(/^\d+m$/);
  });

  it('connects the app with Wakala and Wakala with Redis, and nothing else', () => {
    const shared = SERVICES.flatMap(([one, { networks = [] }]) =>
      SERVICES.filter(
        ([other, service]) => other > one && service.networks?.some((name) => networks.includes(name)),
      ).map(([other]) => [one, other]),
    );
    expect(shared).toEqual([
      ['app', 'wakala'],
      ['redis', 'wakala'],
    ]);
    expect(COMPOSE.networks).toMatchObject({ payments: { internal: true }, tokens: { internal: true } });
    const ports = SERVICES.flatMap(([, service]) => service.ports ?? []);
    expect(ports).toEqual(['127.0.0.1:3000:3000', '127.0.0.1:9901:9901']);
  });

  it('waits for the health of what has a healthcheck', () => {
    for (const [, { depends_on: needs = {} }] of SERVICES) {
      const waited = Object.entries(needs).filter(([, { condition }]) => condition === 'service_healthy');
      for (const [name] of waited) expect(COMPOSE.services[name]?.healthcheck, name).toBeDefined();
    }
  });

  it('gives Wakala more time to stop than drain_timeout', () => {
    const grace = milliseconds(COMPOSE.services['wakala']?.stop_grace_period);
    for (const folder of ['emulated', 'live']) expect(grace).toBeGreaterThan(examined(folder).config!.drainTimeoutMs);
  });
});

describe.each([
  ['emulated', COMPOSE, []],
  ['live', LIVE, COMPOSE.services['wakala']?.secrets ?? []],
] as const)('deploy/compose/%s', (folder, { services, secrets }, below) => {
  it('passes the check, which warns only that Redis is used without TLS', () => {
    const { problems, warnings } = examined(folder);
    expect(problems.map(formatProblem)).toEqual([]);
    expect(warnings.map(({ key }) => key)).toEqual(['token_store.redis']);
  });

  it('reads the secrets that Wakala is given, and no others', () => {
    const given = secretsOf({ secrets: [...below, ...(services['wakala']?.secrets ?? [])] });
    const read = examined(folder).files.filter((name) => name.startsWith('/run/'));
    expect(read.sort()).toEqual([...given.keys()].sort());
    for (const source of given.values()) expect(Object.keys(secrets)).toContain(source);
  });
});

describe('deploy/compose/live.yaml', () => {
  it('has every secret of compose.yaml, and all of them from where git ignores them', () => {
    expect(Object.keys(LIVE.secrets)).toEqual(expect.arrayContaining(Object.keys(COMPOSE.secrets)));
    const files = Object.values(LIVE.secrets).map(({ file }) => path.join('deploy', file));
    const { stdout } = spawnSync('git', ['check-ignore', ...files], { cwd: ROOT, encoding: 'utf8' });
    expect(stdout.trim().split('\n')).toEqual(files);
  });

  it('lets every service that has secrets read them, and starts no emulator', () => {
    const readers = SERVICES.filter(([, { secrets }]) => secrets !== undefined).map(([name]) => name);
    for (const name of readers) expect(LIVE.services[name]?.group_add, name).toHaveLength(1);
    expect(LIVE.services['emulators']?.profiles).toEqual(['emulated']);
  });
});

describe('deploy/compose/secrets/emulated', () => {
  it('is recognizably fake', () => {
    for (const [name, { file }] of Object.entries(COMPOSE.secrets)) {
      expect(readFileSync(path.join(FOLDER, file), 'utf8'), name).toMatch(/^made-up-.*-for-the-emulators\n$/);
    }
  });
});
