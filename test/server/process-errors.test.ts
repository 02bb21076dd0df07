import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createAdminServer, listen } from '../../src/server/http-server.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

const LIBRARY = new URL('../../src/library/index.ts', import.meta.url).href;

/** An app with the library, which logs each request. */
const APP = `
import { createServer } from 'node:http';
import { createWakala } from ${JSON.stringify(LIBRARY)};
const proxy = createWakala({ config: process.argv[1], env: {} });
const server = createServer(proxy.handler).listen(0, '127.0.0.1', () => {
  process.stderr.write('"listen":"127.0.0.1:' + server.address().port + '"');
});
process.once('SIGTERM', () => process.exit());`;

async function settings(more: Readonly<Record<string, unknown>> = {}) {
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  return configFile({ listen: '127.0.0.1:0', admin: false, routes: { '/api/*': routeTo(upstream) }, ...more });
}

describe('the process keeps running', { timeout: 60_000 }, () => {
  it.each([
    ['as a command', (file: string) => [CLI, 'serve', '-c', file]],
    ['with the library', (file: string) => ['--input-type=module', '-e', APP, '--', file]],
  ])('if standard error is closed, %s', async (_, args) => {
    const file = await settings({ log: { requests: true } });
    const child = spawn(process.execPath, args(file), { stdio: ['ignore', 'ignore', 'pipe'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    let text = '';
    child.stderr.on('data', (bytes) => (text += String(bytes)));
    const port = () => Number(/"listen":"127\.0\.0\.1:(\d+)"/.exec(text)?.[1]);
    await vi.waitUntil(port, 30_000);
    child.stderr.destroy();
    // Each request causes a log line.
    for (let i = 0; i < 5; i++) expect((await sendRequest(port(), '/api/x')).status).toBe(200);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  it.each([
    ['a listener', createServer],
    ['the admin listener', () => createAdminServer(() => undefined)],
  ])('if %s fails repeatedly after its start', async (_, create) => {
    const server = create();
    await listen(server, { host: '127.0.0.1', port: 0 }, '--listen');
    onTestFinished(() => void server.close());
    for (let i = 0; i < 3; i++) server.emit('error', new Error('accept EMFILE'));
    expect(server.listening).toBe(true);
  });

  it.runIf(process.platform === 'linux')('if a worker cannot be started, and starts one later', async () => {
    // As during an update of Node.
    const preload = `const { execPath } = process;
      process.on('SIGUSR2', () => (process.execPath = process.execPath === execPath ? '/nowhere/node' : execPath));`;
    const file = await settings({ workers: 2 });
    const cli = new CliProcess(['serve', '-c', file], {
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` },
    });
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)".*"workers":2/);
    cli.signal('SIGUSR2');
    await sleep(100);
    process.kill(cli.children()[0]!, 'SIGKILL');
    await cli.until(/"event":"worker_start_failed","error":"ENOENT"/);
    expect((await sendRequest(Number(port), '/api/x')).status).toBe(200);
    cli.signal('SIGUSR2');
    await vi.waitUntil(() => cli.children().length === 2, 20_000);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });
});
