import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { CliProcess, configFile, runCli } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';

const LIMITS = { timeout: 60_000 };

describe('wakala serve, when it cannot start,', LIMITS, () => {
  it('says which address is taken and what to do about it, and exits 1', async () => {
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

  it('says all that is wrong with a bad configuration, by line, and exits 3', async () => {
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
  it('exits 0 while the proxy is ready, 1 while it drains, and 5 where nothing answers', async () => {
    const admin = `127.0.0.1:${await freePort()}`;
    const routes = { '/api/*': routeTo({ origin: 'http://127.0.0.1:9' }) };
    const config = configFile({ listen: '127.0.0.1:0', admin, routes });
    const cli = new CliProcess(['serve', '-c', config]);
    const [, port] = await cli.until(/"listen":"127\.0\.0\.1:(\d+)".*"msg":"ready"/);
    const ready = await runCli(['healthcheck', '-c', config]);
    expect(ready).toMatchObject({ code: 0, stderr: '' });
    // A connection in the middle of a request keeps the proxy draining.
    const client = await RawClient.open(Number(port));
    client.send('POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf');
    cli.signal('SIGTERM');
    await cli.until(/"msg":"draining"/);
    expect((await runCli(['healthcheck', '--admin', admin])).code).toBe(1);
    client.socket.destroy();
    await cli.exited;
    const gone = await runCli(['healthcheck', '--admin', admin]);
    expect(gone.code).toBe(5);
    expect(gone.stderr).toContain(`nothing answers at http://${admin}/readyz`);
  });

  it('exits 2 where the admin listener is off', async () => {
    expect((await runCli(['healthcheck', '--admin', 'false'])).code).toBe(2);
  });
});

describe('wakala', LIMITS, () => {
  it.each([
    ['serv', 'serve'],
    ['emualte', 'emulate'],
    ['healthchek', 'healthcheck'],
  ])('asks whether %s meant %s, and exits 2', async (typed, meant) => {
    const { code, stderr } = await runCli([typed]);
    expect(code).toBe(2);
    expect(stderr).toContain(`there is no command \`${typed}\`; did you mean \`${meant}\`?`);
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
    [['--help'], 'Exit codes'],
    [['serve', '--help'], 'Examples:'],
    [['--version'], '.'],
  ])('exits 0 on %j', async (args, text) => {
    const { code, stdout } = await runCli(args);
    expect(code).toBe(0);
    expect(stdout).toContain(text);
  });
});
