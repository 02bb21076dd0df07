import { setTimeout as delay } from 'node:timers/promises';
import { sendJson } from '../soak/http-upstream.ts';
import { eventually } from '../soak/scope.ts';
import type { Attack } from './attack.ts';
import { expectMemoryWithin, waitUntilIdle } from './resource-limits.ts';
import { ATTACKER_KEY, keyLine, type Target } from './target.ts';
import { head, type Wire } from './wire.ts';

/** Maximum memory growth in one of these attacks. A successful attack costs several times as much. */
const MAX_GROWTH_MIB = 96;
const MIB = 1024 * 1024;

async function openMany(target: Target, count: number): Promise<Wire[]> {
  return Promise.all(Array.from({ length: count }, () => target.open()));
}

function closeAll(wires: readonly Wire[]): void {
  for (const wire of wires) wire.close();
}

export const endlessPipeline: Attack = {
  row: 3,
  promise: 'endless pipelined requests behind a slow one use no memory',
  prepare: (provider) => {
    let isHeld = true;
    provider.on('held', async (_, res) => {
      await eventually(60_000, () => !isHeld);
      sendJson(res, 200, {});
    });
    return {
      routes: { '/held/*': provider.route('held') },
      run: async (target) => {
        const slow = head('GET /held/x HTTP/1.1', 'Host: localhost', keyLine(ATTACKER_KEY));
        const small = head('GET /x HTTP/1.1', 'Host: a');
        const posts = `${head('POST /held/x HTTP/1.1', 'Host: a', 'Content-Length: 2000')}${'x'.repeat(2000)}`;
        const large = head('GET /held/x HTTP/1.1', 'Host: a', `X: ${'x'.repeat(15_000)}`);
        const wires: Wire[] = [];
        try {
          await expectMemoryWithin(target, MAX_GROWTH_MIB, async () => {
            await Promise.all(
              [small, posts, large].map(async (request) => {
                const wire = await target.open();
                wires.push(wire);
                wire.send(slow);
                await wire.flood(Buffer.from(request.repeat(Math.ceil(65_536 / request.length))), 8 * MIB);
              }),
            );
          });
        } finally {
          isHeld = false;
          closeAll(wires);
        }
      },
    };
  },
};

export const unreadResponses: Attack = {
  row: 3,
  promise: 'responses to endless requests from a client that does not read use no memory',
  prepare: (provider) => {
    provider.on('large', (_, res) => sendJson(res, 200, { pad: 'x'.repeat(2 * MIB) }));
    return {
      routes: { '/large/*': provider.route('large') },
      run: async (target) => {
        const large = head('GET /large/x HTTP/1.1', 'Host: localhost', keyLine(ATTACKER_KEY));
        const refused = head('GET /x HTTP/1.1', 'Host: a');
        const wires: Wire[] = [];
        try {
          await expectMemoryWithin(target, MAX_GROWTH_MIB, async () => {
            const floods = [...Array<[string, number]>(8).fill([large, 0.1 * MIB]), [refused, 4 * MIB] as const];
            await Promise.all(
              floods.map(async ([request, maxBytes]) => {
                const wire = await target.open();
                wires.push(wire);
                wire.stopReading();
                await wire.flood(Buffer.from(request.repeat(500)), maxBytes);
              }),
            );
          });
        } finally {
          closeAll(wires);
        }
      },
    };
  },
};

export const tinyChunks: Attack = {
  row: 7,
  promise: 'request bodies in chunks of one byte use no more memory than their bytes',
  prepare: (provider) => ({
    routes: { '/tiny/*': provider.route('tiny') },
    run: async (target) => {
      const post = head(
        'POST /tiny/x HTTP/1.1',
        'Host: localhost',
        keyLine(ATTACKER_KEY),
        'Transfer-Encoding: chunked',
      );
      // Up to 64 KiB may be kept for a replay. The last byte is not sent.
      const body = '1\r\nx\r\n'.repeat(65_535);
      const wires = await openMany(target, 14);
      try {
        await expectMemoryWithin(target, MAX_GROWTH_MIB, () =>
          Promise.all(wires.map((wire) => wire.sendAll(post + body))),
        );
      } finally {
        closeAll(wires);
      }
    },
  }),
};

export const tinyResponseChunks: Attack = {
  row: 7,
  promise: 'responses in chunks of one byte use no more memory than their bytes',
  prepare: (provider) => {
    // As many as the proxy buffers before it starts to stream a response. The end is not sent.
    const chunks = '1\r\nx\r\n'.repeat(16_000);
    const sockets: { destroy: () => void }[] = [];
    provider.on('drip', (_, res) => {
      const { socket } = res;
      if (socket === null) return;
      sockets.push(socket);
      socket.write(`HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
    });
    return {
      routes: {
        '/drip/*': provider.route('drip', {
          token: {
            request: { path: '/token', json: { key: '{key}' } },
            response: { access_token: 'access_token', expires_in: 'expires_in' },
            dead_token: [{ status: 404, body: { error: 'dead' } }],
          },
        }),
      },
      run: async (target) => {
        const wires = await openMany(target, 60);
        try {
          await expectMemoryWithin(target, MAX_GROWTH_MIB, async () => {
            for (const wire of wires) wire.send(head('GET /drip/x HTTP/1.1', 'Host: localhost', keyLine(ATTACKER_KEY)));
            await eventually(20_000, () => sockets.length === wires.length || target.hasEnded);
            await delay(200);
          });
        } finally {
          for (const socket of sockets.splice(0)) socket.destroy();
          closeAll(wires);
        }
      },
    };
  },
};

export const tinyInspectedChunks: Attack = {
  row: 7,
  promise: 'bodies kept by the inspector use no more memory than their bytes, whatever their chunks',
  appliesTo: ({ form }) => form === 'binary',
  prepare: (provider) => {
    provider.on('kept', (req, res) => {
      req.resume();
      req.on('end', () => sendJson(res, 200, {}));
    });
    return {
      routes: { '/kept/*': provider.route('kept') },
      run: async (target) => {
        const post = head(
          'POST /kept/x HTTP/1.1',
          'Host: localhost',
          keyLine(ATTACKER_KEY),
          'Transfer-Encoding: chunked',
        );
        const whole = `${post}${'1\r\nx\r\n'.repeat(16_384)}0\r\n\r\n`;
        await expectMemoryWithin(target, MAX_GROWTH_MIB, async () => {
          const wires = await openMany(target, 4);
          for (let i = 1; i <= 20 && !target.hasEnded; i++) {
            for (const wire of wires) wire.send(whole);
            const responses = new RegExp(`(?:HTTP/1\\.1 200[^]*?){${i}}`);
            await Promise.all(wires.map((wire) => wire.waitFor(responses)));
          }
          closeAll(wires);
          await waitUntilIdle(target);
        });
      },
    };
  },
};
