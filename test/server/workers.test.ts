import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { keepAlive, sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo, type Settings } from '../support/proxy-server.ts';
import { valuesOf } from '../support/raw-message.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const READY = /"event":"ready","listen":"127\.0\.0\.1:(\d+)".*"workers":2/;

/** A token of which the other responses say nothing, and a clock that is far ahead. */
const LOGIN = reply(
  200,
  '{"access_token":"real-token"}',
  'content-type: application/json',
  'date: Mon, 01 Jan 2140 15:00:00 GMT',
);

async function serve(settings: Settings = {}, routeSettings: Settings = {}) {
  const dead = new Set<string>();
  const upstream = await RawUpstream.start((request) => {
    if (request.target === '/held') return undefined;
    if (request.target === '/login') return LOGIN;
    return valuesOf(request, 'authorization').some((value) => dead.has(value)) ? reply(401, '') : reply(200, 'fine');
  });
  const adminPort = await freePort();
  const written = {
    listen: '127.0.0.1:0',
    admin: `127.0.0.1:${adminPort}`,
    workers: 2,
    routes: { '/api/*': { ...routeTo(upstream), ...routeSettings } },
    ...settings,
  };
  const file = configFile(written);
  const cli = new CliProcess(['serve', '-c', file]);
  const [, port] = await cli.until(READY);
  return {
    upstream,
    cli,
    file,
    written,
    adminPort,
    port: Number(port),
    killTokens: () => {
      for (const request of upstream.requests) for (const value of valuesOf(request, 'authorization')) dead.add(value);
    },
    respondToHeld: () => upstream.requests.find(({ target }) => target === '/held')?.socket.write(reply(200, 'late')),
  };
}

/** Sends requests on new connections, which the workers accept in turn. */
async function calls(port: number, count: number): Promise<Set<number>> {
  const responses = await Promise.all(Array.from({ length: count }, () => sendRequest(port, '/api/x', { body: '{}' })));
  return new Set(responses.map(({ status }) => status));
}

const isAlive = (pid: number) => existsSync(`/proc/${pid}`);

