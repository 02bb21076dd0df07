import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { ConfigMap } from '../server/support.ts';
import { issue } from './certificate.ts';
import { FILE, mpesaWith, problemsOf, type Surroundings, warningsOf } from './validate-text.ts';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;
const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

const CONFIG = resolve(FILE);
const ENVIRONMENT = { production: 'environment: production\n', sandbox: 'environment: sandbox\n' };
const SECRET = mpesaWith().replace('consumer_key: k', 'consumer_key: "${file:/run/keys/k}"');

function surroundings(modes: Surroundings['modes'] = {}): Surroundings {
  return { files: { '/run/keys/k': 'k', '/run/url': 'https://api.example.com' }, modes };
}

/** One problem or warning, where it stands and what it says. */
function written(place: string, file: string, verb = 'write', command = `chmod go-w ${file}`): string {
  const remedy =
    verb === 'write' ? '' : ' (in Kubernetes, set `defaultMode: 0440` on the volume and `fsGroup` on the pod)';
  return `${place}other users of this machine can ${verb} \`${file}\`; run \`${command}\`${remedy}`;
}

function replaced(place: string, file: string, folder: string): string {
  const what = `other users of this machine can replace \`${file}\`, because they can write its folder`;
  return `${place}${what}; run \`chmod go-w ${folder}\` (in Kubernetes, mount it with \`readOnly: true\`)`;
}

const AT_KEY = '5:33 routes./mpesa/*.credentials.consumer_key | routes./mpesa/*.credentials.consumer_key: ';

describe('a file that others can write', () => {
  it.each<[string, Surroundings['modes'], string[]]>([
    ['the configuration', { [CONFIG]: 0o100664 }, [written('1:1  | ', CONFIG)]],
    ['the configuration, for everyone', { [CONFIG]: 0o100646 }, [written('1:1  | ', CONFIG)]],
    ['a secret', { '/run/keys/k': 0o100620 }, [written(AT_KEY, '/run/keys/k')]],
    [
      'a secret that they may read too',
      { '/run/keys/k': 0o100660 },
      [written(AT_KEY, '/run/keys/k', 'read and write', 'chmod 600 /run/keys/k')],
    ],
  ])('is a problem in production, and a warning in the sandbox: %s', (_, modes, expected) => {
    expect(problemsOf(ENVIRONMENT.production + SECRET, surroundings(modes))).toEqual(expected);
    expect(problemsOf(ENVIRONMENT.sandbox + SECRET, surroundings(modes))).toEqual([]);
    expect(warningsOf(ENVIRONMENT.sandbox + SECRET, surroundings(modes))).toEqual(expected);
  });

  it('is a problem even without a secret, because it decides where tokens go', () => {
    const text = ENVIRONMENT.production + mpesaWith('upstream: "${file:/run/url}"');
    expect(problemsOf(text, surroundings({ '/run/url': 0o100644 }))).toEqual([]);
    expect(problemsOf(text, surroundings({ '/run/url': 0o100666 }))).toEqual([
      written('6:15 routes./mpesa/*.upstream | routes./mpesa/*.upstream: ', '/run/url'),
    ]);
  });

  it('is a problem for each file of TLS', () => {
    const { cert, key } = issue({ name: 'localhost' });
    const head = 'listen: {address: "127.0.0.1:8443", tls: {cert: /c, key: /k, client_ca: /ca}}\n';
    const files = { '/c': cert, '/k': key, '/ca': cert };
    const modes = { '/c': 0o662, '/k': 0o602, '/ca': 0o664 };
    const problems = problemsOf(head + ENVIRONMENT.production + mpesaWith(), { files, modes });
    expect(problems.map((problem) => problem.split(' | ')[1])).toEqual([
      written('listen.tls.cert: ', '/c'),
      written('listen.tls.key: ', '/k'),
      written('listen.tls.client_ca: ', '/ca'),
    ]);
  });

  it('is a warning where production is emulated', () => {
    const emulated = { ...surroundings({ [CONFIG]: 0o666 }), emulated: true };
    expect(problemsOf(ENVIRONMENT.production + SECRET, emulated)).toEqual([]);
    expect(warningsOf(ENVIRONMENT.production + SECRET, emulated)).toHaveLength(1);
  });

  it.each([0o100600, 0o100644, 0o100755, undefined])('is not reported with mode %o', (mode) => {
    const modes: Surroundings['modes'] = mode === undefined ? {} : { [CONFIG]: mode };
    expect(problemsOf(ENVIRONMENT.production + SECRET, surroundings(modes))).toEqual([]);
    expect(warningsOf(ENVIRONMENT.production + SECRET, surroundings(modes))).toEqual([]);
  });
});

