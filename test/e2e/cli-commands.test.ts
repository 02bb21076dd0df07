import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { providers } from '../../src/providers/registry.ts';
import { freePort } from '../support/free-port.ts';
import { madeUp } from '../support/made-up.ts';
import { CliProcess, configFile, runCli } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';

const LIMITS = { timeout: 60_000 };

describe('wakala serve, when it cannot start,', LIMITS, () => {
  it('names the address in use, says what to do, and exits 1', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const routes = { '/api/*': routeTo({ origin: 'http://127.0.0.1:9' }) };
    const taken = configFile({ listen: `127.0.0.1:${port}`, admin: false, routes });
    const elsewhere = configFile({ listen: '127.0.0.1:0', admin: `127.0.0.1:${port}`, routes });
    const [first, second] = await Promise.all([taken, elsewhere].map((file) => runCli(['serve', '-c', file])));
    expect(first).toMatchObject({ code: 1, stdout: '' });
    expect(first?.stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} is in use by another process.*--listen`));
    expect(second?.code).toBe(1);
    expect(second?.stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} is in use by another process.*--admin`));
  });

  it('prints all problems of an invalid configuration with their lines, and exits 3', async () => {
    const file = configFile('listn: 127.0.0.1:0\nroutes:\n  /mpesa/*:\n    provider: mpessa\n');
    const { code, stdout, stderr } = await runCli(['serve', '-c', file]);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toContain(`${file}:1:1: `);
    expect(stderr).toContain('did you mean `listen`');
    expect(stderr).toMatch(new RegExp(`${file}:4:\\d+: .*mpesa`));
  });

  it('says that there is no configuration file, and exits 3', async () => {
    const { code, stderr } = await runCli([]);
    expect(code).toBe(3);
    expect(stderr).toContain('wakala dev');
  });
});

