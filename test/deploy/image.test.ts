import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { assignments, contextFiles, parseDockerfile, substitute } from '../../deploy/test/dockerfile.ts';
import { DEFAULT_ADDRESSES } from '../../src/config/schema.ts';
import { ROOT, textOf } from '../docs/documents.ts';
import { temporaryDirectory } from '../support/proxy-process.ts';

interface Manifest {
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(textOf('package.json')) as Manifest;
const lock = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, { version?: string }> };
const file = parseDockerfile(textOf('deploy/Dockerfile'));
const final = file.stages.at(-1)!;
const stageOf = (name: string) => file.stages.find((stage) => stage.name === name)!;
const of = (name: string) => final.instructions.filter((one) => one.name === name).map(({ rest }) => rest);
const list = (text: string) => JSON.parse(text.slice(text.indexOf('['))) as string[];

/** What npm runs in the build, without what is mounted for it. */
const commands = file.stages.flatMap(({ instructions }) =>
  instructions.filter(({ name }) => name === 'RUN').map(({ rest }) => rest.replace(/^--mount=\S+ /, '')),
);

describe('the base images', () => {
  test('are arguments, pinned by digest', () => {
    expect([...file.arguments.keys()]).toEqual(['BUILDER', 'BASE']);
    for (const image of file.arguments.values()) expect(image).toMatch(/^[a-z.]+\/\S+:[\w.-]+@sha256:[0-9a-f]{64}$/);
    expect(file.stages.map(({ base }) => base)).toEqual(['${BUILDER}', 'manifest', 'manifest', '${BASE}']);
  });

  test('have the Node that the project is developed with, the one for the build to the last digit', () => {
    const { version = '' } = lock.packages['node_modules/node']!;
    expect(file.arguments.get('BUILDER')).toContain(`/node:${version}-`);
    expect(file.arguments.get('BASE')).toContain(`/nodejs${version.split('.')[0]}-`);
  });
});

describe('the final stage', () => {
  test('runs as a user without rights, and nothing runs while it is built', () => {
    expect(of('USER')).toEqual(['65532:65532']);
    expect(of('RUN')).toEqual([]);
    expect(of('ADD')).toEqual([]);
    expect(of('VOLUME')).toEqual([]);
  });

  test('takes from the other stages alone, and leaves everything to root', () => {
    expect(of('COPY').filter((rest) => !rest.startsWith('--from=') || rest.includes('--chown'))).toEqual([]);
  });

  test('starts the proxy without a shell, and stops it with SIGTERM', () => {
    expect(list(of('ENTRYPOINT')[0]!)).toEqual(['/nodejs/bin/node', '/app/dist/cli.js']);
    expect(list(of('CMD')[0]!)).toEqual(['serve']);
    expect(of('STOPSIGNAL')).toEqual(['SIGTERM']);
  });

  test('asks for its health with its own command', () => {
    expect(list(of('HEALTHCHECK')[0]!)).toEqual(['/nodejs/bin/node', '/app/dist/cli.js', 'healthcheck']);
  });

  test('names the ports that the configuration has by default', () => {
    const ports = Object.values(DEFAULT_ADDRESSES).map((address) => address.split(':')[1]);
    expect(of('EXPOSE')).toEqual([ports.join(' ')]);
  });

  test('says where the configuration is, and that it is production', () => {
    expect(of('ENV').flatMap(assignments)).toEqual([
      ['NODE_ENV', 'production'],
      ['WAKALA_CONFIG', '/etc/wakala/proxy.config.yaml'],
    ]);
  });

  test('is labelled as package.json has it', () => {
    const values = new Map(of('ARG').flatMap(assignments));
    const labels = new Map(of('LABEL').flatMap(assignments));
    const label = (name: string) => substitute(labels.get(`org.opencontainers.image.${name}`)!, values);
    expect(label('version')).toBe(manifest.version);
    expect(label('description')).toBe(manifest.description);
    expect(label('licenses')).toBe(manifest.license);
    expect(labels.get('org.opencontainers.image.revision')).toBe('${WAKALA_COMMIT}');
    expect(labels.get('org.opencontainers.image.source')).toBe('${WAKALA_SOURCE}');
  });
});

describe('the build', () => {
  test('installs what the lock file says, and runs no script of a package', () => {
    const npm = commands.filter((command) => /\bnpm (?!run build)/.test(command));
    expect(npm).toEqual(['npm ci --omit=dev --ignore-scripts', 'npm ci --ignore-scripts']);
  });

  test('installs before it has the sources, so that a change of them installs nothing anew', () => {
    const { instructions } = stageOf('build');
    const at = (pattern: RegExp) => instructions.findIndex(({ name, rest }) => pattern.test(`${name} ${rest}`));
    expect(at(/^RUN .*npm ci/)).toBeLessThan(at(/^COPY src /));
    expect(stageOf('manifest').instructions.filter(({ name }) => name === 'COPY')).toEqual([
      { name: 'COPY', rest: 'package.json package-lock.json ./' },
    ]);
  });

  test('takes no secret, in an argument, a variable or a file', () => {
    const named = file.stages.flatMap(({ instructions }) =>
      instructions
        .filter(({ name }) => ['ARG', 'ENV', 'LABEL'].includes(name))
        .flatMap(({ rest }) => assignments(rest)),
    );
    expect(named.map(([name]) => name).filter((name) => /KEY|SECRET|TOKEN|PASS|AUTH/i.test(name))).toEqual([]);
    expect(contextFiles(file).filter((name) => /^\.|npmrc|\.env|\.pem|\*/.test(name))).toEqual([]);
  });

  test('makes dependencies of the optional peers, and leaves the others as they are', () => {
    const folder = temporaryDirectory();
    cpSync(path.join(ROOT, 'package.json'), path.join(folder, 'package.json'));
    const script = commands.find((command) => command.startsWith('node --eval'))!;
    const run = spawnSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' });
    expect(run.stderr).toBe('');
    const changed = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Partial<Manifest>;
    const peers = Object.keys(manifest.peerDependencies);
    expect(changed.dependencies).toEqual({ ...manifest.dependencies, ...manifest.peerDependencies });
    expect(changed.peerDependencies).toBeUndefined();
    const others = Object.entries(manifest.devDependencies).filter(([name]) => !peers.includes(name));
    expect(changed.devDependencies).toEqual(Object.fromEntries(others));
    for (const peer of peers) expect(lock.packages[`node_modules/${peer}`]?.version, peer).toBeDefined();
  });
});

describe('the build context', () => {
  const lines = textOf('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

  test('is closed, save for exactly what the Dockerfile copies', () => {
    expect(lines[0]).toBe('*');
    expect(lines.slice(1).filter((line) => !line.startsWith('!'))).toEqual([]);
    expect(new Set(lines.slice(1).map((line) => line.slice(1)))).toEqual(new Set(contextFiles(file)));
    for (const name of contextFiles(file)) expect(existsSync(path.join(ROOT, name)), name).toBe(true);
  });
});

test('the reader of Dockerfiles refuses what it does not know', () => {
  expect(() => parseDockerfile('RUN true\n')).toThrow('RUN in front of the first FROM');
  expect(() => parseDockerfile('from scratch\n')).toThrow('no instruction: from scratch');
});
