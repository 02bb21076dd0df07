import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { onTestFinished } from 'vitest';
import { listen } from './listen.ts';
import { routeTo, type Settings, startProxy } from './proxy-server.ts';
import { RawClient } from './raw-client.ts';
import { RawUpstream, reply } from './upstream-raw.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** The head of a handshake. */
export function handshake(path: string, ...lines: string[]): string {
  const head = [`GET ${path} HTTP/1.1`, 'Host: localhost', 'Connection: Upgrade', 'Upgrade: websocket'];
  return [...head, 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${KEY}`, ...lines, '', ''].join('\r\n');
}

/**
 * A proxy with a route `/ws/*` to an upstream that handles handshakes with `onUpgrade`. Its tokens come from `tokens`.
 * `top`: keys beside `routes`.
 */
export async function startWebSockets(
  onUpgrade: (req: IncomingMessage, socket: Duplex) => void = switchToEcho,
  settings: Settings = {},
  top: Settings = {},
) {
  const handshakes: IncomingMessage[] = [];
  const server = createServer().on('upgrade', (req: IncomingMessage, socket: Duplex) => {
    handshakes.push(req);
    socket.on('error', () => {});
    onUpgrade(req, socket);
    onTestFinished(() => void socket.destroy());
  });
  const port = await listen(server);
  const tokens = await RawUpstream.start(() => reply(200, 'plain'));
  const upstream = `http://127.0.0.1:${port}`;
  const proxy = await startProxy({
    ...top,
    routes: {
      '/ws/*': {
        ...routeTo(tokens),
        upstream: `${upstream}/base`,
        auth_server: tokens.origin,
        websocket: true,
        ...settings,
      },
      '/api/*': routeTo(tokens),
    },
  });
  return { proxy, handshakes, tokens, port, client: await RawClient.open(proxy.port) };
}

/** Takes a handshake, and sends back whatever follows. */
export function switchToEcho(req: IncomingMessage, socket: Duplex): void {
  const accept = createHash('sha1').update(
    `${req.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
  );
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\nX-Echo: ${req.headers.authorization ?? ''}\r\n\r\n`,
  );
  socket.pipe(socket);
}
