import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo, type Settings } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { rewrite } from './support.ts';

/** The content of a `data:` URL. */
const OPEN_DEBUGGER = encodeURIComponent(`import { open } from 'node:inspector'; open(0, '127.0.0.1')`);

async function serve(settings: Settings = {}, env: Record<string, string> = {}) {
  const upstream = await RawUpstream.start(({ target }) => (target === '/held' ? undefined : reply(200, 'fine')));
  const adminPort = await freePort();
  const written = {
    listen: '127.0.0.1:0',
    admin: `127.0.0.1:${adminPort}`,
    routes: { '/api/*': routeTo(upstream) },
    ...settings,
  };
  const file = configFile(written);
  const cli = new CliProcess(['serve', '-c', file], { env });
  const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
  return { upstream, cli, file, written, adminPort, port: Number(port) };
}

const readyz = async (adminPort: number) => (await sendRequest(adminPort, '/readyz')).json();

describe('a running wakala', { timeout: 60_000 }, () => {
  it('applies a changed file by itself, and keeps its token', async () => {
    const { upstream, cli, file, written, port } = await serve();
    await sendRequest(port, '/api/x');
    rewrite(file, JSON.stringify({ ...written, routes: { '/moved/*': routeTo(upstream) } }));
    await cli.until(/"config_reloaded"/);
    expect((await sendRequest(port, '/api/x')).status).toBe(404);
    const response = await sendRequest(port, '/moved/x');
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'cached']);
    expect(upstream.tokens).toHaveLength(1);
  });

  it('reloads its configuration once on SIGHUP', async () => {
    const { cli, port } = await serve();
    cli.signal('SIGHUP');
    await cli.until(/"event":"config_reloaded","reason":"SIGHUP"/);
    expect((await sendRequest(port, '/api/x')).status).toBe(200);
  });

  it('opens no debugger on SIGUSR1: every user of the machine could read its tokens', async () => {
    const { cli, port } = await serve();
    cli.signal('SIGUSR1');
    // The signals are handled in order.
    cli.signal('SIGHUP');
    await cli.until(/"config_reloaded"/);
    expect((await sendRequest(port, '/api/x')).status).toBe(200);
    expect(cli.stderr).not.toMatch(/debugger/i);
  });

  it('opens no debugger in a worker either', async () => {
    const { cli, port } = await serve({ workers: 2 });
    const workers = cli.children();
    expect(workers).toHaveLength(2);
    for (const worker of workers) process.kill(worker, 'SIGUSR1');
    for (let i = 0; i < 4; i++) expect((await sendRequest(port, '/api/x')).status).toBe(200);
    expect(cli.stderr).not.toMatch(/debugger|worker_died/i);
  });

  it.each([
    ['closes one that was opened while it started', `--import data:text/javascript,${OPEN_DEBUGGER}`, false],
    ['leaves one open that was requested', '--inspect=0', true],
  ])('%s', async (_, options, isOpen) => {
    const { cli } = await serve({}, { NODE_OPTIONS: options });
    const [, port] = await cli.until(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)/);
    const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
    onTestFinished(() => void socket.destroy());
    const opened = once(socket, 'connect');
    await expect(
      opened.then(
        () => true,
        () => false,
      ),
    ).resolves.toBe(isOpen);
  });

  it('keeps the old configuration if the new one is invalid, shows why on /readyz, and recovers', async () => {
    const { cli, file, written, adminPort, port } = await serve();
    expect(await readyz(adminPort)).toEqual({ status: 'ready' });
    writeFileSync(file, 'routes: {/api/*: {provider: mpeza}}');
    cli.signal('SIGHUP');
    await cli.until(/config_reload_refused/);
    expect((await sendRequest(port, '/api/x')).status).toBe(200);
    const health = await readyz(adminPort);
    expect(health['status']).toBe('ready');
    expect(health['detail']).toMatch(
      /^reload refused; the old configuration stays in use: .*config\.yaml:1:\d+: .*mpeza/,
    );
    writeFileSync(file, JSON.stringify(written));
    cli.signal('SIGHUP');
    await cli.until(/"event":"config_reloaded","reason":"SIGHUP"/);
    expect(await readyz(adminPort)).toEqual({ status: 'ready' });
  });

  it('refuses a changed `listen` with a hint to restart', async () => {
    const { cli, file, written, adminPort, port } = await serve();
    writeFileSync(file, JSON.stringify({ ...written, listen: '127.0.0.1:1' }));
    cli.signal('SIGHUP');
    await cli.until(/restart Wakala/);
    expect((await readyz(adminPort))['detail']).toContain('`listen`');
    expect((await sendRequest(port, '/api/x')).status).toBe(200);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends at once with 1 on a second %s', async (signal) => {
    const { upstream, cli, port } = await serve();
    const client = await RawClient.open(port);
    client.send('GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await upstream.request();
    cli.signal(signal);
    await cli.until(/"draining"/);
    cli.signal(signal);
    expect(await cli.exited).toBe(1);
    expect(cli.stderr).not.toContain('"stopped"');
  });

  it('exits with 1 if drain_timeout aborted a request', async () => {
    const { upstream, cli, port } = await serve({ drain_timeout: '200ms' });
    const client = await RawClient.open(port);
    client.send('GET /api/held HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await upstream.request();
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(1);
    expect(cli.stderr).toMatch(/"clean":false.*"stopped"/);
  });

  it('exits with 0 if nothing was aborted', async () => {
    const { cli, port } = await serve();
    expect((await sendRequest(port, '/api/x')).status).toBe(200);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });
});
