import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { init, type InitOptions } from '../../src/commands/init/init.ts';
import { validateConfig } from '../../src/config/load.ts';
import { neededCredentials, optionalCredentials, variableOf } from '../../src/config/starter.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { madeUp } from '../support/made-up.ts';

const FILES = ['.env.example', '.gitignore', 'proxy.config.yaml'];

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-init-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function run(folder: string, options: Partial<InitOptions> = {}) {
  let [stdout, stderr] = ['', ''];
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s) };
  const config = join(folder, 'proxy.config.yaml');
  const code = await init({ config, provider: ['mpesa'], yes: false, ...options }, io);
  return { code, stdout: stdout.replaceAll(folder, 'FOLDER'), stderr: stderr.replaceAll(folder, 'FOLDER') };
}

function textOf(folder: string, name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

function variablesOf(chosen: readonly Provider[]): string[] {
  return chosen.flatMap((provider) => neededCredentials(provider).map(({ name }) => variableOf(provider, name)));
}

/** The variables of .env.example. */
function listedVariablesOf(chosen: readonly Provider[]): string[] {
  return chosen.flatMap((provider) =>
    [...neededCredentials(provider), ...optionalCredentials(provider)]
      .filter(({ kind }) => kind !== 'flag')
      .map(({ name }) => variableOf(provider, name)),
  );
}

describe('init', () => {
  it.each([...providers.map((provider) => [provider.name, [provider]] as const), ['all of them', providers] as const])(
    'writes a file that passes the check once the variables are set: %s',
    async (_, chosen) => {
      const folder = emptyFolder();
      expect(await run(folder, { provider: chosen.map(({ name }) => name) })).toMatchObject({ code: 0, stderr: '' });
      const names = variablesOf(chosen);
      const file = join(folder, 'proxy.config.yaml');
      const env = Object.fromEntries(names.map((name) => [name, madeUp(name)]));
      const { config, problems, warnings } = validateConfig(file, { env });
      expect([problems, warnings]).toEqual([[], []]);
      expect(config?.routes.map(({ name, provider }) => [name, provider.name])).toEqual(
        chosen.map(({ name }) => [`/${name}/*`, name]),
      );
      expect(config?.environment).toBe('sandbox');
      // Not one of them is there for nothing.
      for (const name of names)
        expect(validateConfig(file, { env: { ...env, [name]: undefined } }).problems).toHaveLength(1);
      const listed = [...textOf(folder, '.env.example').matchAll(/^(\w+)=(.*)$/gm)];
      expect(listed.map(([, name, value]) => [name, value])).toEqual(
        listedVariablesOf(chosen).map((name) => [name, '']),
      );
    },
  );

  it('writes the line for editors first, and an example if the user must set the upstream', async () => {
    const folder = emptyFolder();
    await run(folder, { provider: ['static'], yes: true });
    const text = textOf(folder, 'proxy.config.yaml');
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./proxy.config.schema.json');
    expect(text).toContain(
      '    # An example: write the base URL of your API here.\n    upstream: https://api.example.com\n',
    );
  });

  it('says where to find each credential', async () => {
    const folder = emptyFolder();
    await run(folder);
    expect(textOf(folder, '.env.example')).toContain(
      '# Consumer key of the app on developer.safaricom.co.ke\nMPESA_CONSUMER_KEY=\n',
    );
  });

  it('accepts names with commas, in capitals and repeated, and the environment', async () => {
    const folder = emptyFolder();
    expect((await run(folder, { provider: ['JPAY,mpesa', 'jpay'], environment: 'production' })).code).toBe(0);
    const env = Object.fromEntries(variablesOf(providers).map((name) => [name, 'x']));
    const { config } = validateConfig(join(folder, 'proxy.config.yaml'), { env });
    expect(config?.routes.map(({ name, environment }) => [name, environment])).toEqual([
      ['/jpay/*', 'production'],
      ['/mpesa/*', 'production'],
    ]);
  });

  it('prints what it wrote and the next commands', async () => {
    const { stdout } = await run(emptyFolder());
    expect(stdout).toMatch(/^wrote FOLDER\/proxy\.config\.yaml: \/mpesa\/\*$/m);
    expect(stdout).toMatch(
      /^wrote FOLDER\/\.env\.example: MPESA_CONSUMER_KEY, MPESA_CONSUMER_SECRET, MPESA_PASSKEY, /m,
    );
    expect(stdout).toMatch(/^wrote FOLDER\/\.gitignore: \.env$/m);
    const steps = [...stdout.matchAll(/^ {2}(.*?) +# /gm)].map(([, step]) => step);
    expect(steps).toEqual([
      'wakala dev -c FOLDER/proxy.config.yaml',
      'cp FOLDER/.env.example FOLDER/.env',
      'set -a; . FOLDER/.env; set +a',
      'wakala check -c FOLDER/proxy.config.yaml',
      'wakala doctor -c FOLDER/proxy.config.yaml',
      'wakala -c FOLDER/proxy.config.yaml',
    ]);
  });

  it('does not suggest to overwrite an existing .env', async () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, '.env'), 'A=1\n');
    const { stdout } = await run(folder);
    expect(stdout).not.toContain('cp ');
    expect(stdout).toContain('add the variables of FOLDER/.env.example');
  });
});

