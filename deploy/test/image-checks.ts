import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Podman } from './podman.ts';
import type { Report } from './report.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Programs that run what they are told, or fetch it. */
const TOOLS =
  /^(sh|[abdz]sh|bash|ksh|busybox|toybox|env|perl\d*|python\d*|npm|npx|corepack|apt(-get)?|dpkg|curl|wget|openssl)$/;

const MODULES = '/app/node_modules';

interface Manifest {
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

/** What the image is made of, and what it says of itself. */
export async function checkImage({ root, settings }: Podman, report: Report, commit: string): Promise<void> {
  const manifest = json<Manifest>(path.join(ROOT, 'package.json'));
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).map((entry) => {
    const file = path.join(entry.parentPath, entry.name);
    return { name: entry.name, path: file.slice(root.length), status: lstatSync(file) };
  });
  // Time zones have many names each.
  const files = [
    ...new Map(entries.filter(({ status }) => status.isFile()).map((file) => [file.status.ino, file])).values(),
  ];
  const inApp = entries.filter((entry) => entry.path.startsWith('/app/'));

  await report.check('the image has no shell, no package manager and no download tool', () => {
    const isProgram = (mode: number) => (mode & 0o111) !== 0;
    const found = entries.filter(
      ({ name, status }) => !status.isDirectory() && TOOLS.test(name) && isProgram(status.mode),
    );
    assert.deepEqual(
      found.map((entry) => entry.path),
      [],
    );
  });
  await report.check('nothing in it is setuid or setgid', () => {
    assert.deepEqual(
      files.filter(({ status }) => (status.mode & 0o6000) !== 0).map((file) => file.path),
      [],
    );
  });
  await report.check('/app belongs to root, and everyone may read it and nobody else write it', () => {
    const odd = inApp.filter(({ status }) => {
      const wanted = status.isDirectory() ? 0o555 : 0o444;
      return (
        !status.isSymbolicLink() &&
        (status.uid !== 0 || (status.mode & wanted) !== wanted || (status.mode & 0o022) !== 0)
      );
    });
    assert.deepEqual(
      odd.map((entry) => entry.path),
      [],
    );
  });
  await report.check('/app holds the package and its dependencies, and nothing else', () => {
    const expected = ['LICENSE', 'dist', 'node_modules', 'package.json', 'proxy.config.schema.json'];
    assert.deepEqual(readdirSync(path.join(root, 'app')).sort(), expected);
    assert.equal(
      readFileSync(path.join(root, 'app/package.json'), 'utf8'),
      readFileSync(path.join(ROOT, 'package.json'), 'utf8'),
    );
    const top = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];
    assert.deepEqual(
      top.filter((name) => !existsSync(path.join(root, MODULES, name))),
      [],
    );
  });
  await report.check('each package has the version of the lock file, and none is of the development alone', () =>
    checkLocked(root, Object.keys(manifest.peerDependencies)),
  );
  await report.check('/app is JavaScript alone, so it is the same for every platform', () => {
    assert.deepEqual(
      inApp.filter((entry) => entry.path.endsWith('.node')).map((entry) => entry.path),
      [],
    );
  });
  await report.check('what the build was lent is not in it: npm settings, caches, sources', () => {
    const left = /(^|\/)(\.npmrc|\.npm|_cacache|\.git|src\/cli\.ts|\.env)$/;
    assert.deepEqual(
      inApp.filter((entry) => left.test(entry.path) && !entry.path.startsWith(MODULES)),
      [],
    );
    assert.equal(existsSync(path.join(root, 'root/.npmrc')), false);
  });
  await report.check('it runs as 65532, and says so to whoever starts it', () => {
    assert.equal(settings.user, '65532:65532');
    assert.match(readFileSync(path.join(root, 'etc/passwd'), 'utf8'), /^nonroot:x:65532:65532:/m);
  });
  await report.check('entrypoint, command, environment, ports, stop signal and health check are as promised', () => {
    assert.deepEqual(settings.entrypoint, ['/nodejs/bin/node', '/app/dist/cli.js']);
    assert.deepEqual(settings.command, ['serve']);
    assert.ok(settings.environment.includes('NODE_ENV=production'));
    assert.ok(settings.environment.includes('WAKALA_CONFIG=/etc/wakala/proxy.config.yaml'));
    assert.deepEqual([...settings.ports].sort(), ['8080/tcp', '9901/tcp']);
    assert.equal(settings.stopSignal, 'SIGTERM');
    assert.deepEqual(settings.healthcheck, ['/nodejs/bin/node', '/app/dist/cli.js', 'healthcheck']);
  });
  await report.check('its labels say what it is, and from which commit', () => {
    const label = (name: string) => settings.labels[`org.opencontainers.image.${name}`];
    assert.deepEqual(['title', 'description', 'licenses', 'version', 'revision', 'source'].map(label), [
      'wakala',
      manifest.description,
      manifest.license,
      manifest.version,
      commit,
      'https://git.example/wakala',
    ]);
  });

  const sizeOf = (list: typeof files) => list.reduce((sum, { status }) => sum + status.size, 0) / 1e6;
  const appFiles = files.filter((file) => file.path.startsWith('/app/'));
  report.say(
    `        image: ${sizeOf(files).toFixed(0)} MB in ${files.length} files, ` +
      `of them /app ${sizeOf(appFiles).toFixed(0)} MB in ${appFiles.length}`,
  );
}

function checkLocked(root: string, peers: readonly string[]): string {
  interface Lock {
    readonly packages: Readonly<Record<string, { version: string; integrity: string; dev?: boolean; peer?: boolean }>>;
  }
  const locked = json<Lock>(path.join(ROOT, 'package-lock.json')).packages;
  const installed = json<Lock>(path.join(root, MODULES, '.package-lock.json')).packages;
  for (const [at, { version, integrity }] of Object.entries(installed)) {
    assert.equal(version, locked[at]?.version, at);
    assert.equal(integrity, locked[at]?.integrity, at);
    assert.equal(json<{ version: string }>(path.join(root, 'app', at, 'package.json')).version, version, at);
  }
  for (const [at, entry] of Object.entries(locked)) {
    if (at !== '' && entry.dev !== true) assert.ok(installed[at], `${at} is missing`);
  }
  for (const peer of peers) assert.ok(installed[`node_modules/${peer}`], `${peer} is missing`);
  const extra = Object.keys(installed).filter((at) => locked[at]?.dev === true && !at.includes('@opentelemetry/'));
  assert.deepEqual(extra, []);
  return `${Object.keys(installed).length} packages`;
}

function json<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}