describe('a folder that others can write', () => {
  it('is reported like a file, because they can replace the file', () => {
    const expected = [replaced(AT_KEY, '/run/keys/k', '/run/keys')];
    for (const mode of [0o40777, 0o40775, 0o40757]) {
      expect(problemsOf(ENVIRONMENT.production + SECRET, surroundings({ '/run/keys': mode }))).toEqual(expected);
      expect(warningsOf(ENVIRONMENT.sandbox + SECRET, surroundings({ '/run/keys': mode }))).toEqual(expected);
    }
    expect(problemsOf(ENVIRONMENT.production + SECRET, surroundings({ '/run/keys': 0o40755 }))).toEqual([]);
  });

  it('is reported for the configuration too', () => {
    const modes = { [resolve('.')]: 0o40777 };
    expect(problemsOf(ENVIRONMENT.production + SECRET, surroundings(modes))).toEqual([
      replaced('1:1  | ', CONFIG, resolve('.')),
    ]);
  });

  it('is not shown if the name of the file is from a variable', () => {
    const { cert, key } = issue({ name: 'localhost' });
    const head = 'listen: {address: "127.0.0.1:8443", tls: {cert: "${C}", key: "${K}"}}\n';
    const files = { '/hidden/c': cert, '/hidden/k': key };
    const problems = problemsOf(head + ENVIRONMENT.production + mpesaWith(), {
      files,
      modes: { '/hidden': 0o40777, '/hidden/k': 0o622 },
      env: { C: '/hidden/c', K: '/hidden/k' },
    });
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).not.toContain('hidden');
  });
});

/** A folder with a configuration for production and its secret, and what `wakala check` finds there. */
function onDisk(prepare: (paths: { folder: string; config: string; secret: string }) => void): string[] {
  const parent = mkdtempSync(join(tmpdir(), 'wakala-'));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  chmodSync(parent, 0o755);
  const folder = join(parent, 'folder');
  mkdirSync(folder);
  const [config, secret] = [join(folder, 'proxy.config.yaml'), join(folder, 'k')];
  writeFileSync(config, ENVIRONMENT.production + mpesaWith().replace('consumer_key: k', 'consumer_key: "${file:k}"'));
  writeFileSync(secret, 'k');
  chmodSync(config, 0o644);
  chmodSync(secret, 0o600);
  prepare({ folder, config, secret });
  return validateConfig(config, { env: {} }).problems.map(({ key }) => key);
}

const KEY = 'routes./mpesa/*.credentials.consumer_key';

describe.skipIf(process.platform === 'win32')('on the disk', () => {
  it('modes of files and folders count', () => {
    expect(onDisk(() => undefined)).toEqual([]);
    expect(onDisk(({ config }) => chmodSync(config, 0o646))).toEqual(['']);
    expect(onDisk(({ secret }) => chmodSync(secret, 0o602))).toEqual([KEY]);
    expect(onDisk(({ folder }) => chmodSync(folder, 0o757))).toEqual(['', KEY]);
  });

  it('a sticky folder is safe', () => {
    expect(onDisk(({ folder }) => chmodSync(folder, 0o1777))).toEqual([]);
  });

  it('the folder behind a link counts', () => {
    const map = new ConfigMap({ 'proxy.config.yaml': ENVIRONMENT.production + mpesaWith() });
    const check = () => validateConfig(map.file('proxy.config.yaml'), { env: {} }).problems.length;
    expect(check()).toBe(0);
    chmodSync(join(map.path, '..data'), 0o777);
    expect(check()).toBe(1);
  });
});

describe.runIf(isRoot)('write access of the group', () => {
  it('is ignored if the group has the number of the owner (user private group)', () => {
    const privateTo = (uid: number, gid: number) =>
      onDisk(({ folder, config }) => {
        for (const path of [folder, config]) {
          chmodSync(path, path === config ? 0o664 : 0o775);
          chownSync(path, uid, gid);
        }
      });
    expect(privateTo(1234, 1234)).toEqual([]);
    expect(privateTo(1234, 1235)).toEqual(['', '', KEY]);
    expect(privateTo(0, 0)).toEqual(['', '', KEY]);
  });

  it('is ignored if this process reads files of another user through it (`fsGroup`)', () => {
    const asUser = (groups: number[]) => {
      const { setegid, setgroups, seteuid } = process;
      return onDisk(({ folder, config, secret }) => {
        for (const [path, mode] of [
          [folder, 0o2775],
          [config, 0o664],
          [secret, 0o660],
        ] as const) {
          chownSync(path, 0, 2000);
          chmodSync(path, mode);
        }
        onTestFinished(() => {
          seteuid?.(0);
          setegid?.(0);
          setgroups?.([0]);
        });
        setgroups?.(groups);
        setegid?.(65_532);
        seteuid?.(65_532);
      });
    };
    expect(asUser([2000])).toEqual([]);
    process.seteuid?.(0);
    // Who is not in the group cannot read the secret at all.
    expect(asUser([65_532])).toEqual(['', '', KEY]);
  });
});

describe.runIf(isRoot)('a volume as Kubernetes mounts a ConfigMap', { timeout: 60_000 }, () => {
  it('is safe: its folder has mode 0777, and the mount is read-only', () => {
    const map = new ConfigMap({ 'proxy.config.yaml': ENVIRONMENT.production + mpesaWith() });
    chmodSync(map.path, 0o777);
    const command = `"${process.execPath}" "${CLI}" check -c "${map.file('proxy.config.yaml')}"`;
    const readOnly = `mount --bind "${map.path}" "${map.path}" && mount -o remount,ro,bind "${map.path}"`;
    const run = (script: string) => spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8' });
    expect(run(command).stderr).toContain('can replace');
    expect(run(`${readOnly} && ${command}`)).toMatchObject({ status: 0, stderr: '' });
  });
});
