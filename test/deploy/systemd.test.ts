import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/commands/io.ts';
import { validateConfig } from '../../src/config/load.ts';
import { startEmulator } from '../../src/emulators/emulator.ts';
import { formatProblem } from '../../src/errors.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { sampleBody } from '../../src/providers/provider.ts';
import { textOf } from '../docs/documents.ts';
import { sendJson } from '../support/proxy-client.ts';
import { CliProcess, runCli, temporaryDirectory } from '../support/proxy-process.ts';
import { hasTool } from '../support/tools.ts';

const UNIT = 'deploy/systemd/wakala.service';
const CONFIG = 'deploy/systemd/proxy.config.yaml';
/** Where systemd puts the credentials of the unit. */
const CREDENTIALS = '/run/credentials/wakala.service';
const HAS_SYSTEMD = hasTool('systemd-analyze');

/** What stands right of each `KEY=`. */
function settings(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const [, key = '', value = ''] of textOf(UNIT).matchAll(/^(\w+)=(.*)$/gm)) {
    found.set(key, [...(found.get(key) ?? []), value]);
  }
  return found;
}

function setting(key: string): string {
  return settings().get(key)?.[0] ?? '';
}

/** The file and the name of each credential. */
function credentials(): ReadonlyMap<string, string> {
  const pairs = (settings().get('LoadCredential') ?? []).map((value) => value.split(':'));
  return new Map(pairs.map(([name = '', file = '']) => [name, file]));
}

/** The unit as a file that systemd can look at: with this machine's Node, which may be elsewhere. */
function unitFile(): string {
  const file = path.join(temporaryDirectory(), 'wakala.service');
  writeFileSync(file, textOf(UNIT).replaceAll('/usr/bin/node', process.execPath));
  return file;
}

/** What systemd makes of it before it starts the unit: credentials, and a configuration that leads to an emulator. */
async function machine(change = (config: string) => config) {
  const emulator = await startEmulator(mpesa, { port: 0 });
  onTestFinished(() => emulator.close());
  const folder = temporaryDirectory();
  const given = path.join(folder, 'credentials');
  mkdirSync(given, { mode: 0o700 });
  for (const name of credentials().keys()) {
    const secret = emulator.credentials.get(name.replace('mpesa_', ''))?.reveal() ?? '';
    writeFileSync(path.join(given, name), secret, { mode: 0o400 });
  }
  const file = path.join(folder, 'proxy.config.yaml');
  const config = textOf(CONFIG)
    .replaceAll(CREDENTIALS, given)
    .replace('provider: mpesa', `provider: mpesa\n    upstream: ${emulator.apiUrl}`)
    .replace(/127\.0\.0\.1:(8080|9901)/g, '127.0.0.1:0');
  writeFileSync(file, change(config));
  const env = Object.fromEntries(
    setting('Environment')
      .split(' ')
      .map((pair) => pair.split('=') as [string, string]),
  );
  expect(env['WAKALA_CONFIG']).toBe('/etc/wakala/proxy.config.yaml');
  const [node, cli, ...args] = setting('ExecStart').split(' ');
  expect([node, cli]).toEqual(['/usr/bin/node', '/opt/wakala/lib/node_modules/wakala/dist/cli.js']);
  return { args, env: { ...env, WAKALA_CONFIG: file, CREDENTIALS_DIRECTORY: given } };
}

describe.runIf(HAS_SYSTEMD)(UNIT, () => {
  it('is a unit that systemd takes without a word', () => {
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['--man=no', 'verify', unitFile()], {
      encoding: 'utf8',
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('is exposed to little: at most 1.5 of 10, as systemd counts', () => {
    const args = ['security', '--offline=true', '--threshold=15', '--no-pager', unitFile()];
    const { status, stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8', env: { LANG: 'C.UTF-8' } });
    const [verdict] = /Overall exposure level.*/.exec(stdout) ?? [stdout];
    process.stdout.write(`${verdict}\n`);
    expect(status, stdout).toBe(0);
  });
});

describe('deploy/systemd', () => {
  it('is not restarted for a wrong configuration or command line', () => {
    const codes = setting('RestartPreventExitStatus').split(' ').map(Number);
    expect(codes).toEqual([EXIT.usage, EXIT.config]);
    expect(setting('Restart')).toBe('on-failure');
  });

  it('has a configuration that passes the check and reads the credentials of the unit, and no others', () => {
    const env = { WAKALA_CONFIG: '' };
    const { config, problems, warnings, files } = validateConfig('/etc/wakala/proxy.config.yaml', {
      env,
      fileMode: () => 0o400,
      readFile: (name) => (name.startsWith('/run/') ? 'made-up-secret\n' : textOf(CONFIG)),
    });
    expect([...problems, ...warnings].map(formatProblem)).toEqual([]);
    const given = [...credentials().keys()].map((name) => `${CREDENTIALS}/${name}`);
    expect(files.slice(1).sort()).toEqual(given.sort());
    for (const [name, file] of credentials()) expect(file).toBe(`/etc/wakala/credentials/${name}`);
    expect(Number(setting('TimeoutStopSec')) * 1000).toBeGreaterThan(config!.drainTimeoutMs);
  });

  it('starts, serves, reloads and stops as the unit says', { timeout: 60_000 }, async () => {
    const { args, env } = await machine();
    const wakala = new CliProcess(args, { env });
    const [, port] = await wakala.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    const json = sampleBody({ samples: mpesa.samples });
    const response = await sendJson(Number(port), '/mpesa/mpesa/stkpush/v1/processrequest', json);
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'fetched']);
    const [, signal = ''] = /^\/bin\/kill -(\w+) \$MAINPID$/.exec(setting('ExecReload')) ?? [];
    wakala.signal(`SIG${signal}` as NodeJS.Signals);
    await wakala.until(/"event":"config_reloaded"/);
    wakala.signal('SIGTERM');
    expect(await wakala.exited).toBe(0);
  });

  it('ends with a code that is not tried again where the configuration is bad', { timeout: 60_000 }, async () => {
    const { args, env } = await machine((config) => `${config}nonsense: 1\n`);
    const { code, stderr } = await runCli(args, { env });
    expect(setting('RestartPreventExitStatus').split(' ')).toContain(String(code));
    expect(stderr).toContain('unknown key `nonsense`');
  });
});
