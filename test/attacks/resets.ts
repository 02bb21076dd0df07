import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { sendJson } from '../soak/http-upstream.ts';
import { Random } from '../support/random.ts';
import type { Attack } from './attack.ts';
import { ATTACKER_KEY, keyLine, type Target } from './target.ts';
import { head, Wire } from './wire.ts';

/** Connections per attack. Some are reset before the response is written, some after. */
const CONNECTIONS = 12;

const CONNECT = head('CONNECT a:1 HTTP/1.1', 'Host: a:1');
const UPGRADE_LINES = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

/** A WebSocket handshake with the attacker's key. */
export function handshake(path: string, ...lines: readonly string[]): string {
  return head(`GET ${path} HTTP/1.1`, 'Host: localhost', keyLine(ATTACKER_KEY), ...UPGRADE_LINES, ...lines);
}

/** Opens connections one after the other, sends the bytes and resets each connection after a different delay. */
async function resetAfter(target: Target, bytes: string): Promise<void> {
  for (let i = 0; i < CONNECTIONS && !target.hasEnded; i++) {
    const wire = await target.open();
    wire.send(bytes);
    if (i % 4 > 0) await delay((i % 4) * 2 - 1);
    if (i % 3 === 2) wire.close();
    else wire.reset();
  }
  // An unhandled error ends the process within this time.
  await delay(100);
}

export const resetAfterConnect: Attack = {
  row: 1,
  promise: 'a reset after CONNECT crashes no process',
  prepare: () => ({
    run: async (target) => {
      await resetAfter(target, CONNECT);
      await resetAfter(target, CONNECT.replace(/\r\n$/, 'Content-Length: 100000\r\n\r\nx'));
    },
  }),
};