describe('init writes nothing and exits 2', () => {
  it('without a provider and without a terminal, and prints an example', async () => {
    const folder = emptyFolder();
    const { code, stdout, stderr } = await run(folder, { provider: [] });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('wakala init --provider mpesa --provider jpay\n');
    expect(stderr).toContain('jpay, mpesa, jeel, paypack, static');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('for an unknown provider, with a suggestion', async () => {
    const folder = emptyFolder();
    const stderr = 'wakala init: unknown provider `mpsea`; did you mean `mpesa`?\n';
    expect(await run(folder, { provider: ['jpay', 'mpsea'] })).toEqual({ code: 2, stdout: '', stderr });
    expect((await run(folder, { provider: ['stripe'] })).stderr).toContain('; the providers are jpay, mpesa, jeel');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('if the configuration exists', async () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, 'proxy.config.yaml'), 'mine\n');
    const { code, stdout, stderr } = await run(folder);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('`FOLDER/proxy.config.yaml` exists already');
    expect(readdirSync(folder)).toEqual(['proxy.config.yaml']);
    expect(textOf(folder, 'proxy.config.yaml')).toBe('mine\n');
  });

  it('if a dangling link has its name', async () => {
    const folder = emptyFolder();
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'proxy.config.yaml'));
    expect((await run(folder)).code).toBe(2);
    expect(readdirSync(folder)).toEqual(['proxy.config.yaml']);
  });

  it('if the folder does not exist', async () => {
    const folder = emptyFolder();
    const { code, stderr } = await run(folder, { config: join(folder, 'deep', 'proxy.config.yaml') });
    expect([code, stderr]).toEqual([2, 'wakala init: there is no folder `FOLDER/deep`; create it first\n']);
    expect(existsSync(join(folder, 'deep'))).toBe(false);
  });
});

describe('init with existing files', () => {
  it('adds only missing variables to .env.example', async () => {
    const folder = emptyFolder();
    const before = 'PORT=3000\n#PAYPACK_CLIENT_ID=\nNOT_JPAY_APP_KEY=1';
    writeFileSync(join(folder, '.env.example'), before);
    const { code, stdout } = await run(folder, { provider: ['paypack', 'jpay'] });
    expect(code).toBe(0);
    expect(stdout).toContain('added to FOLDER/.env.example: PAYPACK_CLIENT_SECRET, JPAY_APP_KEY, JPAY_APP_SECRET\n');
    const text = textOf(folder, '.env.example');
    expect(text.startsWith(`${before}\n`)).toBe(true);
    expect([...text.matchAll(/^#?(\w+)=/gm)].map(([, name]) => name)).toEqual([
      'PORT',
      'PAYPACK_CLIENT_ID',
      'NOT_JPAY_APP_KEY',
      'PAYPACK_CLIENT_SECRET',
      'JPAY_APP_KEY',
      'JPAY_APP_SECRET',
    ]);
  });

  it('does not change an .env.example with every variable', async () => {
    const folder = emptyFolder();
    const before = 'export PAYPACK_CLIENT_ID=a\nPAYPACK_CLIENT_SECRET = b\n';
    writeFileSync(join(folder, '.env.example'), before);
    expect((await run(folder, { provider: ['paypack'] })).stdout).toContain('FOLDER/.env.example unchanged');
    expect(textOf(folder, '.env.example')).toBe(before);
  });

  it.each([
    ['node_modules\n', 'node_modules\n.env\n'],
    ['node_modules', 'node_modules\n.env\n'],
    ['node_modules\r\n', 'node_modules\r\n.env\r\n'],
    ['', '.env\n'],
    ['.env.local\n', '.env.local\n.env\n'],
    ['.env/\n', '.env/\n.env\n'],
    ['#.env\n', '#.env\n.env\n'],
    ['.env\n!.env\n', '.env\n!.env\n.env\n'],
    ['xenv\n', 'xenv\n.env\n'],
    ['.env\n', '.env\n'],
    ['a\r\n.env\r\n', 'a\r\n.env\r\n'],
    ['/.env', '/.env'],
    ['**/.env\n', '**/.env\n'],
    ['.env*\n', '.env*\n'],
    ['*.env  \n', '*.env  \n'],
    ['!.env\n.en?\n', '!.env\n.en?\n'],
  ])('changes the .gitignore %j into %j', async (before, after) => {
    const folder = emptyFolder();
    writeFileSync(join(folder, '.gitignore'), before);
    expect((await run(folder)).code).toBe(0);
    expect(textOf(folder, '.gitignore')).toBe(after);
  });

  it.skipIf(process.getuid?.() === 0)('exits 1 without write access', async () => {
    const folder = emptyFolder();
    chmodSync(folder, 0o500);
    const { code, stderr } = await run(folder);
    expect([code, stderr]).toEqual([1, 'wakala init: cannot write in FOLDER: EACCES\n']);
  });

  it.skipIf(process.platform === 'win32')('does not block on a pipe', async () => {
    const folder = emptyFolder();
    execFileSync('mkfifo', [join(folder, '.gitignore')]);
    const { code, stderr } = await run(folder);
    expect([code, stderr]).toEqual([
      1,
      'wakala init: cannot write in FOLDER: `.gitignore` cannot be read: it is a pipe, not a regular file\n',
    ]);
  });

  it('prints what it wrote before it failed, and exits 1', async () => {
    const folder = emptyFolder();
    mkdirSync(join(folder, '.env.example'));
    const { code, stdout, stderr } = await run(folder);
    expect([code, stderr]).toEqual([
      1,
      'wakala init: cannot write in FOLDER: `.env.example` cannot be read: it is a folder, not a regular file\n',
    ]);
    expect(stdout).toBe('wrote FOLDER/proxy.config.yaml: /mpesa/*\n');
    expect(readdirSync(folder)).toEqual(FILES.filter((name) => name !== '.gitignore'));
  });
});