// The processes are read from /proc.
describe.runIf(process.platform === 'linux')('workers', { timeout: 60_000 }, () => {
  it('share one token: one exchange at the start, and one when the token is refused', async () => {
    const { upstream, port, killTokens } = await serve();
    expect(await calls(port, 40)).toEqual(new Set([200]));
    expect(upstream.tokens).toHaveLength(1);
    killTokens();
    expect(await calls(port, 40)).toEqual(new Set([200]));
    expect(upstream.tokens).toHaveLength(2);
  });

  it('all sign with the time of the provider, which one of them was told', async () => {
    const { upstream, port } = await serve(
      {},
      {
        token: { request: { path: '/login' }, response: { access_token: 'access_token' } },
        sign: [{ calls: ['* /*'], values: { at: { now: 'iso8601' } }, headers: { 'X-Time': '{at}' } }],
      },
    );
    expect(await calls(port, 40)).toEqual(new Set([200]));
    expect(upstream.requests.filter(({ target }) => target === '/login')).toHaveLength(1);
    const times = upstream.requests.flatMap((request) => valuesOf(request, 'x-time'));
    expect(times).toHaveLength(40);
    expect(times.filter((time) => !time.startsWith('2140-01-01T15:0'))).toEqual([]);
  });

  it('have one name in Via, which the admin listener knows too', async () => {
    const { upstream, port, adminPort } = await serve();
    await calls(port, 40);
    const names = new Set(upstream.requests.flatMap((request) => valuesOf(request, 'via')));
    expect([...names]).toEqual([expect.stringMatching(/^1\.1 wakala-[0-9a-f]{8}$/)]);
    const headers = { via: [...names].join() };
    expect((await sendRequest(port, '/api/x', { headers })).status).toBe(508);
    expect((await sendRequest(adminPort, '/metrics', { headers })).status).toBe(508);
  });

  it('that die are replaced, while the others serve with the same token', async () => {
    const { upstream, cli, port } = await serve();
    await calls(port, 10);
    const [first = 0, second = 0] = cli.children();
    process.kill(first, 'SIGKILL');
    await cli.until(/"event":"worker_died"/);
    expect(await calls(port, 20)).toEqual(new Set([200]));
    await vi.waitUntil(() => cli.children().length === 2, 20_000);
    expect(cli.children()).toContain(second);
    expect(cli.children()).not.toContain(first);
    expect(await calls(port, 20)).toEqual(new Set([200]));
    expect(upstream.tokens).toHaveLength(1);
  });

  it('that are all killed repeatedly are replaced, even if nothing else keeps the primary alive', async () => {
    const port = await freePort();
    const { cli } = await serve({ listen: `127.0.0.1:${port}`, admin: false });
    for (let round = 0; round < 3; round++) {
      await vi.waitUntil(() => cli.children().length === 2, 20_000);
      // From the second round on, the workers have lived for a short time only, so the next start is delayed.
      for (const pid of cli.children()) process.kill(pid, 'SIGKILL');
      await vi.waitUntil(() => (cli.stderr.match(/"worker_died"/g) ?? []).length >= 2 * (round + 1), 20_000);
    }
    // A connection that a dying worker got has no response.
    const status = () =>
      Promise.race([
        sendRequest(port, '/api/x').then(
          (response) => response.status,
          () => 0,
        ),
        sleep(2000, 0),
      ]);
    await vi.waitUntil(async () => (await status()) === 200, 30_000);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  it('whose start is delayed are not started after SIGTERM', async () => {
    const { cli } = await serve({ admin: false });
    for (let round = 0; round < 2; round++) {
      await vi.waitUntil(() => cli.children().length === 2, 20_000);
      for (const pid of cli.children()) process.kill(pid, 'SIGKILL');
      await vi.waitUntil(() => (cli.stderr.match(/"worker_died"/g) ?? []).length >= 2 * (round + 1), 20_000);
    }
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    expect(cli.stderr.match(/"event":"stopped"/g)).toHaveLength(1);
  });

  it('all apply a changed file, and refuse a change that needs a restart', async () => {
    const { upstream, cli, file, written, port, adminPort } = await serve();
    writeFileSync(file, JSON.stringify({ ...written, routes: { '/moved/*': routeTo(upstream) } }));
    cli.signal('SIGHUP');
    await vi.waitUntil(async () => {
      const statuses = await Promise.all(
        Array.from({ length: 8 }, () => sendRequest(port, '/moved/x', { body: '{}' })),
      );
      return statuses.every(({ status }) => status === 200);
    }, 20_000);
    expect(await calls(port, 8)).toEqual(new Set([404]));
    writeFileSync(file, JSON.stringify({ ...written, workers: 3 }));
    cli.signal('SIGHUP');
    await cli.until(/to change the number of `workers`, restart Wakala/);
    const readyz = (await sendRequest(adminPort, '/readyz')).json();
    expect(readyz).toMatchObject({ status: 'ready', detail: expect.stringContaining('restart Wakala') as string });
    expect(cli.children()).toHaveLength(2);
  });

  it('that die are replaced with the same configuration, whatever is on the disk', async () => {
    const { cli, file, port } = await serve();
    writeFileSync(file, 'routes: [');
    cli.signal('SIGHUP');
    await cli.until(/config_reload_refused/);
    const [first = 0] = cli.children();
    process.kill(first, 'SIGKILL');
    await cli.until(/"event":"worker_died"/);
    await vi.waitUntil(async () => cli.children().length === 2 && (await calls(port, 4)).has(200), 20_000);
    for (let i = 0; i < 5; i++) expect(await calls(port, 8)).toEqual(new Set([200]));
    expect(cli.stderr.match(/"worker_died"/g)).toHaveLength(1);
  });

  it('have their number in each log line, and in that of their death', async () => {
    const { cli, port } = await serve({ log: { requests: true } });
    await calls(port, 20);
    const lines = () =>
      cli.stderr.split('\n').flatMap((line) => (line.includes('"event":"request_finished"') ? [line] : []));
    await vi.waitUntil(() => lines().length === 20, 10_000);
    const numbers = new Set(lines().map((line) => /"worker":(\d+)/.exec(line)?.[1]));
    expect([...numbers].sort()).toEqual(['1', '2']);
    process.kill(cli.children()[0]!, 'SIGKILL');
    await cli.until(/"event":"worker_died","worker":[12]/);
    expect(cli.stderr).toMatch(/"level":"info","time":"[^"]*","event":"ready","listen":/);
  });

  it('finish the requests under way on SIGTERM, and the exit code is 0', async () => {
    const { upstream, cli, port, respondToHeld } = await serve();
    await calls(port, 4);
    const held = sendRequest(port, '/api/held', { body: '{}' });
    await vi.waitUntil(() => upstream.requests.some(({ target }) => target === '/held'), 10_000);
    cli.signal('SIGTERM');
    await cli.until(/"event":"draining"/);
    respondToHeld();
    expect((await held).text).toBe('late');
    expect(await cli.exited).toBe(0);
  });

  it('finish the requests under way and end if the primary is killed', async () => {
    const { upstream, cli, port, respondToHeld } = await serve({ drain_timeout: '10s' });
    const held = sendRequest(port, '/api/held', { body: '{}' });
    await vi.waitUntil(() => upstream.requests.some(({ target }) => target === '/held'), 10_000);
    const children = cli.children();
    cli.signal('SIGKILL');
    await cli.until(/"event":"draining"/);
    respondToHeld();
    expect((await held).text).toBe('late');
    await vi.waitUntil(() => !children.some(isAlive), 20_000);
  });

  it.each<[string, NodeJS.Signals]>([
    ['hangs', 'SIGSTOP'],
    ['dies', 'SIGKILL'],
  ])('fetch their own token when the primary %s while they wait for one', async (_, signal) => {
    const { cli, port } = await serve({ drain_timeout: '10s' });
    onTestFinished(() => cli.signal('SIGKILL'));
    // The primary hands new connections to the workers, so the worker has its connection before the primary stops.
    const agent = keepAlive(1);
    await sendRequest(port, '/unrouted', { agent });
    cli.signal('SIGSTOP');
    const response = sendRequest(port, '/api/x', { body: '{}', agent });
    await sleep(200);
    cli.signal(signal);
    expect(await response).toMatchObject({ status: 200 });
  });

  it('report once why they cannot start, with exit code 1', async () => {
    const taken = await RawUpstream.start(() => reply(200, 'fine'));
    const { port } = new URL(taken.origin);
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const settings = { listen: `127.0.0.1:${port}`, admin: false, workers: 2, routes: { '/api/*': routeTo(upstream) } };
    const cli = new CliProcess(['serve', '-c', configFile(settings)]);
    expect(await cli.exited).toBe(1);
    expect(cli.stderr).toContain(`127.0.0.1:${port} is in use by another process`);
  });

  it('are one for each core with `auto`', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const file = configFile({
      listen: '127.0.0.1:0',
      admin: false,
      workers: 'auto',
      routes: { '/api/*': routeTo(upstream) },
    });
    const cli = new CliProcess(['serve', '-c', file]);
    await cli.until(/"event":"ready"/);
    expect(
      await sendRequest(Number((await cli.until(/127\.0\.0\.1:(\d+)/))[1]), '/api/x', { body: '{}' }),
    ).toMatchObject({
      status: 200,
    });
  });
});
