import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { issue } from '../config/certificate.ts';
import { CliProcess, configFile, temporaryDirectory } from '../support/proxy-process.ts';
import { routeTo, type Settings } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

const HOST = 'Host: localhost';
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

const request = (line: string, ...lines: string[]) => [`${line} HTTP/1.1`, HOST, ...lines, '', ''].join('\r\n');

const CONNECT = request('CONNECT a:1');
const HELD = request('GET /api/held');
const HANDSHAKE = request('GET /api/ws', UPGRADE);
const BAD_FRAMING = request('POST /api/x', 'Transfer-Encoding: gzip, chunked') + '0\r\n\r\n';

/** What a client sends before its connection breaks. `until`: the text that it waits for first. */
interface Attack {
  readonly name: string;
  readonly sends: string;
  readonly until?: string;
}

const ATTACKS: readonly Attack[] = [
  { name: 'CONNECT', sends: CONNECT, until: '405' },
  { name: 'CONNECT without a response yet', sends: CONNECT },
  { name: 'CONNECT with a body', sends: request('CONNECT a:1', 'Content-Length: 9') + 'half' },
  { name: 'CONNECT behind a slow GET', sends: HELD + CONNECT },
  { name: 'CONNECT with a body behind a slow GET', sends: HELD + request('CONNECT a:1', 'Content-Length: 9') },
  { name: 'CONNECT behind refused framing', sends: BAD_FRAMING + CONNECT },
  { name: 'an upgrade behind a slow GET', sends: HELD + HANDSHAKE },
  { name: 'an upgrade behind refused framing', sends: BAD_FRAMING + HANDSHAKE },
  { name: 'an upgrade that is refused', sends: request('GET /nowhere', UPGRADE), until: '404' },
  { name: 'an upgrade with a body', sends: request('GET /api/ws', UPGRADE, 'Content-Length: 9') + 'half' },
  { name: 'an upgrade with chunks', sends: request('GET /api/ws', UPGRADE, 'Transfer-Encoding: chunked') + '4\r\nha' },
  { name: 'an upgrade to h2c', sends: request('GET /api/held', 'Connection: Upgrade', 'Upgrade: h2c') },
  { name: 'an upgrade without a response from the provider', sends: request('GET /api/held', UPGRADE) },
  { name: 'an open WebSocket', sends: HANDSHAKE, until: '101' },
  { name: 'half a head', sends: 'GET /api/x HTTP/1.1\r\nHo' },
  { name: 'half a body', sends: request('POST /api/x', 'Content-Length: 9') + 'half' },
  { name: 'a slow GET', sends: HELD },
  { name: 'slow GETs, pipelined', sends: HELD.repeat(12) },
  { name: 'garbage', sends: 'garbage\r\n\r\n' },
  { name: 'garbage behind a slow GET', sends: `${HELD}garbage\r\n\r\n` },
  { name: 'the preface of HTTP/2', sends: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  { name: 'nothing', sends: '' },
];

/** How a connection breaks after its bytes are written. `arrived` waits until the proxy has handled them. */
const ENDINGS: Readonly<Record<string, (socket: Socket, arrived: () => Promise<unknown>) => unknown>> = {
  'reset at once': (socket) => socket.resetAndDestroy(),
  'closed at once': (socket) => socket.destroy(),
  reset: async (socket, arrived) => {
    await arrived();
    socket.resetAndDestroy();
  },
  closed: async (socket, arrived) => {
    await arrived();
    socket.destroy();
  },
  'half-closed, then reset': async (socket) => {
    socket.end();
    await sleep(10);
    socket.resetAndDestroy();
  },
};
type Ending = (typeof ENDINGS)[string];

interface Listener {
  readonly port: number;
  readonly tls: boolean;
}

/** A client's connection: the raw socket, and the stream that it reads and writes. */
async function open({ port, tls }: Listener): Promise<{ raw: Socket; stream: Socket; received: () => string }> {
  // The client does not close when the proxy closes its side.
  const raw = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {});
  onTestFinished(() => void raw.destroy());
  await once(raw, 'connect');
  const stream = tls ? connectTls({ socket: raw, rejectUnauthorized: false }).on('error', () => {}) : raw;
  if (tls) await once(stream, 'secureConnect');
  let text = '';
  stream.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')));
  return { raw, stream, received: () => text };
}

async function run(listener: Listener, { sends, until }: Attack, end: Ending): Promise<void> {
  const { raw, stream, received } = await open(listener);
  await new Promise((resolve) => stream.write(sends, 'latin1', resolve));
  await end(raw, () => (until === undefined ? sleep(10) : expect.poll(received).toContain(until)));
}

/** The status that an ordinary client gets. */
async function statusOf(listener: Listener): Promise<string> {
  try {
    const { stream, received } = await open(listener);
    stream.write(request('GET /api/x', 'Connection: close'));
    await Promise.race([once(stream, 'end'), sleep(5000)]);
    return received().slice(9, 12);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function serve(settings: Settings = {}) {
  const upstream = await RawUpstream.start(({ target }) =>
    target === '/held' ? undefined : target === '/ws' ? SWITCHED : reply(200, 'fine'),
  );
  const routes = { '/api/*': routeTo(upstream, { websocket: true, timeout: '1s' }) };
  const cli = new CliProcess(['serve', '-c', configFile({ admin: false, drain_timeout: '30s', routes, ...settings })]);
  const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
  return { cli, port: Number(port) };
}

function tlsListen() {
  const { cert, key } = issue({ name: 'localhost' });
  const folder = temporaryDirectory();
  const files = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key, { mode: 0o600 });
  return { address: '127.0.0.1:0', tls: files };
}

describe('a connection that breaks never ends the process', { timeout: 120_000 }, () => {
  it.each<[string, () => Settings, boolean]>([
    ['on a plain listener', () => ({ listen: '127.0.0.1:0' }), false],
    ['on a TLS listener', () => ({ listen: tlsListen() }), true],
    ['with two workers', () => ({ listen: '127.0.0.1:0', workers: 2 }), false],
  ])('%s', async (_, settings, tls) => {
    let serving: Awaited<ReturnType<typeof serve>> | undefined;
    const fatal: string[] = [];
    for (const attack of ATTACKS) {
      for (const [ending, end] of Object.entries(ENDINGS)) {
        serving ??= await serve(settings());
        const listener = { port: serving.port, tls };
        await run(listener, attack, end);
        const statuses = [await statusOf(listener), await statusOf(listener)];
        if (statuses.join() === '200,200' && !serving.cli.stderr.includes('worker_died')) continue;
        fatal.push(`${attack.name} ${ending}: ${statuses.join()}`);
        serving.cli.signal('SIGKILL');
        serving = undefined;
      }
    }
    expect(fatal).toEqual([]);
    serving?.cli.signal('SIGTERM');
    expect(await serving?.cli.exited).toBe(0);
    expect(serving?.cli.stderr).not.toContain('worker_died');
  });

  it('over max_connections', async () => {
    const { cli, port } = await serve({ max_connections: 1 });
    const listener = { port, tls: false };
    for (const sends of [CONNECT, HANDSHAKE, HELD + CONNECT, request('GET /api/x')]) {
      const first = await open(listener);
      await expect.poll(() => statusOf(listener)).toBe('503');
      for (const end of Object.values(ENDINGS)) await run(listener, { name: '', sends }, end);
      first.raw.destroy();
      await expect.poll(() => statusOf(listener)).toBe('200');
    }
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });
});