export const resetAfterUpgrade: Attack = {
  row: 1,
  promise: 'a reset after an Upgrade crashes no process, whatever the route and the path',
  prepare: (provider) => {
    provider.onUpgrade('opens', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
    provider.onUpgrade('silent', () => undefined);
    return {
      routes: {
        '/opens/*': provider.route('opens', { websocket: true }),
        '/silent/*': provider.route('silent', { websocket: true }),
        '/no-ws/*': provider.route('no-ws'),
      },
      run: async (target) => {
        const refused = head('GET /opens/x HTTP/1.1', 'Host: localhost', ...UPGRADE_LINES);
        const twoHosts = handshake('/opens/x', 'Host: localhost');
        for (const path of ['/opens/x', '/silent/x', '/no-ws/x', '/nowhere', '/opens/%2e%2e/x']) {
          await resetAfter(target, handshake(path));
        }
        for (const request of [refused, twoHosts]) await resetAfter(target, request);
      },
    };
  },
};

export const resetOfPipelined: Attack = {
  row: 1,
  promise: 'a reset after CONNECT or an Upgrade behind a slow or refused request crashes no process',
  prepare: (provider) => {
    provider.on('slow', async (_, res) => {
      await delay(60);
      sendJson(res, 200, {});
    });
    return {
      routes: { '/slow/*': provider.route('slow', { websocket: true }) },
      run: async (target) => {
        const slow = head('GET /slow/x HTTP/1.1', 'Host: localhost', keyLine(ATTACKER_KEY));
        const twoHosts = head('GET /slow/x HTTP/1.1', 'Host: a', 'Host: b');
        for (const first of [slow, twoHosts, head('GET /nowhere HTTP/1.1', 'Host: localhost')]) {
          for (const second of [CONNECT, handshake('/slow/x'), handshake('/nowhere')]) {
            await resetAfter(target, first + second);
          }
        }
        // The reset arrives before the response to the first request, and long after it.
        for (const waitMs of [20, 60, 120]) {
          for (const second of [CONNECT, handshake('/slow/x')]) {
            const wires = await Promise.all(Array.from({ length: 4 }, () => target.open()));
            for (const wire of wires) wire.send(slow + second);
            await delay(waitMs);
            for (const wire of wires) wire.reset();
          }
        }
        await delay(100);
      },
    };
  },
};

export const resetOverLimit: Attack = {
  row: 1,
  promise: 'a reset of a connection over `max_connections` crashes no process',
  appliesTo: ({ form }) => form === 'binary',
  prepare: () => ({
    run: (running) =>
      running.withOther({ max_connections: 1, workers: 1 }, async (target) => {
        const first = await target.open();
        for (const bytes of ['GET', CONNECT, handshake('/opens/x'), head('GET / HTTP/1.1', 'Host: localhost')]) {
          for (let i = 0; i < CONNECTIONS && !target.hasEnded; i++) {
            const wire = await Wire.openTcp(target.port);
            wire.send(bytes);
            await delay(i % 4);
            wire.reset();
          }
        }
        await delay(100);
        first.close();
      }),
  }),
};

export const resetInEveryState: Attack = {
  row: 1,
  promise: 'connections closed after any byte of a request crash no process',
  prepare: (provider) => {
    provider.on('pay', (req, res) => {
      req.resume();
      req.on('end', () => sendJson(res, 200, { pad: 'x'.repeat(40_000) }));
    });
    return {
      routes: { '/pay/*': provider.route('pay') },
      run: async (target) => {
        const random = new Random(14);
        const post = head('POST /pay/x HTTP/1.1', 'Host: localhost', keyLine(ATTACKER_KEY), 'Content-Length: 2000');
        const chunked = head(
          'POST /pay/x HTTP/1.1',
          'Host: localhost',
          keyLine(ATTACKER_KEY),
          'Transfer-Encoding: chunked',
          'Expect: 100-continue',
        );
        const requests = [
          post + 'x'.repeat(2000),
          `${chunked}10;ext="a"\r\n${'x'.repeat(16)}\r\n0\r\nTrailer: 1\r\n\r\n`,
          CONNECT,
          handshake('/pay/x'),
          handshake('/nowhere'),
        ];
        for (let i = 0; i < 60 && !target.hasEnded; i++) {
          const bytes = random.pick(requests) + random.pick(['', ...requests]);
          const wire = await target.open();
          wire.send(bytes.slice(0, random.between(0, bytes.length + 1)));
          await delay(random.between(0, 8));
          if (random.chance(0.6)) wire.reset();
          else if (random.chance(0.5)) wire.close();
          else wire.end();
        }
        await delay(100);
      },
    };
  },
};

export const brokenHandshakes: Attack = {
  row: 1,
  promise: 'interrupted TLS handshakes crash no process',
  appliesTo: ({ listener }) => listener === 'TLS',
  prepare: () => ({
    run: async (target) => {
      const random = new Random(15);
      const hello = await clientHello(target);
      for (let i = 0; i < 40 && !target.hasEnded; i++) {
        const wire = await Wire.openTcp(target.port);
        const garbled = Buffer.from(hello);
        if (random.chance(0.3)) garbled[random.between(0, hello.length)] = random.between(0, 256);
        wire.send(garbled.subarray(0, random.between(0, hello.length + 1)));
        await delay(random.between(0, 5));
        if (random.chance(0.7)) wire.reset();
        else wire.close();
      }
      await delay(100);
    },
  }),
};

/** The first message of a TLS client, received by a server that does not respond. */
async function clientHello({ ca }: Target): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const opening = Wire.open({ port: (server.address() as AddressInfo).port, ca }).catch(() => undefined);
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  server.close();
  await opening;
  return hello;
}

export const resetWhileOpening: Attack = {
  row: 1,
  promise: 'a reset after an Upgrade while the library is starting crashes no process',
  appliesTo: ({ form }) => form === 'library',
  prepare: () => ({
    run: async (running) => {
      // A token store that accepts connections but does not respond.
      const silent = createServer().listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const sockets: Socket[] = [];
      silent.on('connection', (socket) => sockets.push(socket.on('error', () => {})));
      const { port } = silent.address() as AddressInfo;
      try {
        const encryption_key = 'an encryption key that is long enough';
        await running.withOther(
          { token_store: { redis: `redis://127.0.0.1:${port}`, encryption_key } },
          async (target) => {
            for (const path of ['/opens/x', '/nowhere']) await resetAfter(target, handshake(path));
          },
        );
      } finally {
        silent.close();
        for (const socket of sockets) socket.destroy();
      }
    },
  }),
};
