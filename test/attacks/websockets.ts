import type { Duplex } from 'node:stream';
import { sendJson } from '../soak/http-upstream.ts';
import { eventually } from '../soak/scope.ts';
import type { Attack } from './attack.ts';
import { handshake } from './resets.ts';
import { expectMemoryWithin } from './resource-limits.ts';
import type { Target } from './target.ts';
import type { Wire } from './wire.ts';

const MAX_GROWTH_MIB = 64;
const MIB = 1024 * 1024;
/** How long the release of a slot may take. The timeout of the route is one second. */
const RELEASE_TIMEOUT_MS = 20_000;

const OPENS = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

export const unreadRefusal: Attack = {
  row: 6,
  promise: 'the unread response to a refused handshake uses no memory',
  prepare: (provider) => {
    const open = new Set<Duplex>();
    provider.onUpgrade('refusing', (_, socket) => {
      open.add(socket.on('close', () => open.delete(socket)));
      const size = 160 * MIB;
      socket.write(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${size}\r\n\r\n`);
      const piece = Buffer.alloc(MIB, 'x');
      let left = size;
      const more = () => {
        while (left > 0) {
          left -= piece.length;
          if (!socket.write(piece)) break;
        }
        if (left > 0) socket.once('drain', more);
      };
      more();
    });
    return {
      routes: { '/refusing/*': provider.route('refusing', { websocket: true }) },
      run: async (target) => {
        const wires: Wire[] = [];
        try {
          await expectMemoryWithin(target, MAX_GROWTH_MIB, async () => {
            for (let i = 0; i < 2; i++) {
              const wire = await target.open();
              wires.push(wire);
              wire.stopReading();
              wire.send(handshake('/refusing/x'));
            }
            await eventually(10_000, () => open.size === 2);
          });
        } finally {
          for (const wire of wires) wire.close();
          for (const socket of open) socket.destroy();
        }
      },
    };
  },
};

/** Sends ordinary requests on the route until one succeeds. */
async function expectServed(target: Target, path: string, what: string): Promise<void> {
  let last = '';
  const served = await eventually(RELEASE_TIMEOUT_MS, async () => {
    const { status, text } = await target.sendRequest(path);
    last = `${status} ${text.slice(0, 200)}`;
    return status === 200;
  });
  if (!served) throw new Error(`${what}: ${last}`);
}

export const stalledRefusal: Attack = {
  row: 6,
  promise: 'a refused handshake with an endless response releases its slot, and the connection is closed',
  prepare: (provider) => {
    provider.on('stalling', (_, res) => sendJson(res, 200, {}));
    provider.onUpgrade('stalling', (_, socket) => {
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 100000\r\n\r\nbegin');
    });
    provider.on('no-response', (_, res) => sendJson(res, 200, {}));
    provider.onUpgrade('no-response', () => undefined);
    const settings = { websocket: true, timeout: '1s', max_concurrency: 2 };
    return {
      routes: {
        '/stalling/*': provider.route('stalling', settings),
        '/no-response/*': provider.route('no-response', settings),
      },
      run: async (target) => {
        const stall = async (path: string) => {
          // Enough for every process. A process with more than its share refuses the rest.
          const wires = await Promise.all(Array.from({ length: 2 * target.kind.workers }, () => target.open()));
          for (const wire of wires) wire.send(handshake(path));
          for (const wire of wires) await wire.waitFor(/^HTTP\/1\.1 (?:403|503|504)/);
          await expectServed(target, path, 'refused handshakes hold `max_concurrency`');
          for (const wire of wires) {
            if (!(await wire.waitForClose())) throw new Error('a connection whose handshake was refused stays open');
          }
        };
        await Promise.all(['/stalling/x', '/no-response/x'].map(stall));
      },
    };
  },
};

export const idleWebSockets: Attack = {
  row: 6,
  promise: 'open WebSockets use no slot of `max_concurrency`',
  prepare: (provider) => {
    provider.on('idle', (_, res) => sendJson(res, 200, {}));
    provider.onUpgrade('idle', (_, socket) => void socket.write(OPENS));
    return {
      routes: { '/idle/*': provider.route('idle', { websocket: true, max_concurrency: 2 }) },
      run: async (target) => {
        const wires = await Promise.all(Array.from({ length: 2 * target.kind.workers }, () => target.open()));
        try {
          for (const wire of wires) {
            wire.send(handshake('/idle/x'));
            await wire.waitFor(/^HTTP\/1\.1 (?:101|503)/);
          }
          for (let i = 0; i < 2 * target.kind.workers; i++) {
            const { status, text } = await target.sendRequest('/idle/x');
            if (status !== 200) throw new Error(`an ordinary request got ${status} ${text}`);
          }
        } finally {
          for (const wire of wires) wire.close();
        }
      },
    };
  },
};

export const halfClosedWebSockets: Attack = {
  row: 6,
  promise:
    'a WebSocket whose client disconnected is also closed at the provider, even if the provider keeps its side open',
  prepare: (provider) => {
    const open = new Set<Duplex>();
    provider.onUpgrade('left', (_, socket) => {
      open.add(socket.on('close', () => open.delete(socket)));
      socket.resume();
      socket.write(OPENS);
    });
    return {
      routes: { '/left/*': provider.route('left', { websocket: true }) },
      run: async (target) => {
        for (const leave of ['end', 'close', 'reset'] as const) {
          const wire = await target.open();
          wire.send(handshake('/left/x'));
          await wire.waitFor(/^HTTP\/1\.1 101/);
          wire[leave]();
        }
        // Writing shows whether a half-closed socket is still open.
        const isClosed = await eventually(RELEASE_TIMEOUT_MS, () => {
          for (const socket of open) socket.write('x');
          return open.size === 0;
        });
        for (const socket of open) socket.destroy();
        if (!isClosed) throw new Error('connections to the provider stay open');
      },
    };
  },
};

export const refusalHeaders: Attack = {
  row: 6,
  promise: 'the response to a refused handshake follows the same rules as any other response',
  prepare: (provider) => {
    provider.onUpgrade('heads', (req, socket) => {
      const common = 'Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nX-Kept: 1\r\n';
      const status = req.url?.endsWith('/204') === true ? '204 No Content' : '403 Forbidden';
      const body = status.startsWith('204') ? '' : '0\r\n\r\n';
      socket.end(`HTTP/1.1 ${status}\r\n${common}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${body}`);
    });
    return {
      routes: { '/heads/*': provider.route('heads', { websocket: true }) },
      run: async (target) => {
        for (const status of [204, 403]) {
          const wire = await target.open();
          wire.send(handshake(`/heads/${status}`));
          const [response] = await wire.waitFor(/^HTTP\/1\.1 (?:204|403)[^]*?\r\n\r\n/);
          wire.close();
          const unwanted = /^(?:access-control-.*)$/im.exec(response) ?? [];
          const framing = status === 204 ? /^(?:transfer-encoding|content-length):.*$/im.exec(response) : null;
          const [found] = framing ?? unwanted;
          if (found !== undefined) throw new Error(`the ${status} has \`${found}\``);
          if (!/^x-kept: 1/im.test(response)) throw new Error(`the ${status} lost its own header: ${response}`);
        }
      },
    };
  },
};
