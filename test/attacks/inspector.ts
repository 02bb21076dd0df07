import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { sendJson } from '../soak/http-upstream.ts';
import type { Attack } from './attack.ts';
import { handshake } from './resets.ts';
import { expectCpuWithin, expectMemoryWithin } from './resource-limits.ts';
import type { Kind, Target } from './target.ts';
import { head, Wire } from './wire.ts';

/** The library has no admin listener. */
const appliesTo = ({ form }: Kind) => form === 'binary';

/** Maximum CPU time of an attack and of viewing its requests. A successful attack takes ten times as much. */
const MAX_CPU_MS = 4000;
const MAX_GROWTH_MIB = 96;
const MIB = 1024 * 1024;
/** About the longest request target that fits into a head of 16 KiB. */
const LONG = 15_000;

/** All pages and endpoints that show requests. */
const PAGES = ['/', '/requests', '/api/routes', '/api/requests', '/metrics'];

/** Fetches all pages, including that of the latest request on a route. */
async function viewPages(target: Target, route: string): Promise<string[]> {
  const id = await latestRequestId(target, route);
  const texts: string[] = [];
  for (const path of [...PAGES, `/api/requests/${id}`, `/requests/${id}`]) {
    const page = await target.sendAdminRequest(path);
    if (page.status !== 200) throw new Error(`${path} got ${page.status}`);
    texts.push(page.text);
  }
  return texts;
}

/** A request is recorded a moment after its client has the response. */
async function latestRequestId(target: Target, route: string): Promise<string> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const { text } = await target.sendAdminRequest(`/api/requests?route=${encodeURIComponent(route)}`);
    const [latest] = (JSON.parse(text) as { requests: { id: string }[] }).requests;
    if (latest !== undefined) return latest.id;
    await delay(100);
  }
  throw new Error(`no request to ${route} was recorded`);
}

export const longRequests: Attack = {
  row: 5,
  promise: 'long queries, paths and headers do not block the event loop when the inspector shows them',
  appliesTo,
  prepare: (provider) => {
    provider.on('lengthy', (_, res) => {
      res.setHeader('etag', '1234567-'.repeat(LONG / 8));
      sendJson(res, 404, {});
    });
    const targets = [
      `?${'a'.repeat(LONG)}`,
      `?${'12'.repeat(LONG / 2)}`,
      `?${'+1234567890%20'.repeat(LONG / 15)}`,
      `?${'a=&'.repeat(LONG / 3)}`,
      '1234567/'.repeat(LONG / 8),
    ];
    const agents = ['a'.repeat(LONG), '12'.repeat(LONG / 2), '1234567,'.repeat(LONG / 8), 'abcdef01-'.repeat(LONG / 9)];
    return {
      routes: { '/lengthy/*': provider.route('lengthy') },
      run: (target) =>
        expectCpuWithin(target, MAX_CPU_MS, async () => {
          for (let i = 0; i < 60; i++) {
            await target.sendRequest(`/lengthy/x${targets[i % targets.length] ?? ''}`);
            if (i % 3 === 0) {
              await target.sendRequest('/lengthy/y', { headers: { 'user-agent': agents[i % agents.length] ?? '' } });
            }
          }
          await viewPages(target, '/lengthy/*');
        }),
    };
  },
};

export const compressedBodies: Attack = {
  row: 5,
  promise: 'compressed bodies do not block the event loop when the inspector shows them',
  appliesTo,
  prepare: (provider) => {
    const texts = ['a'.repeat(256 * 1024), 'a_'.repeat(128 * 1024), '1'.repeat(MIB), '[{"a":'.repeat(40_000)];
    const bodies = texts.map((text) => gzipSync(text));
    provider.on('zipped', (req, res) => {
      req.resume();
      req.on('end', () => {
        const body = bodies[Number(req.url?.at(-1))] ?? Buffer.alloc(0);
        res.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length });
        res.end(body);
      });
    });
    return {
      routes: { '/zipped/*': provider.route('zipped') },
      run: (target) =>
        expectCpuWithin(target, MAX_CPU_MS, async () => {
          for (const [i, body] of bodies.entries()) {
            const headers = { 'content-encoding': 'gzip', 'content-type': 'text/plain' };
            await target.sendRequest(`/zipped/${i}`, { method: 'POST', headers, body });
            await viewPages(target, '/zipped/*');
          }
        }),
    };
  },
};

/** Customer data: a phone number, a card and a ticket. */
const PRIVATE = ['254712345678', '4111111111111111', 'ticket-5e8f'];

export const refusedPaths: Attack = {
  row: 9,
  promise: 'phone numbers, cards and tickets in refused calls are not shown',
  appliesTo,
  prepare: (provider) => {
    const [phone = '', card = '', ticket = ''] = PRIVATE;
    provider.on('private', (_, res) => sendJson(res, 401, {}));
    provider.onUpgrade('private', (_, socket) => {
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
    return {
      routes: { '/private/*': provider.route('private', { websocket: true }) },
      run: async (target) => {
        const events = await Wire.openTcp(target.adminPort);
        events.send(head('GET /api/events HTTP/1.1', `Host: 127.0.0.1:${target.adminPort}`));
        await events.waitFor(/event: routes/);
        for (let i = 0; i < 4; i++) {
          await target.sendRequest(`/private/msisdn/${phone}/card/${card}?token=${ticket}`);
          const wire = await target.open();
          wire.send(handshake(`/private/stream?ticket=${ticket}&phone=${phone}&card=${card}`));
          await wire.waitFor(/^HTTP\/1\.1 401/);
          wire.close();
        }
        const texts = await viewPages(target, '/private/*');
        await events.waitFor(/event: request[^]*private/);
        // Events about changed routes are sent a second later.
        await delay(1500);
        events.close();
        for (const text of [...texts, events.received]) {
          const found = PRIVATE.find((secret) => text.includes(secret));
          if (found !== undefined) throw new Error(`${found} is shown: ${around(text, found)}`);
        }
      },
    };
  },
};

function around(text: string, found: string): string {
  const at = text.indexOf(found);
  return JSON.stringify(text.slice(Math.max(0, at - 80), at + 40));
}

export const longRefusedPaths: Attack = {
  row: 9,
  promise: 'long paths of refused calls do not produce large pages, and event listeners that do not read use no memory',
  appliesTo,
  prepare: (provider) => {
    provider.on('long', (_, res) => sendJson(res, 401, {}));
    return {
      routes: { '/long/*': provider.route('long') },
      run: async (target) => {
        const listeners: Wire[] = [];
        try {
          await expectMemoryWithin(target, MAX_GROWTH_MIB, async () => {
            for (let i = 0; i < 40; i++) {
              const listener = await Wire.openTcp(target.adminPort);
              listeners.push(listener);
              listener.send(head('GET /api/events HTTP/1.1', `Host: 127.0.0.1:${target.adminPort}`));
              listener.stopReading();
            }
            for (let i = 0; i < 200; i++) await target.sendRequest(`/long/${i}/${'x/'.repeat(LONG / 2)}`);
            // Events are sent once a second.
            await delay(3000);
          });
          for (const path of PAGES) {
            const { text } = await target.sendAdminRequest(path);
            if (text.length > MIB) throw new Error(`${path} is ${(text.length / MIB).toFixed(1)} MiB`);
          }
        } finally {
          for (const listener of listeners) listener.close();
        }
      },
    };
  },
};