describe('wakala healthcheck', LIMITS, () => {
  it('exits 0 while the proxy is ready, 1 while it drains, and 5 if nothing responds', async () => {
    const admin = `127.0.0.1:${await freePort()}`;
    const routes = { '/api/*': routeTo({ origin: 'http://127.0.0.1:9' }) };
    const config = configFile({ listen: '127.0.0.1:0', admin, routes });
    const cli = new CliProcess(['serve', '-c', config]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    const ready = await runCli(['healthcheck', '-c', config]);
    expect(ready).toMatchObject({ code: 0, stderr: '' });
    // A connection in the middle of a request keeps the proxy draining.
    const client = await RawClient.open(Number(port));
    client.send('POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf');
    cli.signal('SIGTERM');
    await cli.until(/"event":"draining"/);
    expect((await runCli(['healthcheck', '--admin', admin])).code).toBe(1);
    client.socket.destroy();
    await cli.exited;
    const gone = await runCli(['healthcheck', '--admin', admin]);
    expect(gone.code).toBe(5);
    expect(gone.stderr).toContain(`no response from http://${admin}/readyz`);
  });

  it('exits 2 if the admin listener is off', async () => {
    expect((await runCli(['healthcheck', '--admin', 'false'])).code).toBe(2);
  });
});

describe('wakala init', LIMITS, () => {
  const asked = providers.flatMap(({ name }) => ['--provider', name]);

  function emptyFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'wakala-init-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }

  it('writes a configuration that wakala dev runs unchanged', async () => {
    const cwd = emptyFolder();
    expect(await runCli(['init', '--yes', ...asked], { cwd })).toMatchObject({ code: 0, stderr: '' });
    const dev = new CliProcess(['dev', '--listen', '127.0.0.1:0', '--admin', 'false'], { cwd });
    await dev.until(/Ctrl-C stops it/);
    const calls = dev.stdout.match(/^ *curl .*127\.0\.0\.1:\d+\/[a-z].*$/gm) ?? [];
    expect(calls).toHaveLength(providers.length);
    for (const call of calls) {
      const { stdout } = await promisify(execFile)('sh', ['-c', `${call} -o /dev/null -w '%{http_code}'`]);
      expect(`${stdout} ${call}`).toMatch(/^20[01] /);
    }
    dev.signal('SIGINT');
    expect(await dev.exited).toBe(0);
  });

  it('writes a configuration that wakala check accepts once .env is filled in and loaded as described', async () => {
    const cwd = emptyFolder();
    const { stdout } = await runCli(['init', ...asked], { cwd });
    const [, load = ''] = /^ {2}(set -a; .*set \+a) /m.exec(stdout) ?? [];
    cpSync(join(cwd, '.env.example'), join(cwd, '.env'));
    const fill = `sed -i.bak "s/=$/='it is \\$HOME \\& <\\#>'/" .env`;
    const command = `${fill}; ${load}; '${process.execPath}' -p 'JSON.stringify(process.env)'`;
    const loaded = await promisify(execFile)('sh', ['-c', command], { cwd, env: { PATH: process.env['PATH'] ?? '' } });
    const filled = JSON.parse(loaded.stdout) as Record<string, string>;
    const env = Object.fromEntries(Object.entries(filled).map(([name, value]) => [name, madeUp(name, value)]));
    expect(env['MPESA_CONSUMER_KEY']).toBe('it is $HOME & <#>');
    expect((await runCli(['check'], { cwd, env })).stdout).toMatch(`proxy.config.yaml: ok, ${providers.length} routes`);
    expect((await runCli(['routes'], { cwd, env })).code).toBe(0);
    expect((await runCli(['routes'], { cwd })).code).toBe(3);
  });

  it('asks no questions without a terminal: it names the option, writes nothing and exits 2', async () => {
    const cwd = emptyFolder();
    const { code, stdout, stderr } = await runCli(['init'], { cwd });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('wakala init --provider mpesa');
    expect(() => readFileSync(join(cwd, 'proxy.config.yaml'))).toThrow('ENOENT');
  });

  it('writes beside the file given with -c and never overwrites it', async () => {
    const folder = emptyFolder();
    const config = join(folder, 'staging.yaml');
    const args = ['init', '-c', config, '--provider', 'jeel', '--environment', 'production'];
    expect((await runCli(args)).code).toBe(0);
    const text = readFileSync(config, 'utf8');
    expect(text).toContain('environment: production');
    expect(readFileSync(join(folder, '.env.example'), 'utf8')).toContain('JEEL_CLIENT_ID=\n');
    expect((await runCli(args)).code).toBe(2);
    expect(readFileSync(config, 'utf8')).toBe(text);
  });
});

describe('wakala', LIMITS, () => {
  it.each([
    ['serv', 'serve'],
    ['emualte', 'emulate'],
    ['healthchek', 'healthcheck'],
    ['docter', 'doctor'],
    ['completions', 'completion'],
  ])('suggests for %s the command %s, and exits 2', async (typed, meant) => {
    const { code, stderr } = await runCli([typed]);
    expect(code).toBe(2);
    expect(stderr).toContain(`unknown command \`${typed}\`; did you mean \`${meant}\`?`);
  });

  it.each([[['serve', '--nonsense']], [['serve', '--listen', 'nowhere']], [['--prot', '1']]])(
    'exits 2 on %j',
    async (args) => {
      const { code, stderr } = await runCli(args);
      expect(code).toBe(2);
      expect(stderr).toContain('wakala help');
    },
  );

  it.each([
    [['check', '--jsno'], '--json'],
    [['init', '--provder', 'mpesa'], '--provider'],
    [['--lsiten', '127.0.0.1:1'], '--listen'],
  ])('suggests an option for the misspelled one in %j, and exits 2', async (args, meant) => {
    const { code, stderr } = await runCli(args);
    expect(code).toBe(2);
    expect(stderr).toContain(`(Did you mean ${meant}?)`);
  });

  it('completes commands in bash with the script that it prints', async () => {
    const { code, stdout } = await runCli(['completion', 'bash']);
    expect(code).toBe(0);
    const text = `${stdout}\nCOMP_WORDS=(wakala rou); COMP_CWORD=1; _wakala; echo "\${COMPREPLY[@]}"`;
    expect((await promisify(execFile)('bash', ['-c', text])).stdout).toBe('routes\n');
  });

  it.each([[['completion', 'tcsh']], [['completion']]])(
    'names the supported shells for %j, and exits 2',
    async (args) => {
      const { code, stdout, stderr } = await runCli(args);
      expect([code, stdout]).toEqual([2, '']);
      for (const shell of ['bash', 'zsh', 'fish']) expect(stderr).toContain(shell);
    },
  );

  it.each([
    [['--help'], 'Exit codes'],
    [['init', '--help'], 'Examples:'],
    [['completion', '--help'], 'source <(wakala completion bash)'],
    [['routes', '--help'], 'Examples:'],
    [['doctor', '--help'], 'Examples:'],
    [['help', 'emulate'], 'mpesa'],
    [['serve', '--help'], 'Examples:'],
    [['--version'], '.'],
  ])('exits 0 on %j', async (args, text) => {
    const { code, stdout } = await runCli(args);
    expect(code).toBe(0);
    expect(stdout).toContain(text);
  });
});
