import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile, runCli } from '../support/proxy-process.ts';

const run = promisify(execFile);

async function dev(...args: string[]) {
  const cli = new CliProcess(['dev', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', ...args]);
  await cli.until(/Ctrl-C stops it/);
  return cli;
}

function curlLines(screen: string): string[] {
  return screen.split('\n').flatMap((line) => (line.trim().startsWith('curl ') ? [line.trim()] : []));
}

describe('wakala dev', { timeout: 60_000 }, () => {
  it('prints curl lines that all work in a shell, one for each provider, and stops on SIGINT', async () => {
    const cli = await dev();
    const lines = curlLines(cli.stdout);
    const [calls, [trouble = '']] = [lines.slice(0, -1), lines.slice(-1)];
    expect(calls).toHaveLength(4);
    for (const line of calls) {
      const { stdout } = await run('bash', ['-c', `${line} -w '\\n%{http_code} %header{wakala-token}'`]);
      expect(stdout.split('\n').at(-1)).toBe('200 fetched');
      expect(stdout).not.toContain('"error');
    }
    await run('bash', ['-c', `${trouble} --fail`]);
    const tokens = [];
    for (const line of calls) {
      const { stdout } = await run('bash', ['-c', `${line} -o /dev/null -w '%{http_code} %header{wakala-token}'`]);
      tokens.push(stdout);
    }
    expect(tokens.sort()).toEqual(['200 cached', '200 cached', '200 cached', '200 replayed']);
    expect(cli.stdout).toContain('[EMULATED]');
    cli.signal('SIGINT');
    expect(await cli.exited).toBe(0);
  });

  it('refuses to run if NODE_ENV is production', async () => {
    const { code, stdout, stderr } = await runCli(['dev'], { env: { NODE_ENV: 'production' } });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('NODE_ENV is production');
  });

  it('emulates the routes of a given file without its credentials or hosts', async () => {
    const file = configFile(
      'environment: production\nroutes:\n  /pay/*:\n    provider: jpay\n    credentials:\n' +
        '      app_key: ${NOT_SET}\n      app_secret: ${file:/not/there}\n  /own/*:\n    upstream: https://api.invalid\n' +
        '    credentials: {key: canary-own-key}\n' +
        '    token: {request: {path: /login, json: {k: "{key}"}}, response: {access_token: t}}\n',
    );
    const cli = await dev('-c', file);
    expect(cli.stdout).not.toMatch(/api\.jpay\.africa|api\.invalid|canary/);
    const lines = curlLines(cli.stdout).slice(0, -1);
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const { stdout } = await run('bash', ['-c', `${line} -o /dev/null -w '%{http_code}'`]);
      expect(stdout).toBe('200');
    }
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  it('names the port in use, says how to choose another, and leaves no port open', async () => {
    const first = await dev();
    const [, taken = ''] = /proxy +http:\/\/(127\.0\.0\.1:\d+)/.exec(first.stdout) ?? [];
    const { code, stderr } = await runCli(['dev', '--listen', taken, '--admin', 'false']);
    expect(code).toBe(1);
    expect(stderr).toContain(`${taken} is in use by another process; choose another with --listen`);
  });

  it('prints the addresses of the proxy, the dashboard and the inspector', async () => {
    const cli = await dev();
    const [, admin = ''] = await cli.until(/\n {2}dashboard {2}(http:\/\/127\.0\.0\.1:\d+)\n/);
    expect(cli.stdout).toContain(`\n  inspector  ${admin}/requests\n`);
    expect(cli.stdout).toMatch(/^\n {2}wakala dev {2}\[EMULATED\].*\n\n {2}proxy {6}http:\/\/127\.0\.0\.1:\d+\n/);
  });

  it('shows no keyboard shortcuts without a terminal, and logs JSON', async () => {
    const cli = await dev();
    await cli.until(/"event":"ready"/);
    expect(cli.stdout).not.toContain('keys');
  });

  it('says that the given file does not exist', async () => {
    const { code, stderr } = await runCli(['dev', '-c', 'nowhere.yaml']);
    expect(code).toBe(3);
    expect(stderr).toContain('nowhere.yaml:1:1');
  });
});

describe('wakala emulate', { timeout: 60_000 }, () => {
  it('prints addresses and credentials as JSON, and serves them', async () => {
    const cli = new CliProcess(['emulate', 'mpesa', '--free-ports', '--json']);
    const [text] = await cli.until(/^\{.*\}$/m);
    const { emulators } = JSON.parse(text) as { emulators: { provider: string; api: string; credentials: object }[] };
    expect(emulators).toMatchObject([
      { provider: 'mpesa', credentials: { consumer_key: 'emulated-mpesa-consumer-key' } },
    ]);
    const state = await sendRequest(Number(new URL(emulators[0]!.api).port), '/_emulator');
    expect(state.json()).toMatchObject({ provider: 'mpesa', emulated: true });
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  it('refuses to run if NODE_ENV is production, and for an unknown provider', async () => {
    expect((await runCli(['emulate'], { env: { NODE_ENV: 'production' } })).code).toBe(2);
    const unknown = await runCli(['emulate', 'mpessa']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('did you mean `mpesa`');
  });
});
