import { setTimeout as delay } from 'node:timers/promises';
import { type Endpoint, head, Wire } from '../attacks/wire.ts';
import type { Random } from '../support/random.ts';

export const HOSTILE_KEY = 'hostile-key-0123456789';

const KEY = `Authorization: Bearer ${HOSTILE_KEY}`;
const HOST = 'Host: localhost';
const WEBSOCKET = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
/** About as much as fits into a request head of 16 KiB. */
const LONG = 'x'.repeat(15_000);

/** What a hostile client may send. The paths are those of hostile-clients-api.ts. */
const REQUESTS = {
  get: head('GET /api/small HTTP/1.1', HOST, KEY),
  slow: head('GET /api/slow HTTP/1.1', HOST, KEY),
  large: head('GET /api/large HTTP/1.1', HOST, KEY),
  endless: head('GET /api/endless HTTP/1.1', HOST, KEY),
  drops: head('GET /api/drops HTTP/1.1', HOST, KEY),
  post: head('POST /api/small HTTP/1.1', HOST, KEY, 'Content-Length: 300') + 'x'.repeat(300),
  'large post': head('POST /api/small HTTP/1.1', HOST, KEY, 'Content-Length: 200000') + 'x'.repeat(200_000),
  'tiny chunks': `${head('POST /api/small HTTP/1.1', HOST, KEY, 'Transfer-Encoding: chunked')}${'1\r\nx\r\n'.repeat(3000)}0\r\n\r\n`,
  expects: head('POST /api/small HTTP/1.1', HOST, KEY, 'Expect: 100-continue', 'Content-Length: 20') + 'x'.repeat(20),
  'always refused': head('GET /api/refused HTTP/1.1', HOST, KEY),
  'long query': head(`GET /api/small?${LONG} HTTP/1.1`, HOST, KEY),
  'long path': head(`GET /api/refused/${LONG} HTTP/1.1`, HOST, KEY),
  'no route': head('GET /nowhere/254712345678 HTTP/1.1', HOST, KEY),
  'no key': head('GET /api/small HTTP/1.1', HOST),
  'wrong key': head('POST /api/small HTTP/1.1', HOST, 'Authorization: Bearer guessed', 'Content-Length: 5') + 'guess',
  CONNECT: head('CONNECT a:1 HTTP/1.1', 'Host: a:1'),
  websocket: head('GET /api/opens HTTP/1.1', HOST, KEY, ...WEBSOCKET) + '\x81\x85abcdABCDE',
  'refused websocket': head('GET /api/closed HTTP/1.1', HOST, KEY, ...WEBSOCKET),
  'silent websocket': head('GET /api/silent HTTP/1.1', HOST, KEY, ...WEBSOCKET),
  'websocket nowhere': head('GET /nowhere HTTP/1.1', HOST, ...WEBSOCKET),
  'two hosts': head('GET /api/small HTTP/1.1', HOST, HOST, KEY),
  'HTTP/1.0': head('GET /api/small HTTP/1.0', HOST, KEY, 'Connection: keep-alive'),
  garbage: 'EHLO wakala\r\n\r\n',
} as const;
const KINDS = Object.keys(REQUESTS) as (keyof typeof REQUESTS)[];

/** How a hostile client ends its connection. */
const ENDINGS = ['reset', 'close', 'half-close', 'stall'] as const;

/** How many bytes are sent one by one at most. The rest follows in one piece. */
const SINGLE_BYTES = 200;

/**
 * One hostile connection: a few requests, truncated at any byte, sent in pieces or at once. The client may not read the
 * responses, and ends the connection in a random way.
 * @returns a short description of what it did
 */
export async function runHostileConnection(endpoint: Endpoint, random: Random, maxIdleMs: number): Promise<string> {
  const kinds = Array.from({ length: random.pick([1, 1, 1, 2, 3, 20]) }, () => random.pick(KINDS));
  const bytes = Buffer.from(kinds.map((kind) => REQUESTS[kind]).join(''), 'latin1');
  const sent = random.chance(0.5) ? bytes : bytes.subarray(0, random.between(0, bytes.length));
  const ending = random.pick(ENDINGS);
  // On a TLS listener, plain bytes replace the handshake.
  const wire = await (random.chance(0.1) ? Wire.openTcp(endpoint.port) : Wire.open(endpoint));
  try {
    if (random.chance(0.3)) wire.stopReading();
    await sendBytes(wire, sent, random);
    await delay(random.chance(0.3) ? 0 : random.between(0, maxIdleMs));
    if (ending === 'reset') wire.reset();
    else if (ending === 'half-close') wire.end();
    if (ending === 'half-close' || ending === 'stall') await wire.waitForClose(random.between(0, 2 * maxIdleMs));
  } finally {
    // A reset may still be in progress.
    if (ending !== 'reset') wire.close();
  }
  return `${kinds.length === 1 ? kinds[0] : 'pipelined'}, ${ending}`;
}

async function sendBytes(wire: Wire, bytes: Buffer, random: Random): Promise<void> {
  const how = random.pick(['at once', 'in pieces', 'byte by byte']);
  let at = 0;
  if (how === 'byte by byte') {
    for (; at < Math.min(bytes.length, SINGLE_BYTES) && !wire.isClosed; at++) {
      wire.send(bytes.subarray(at, at + 1));
      if (at % 8 === 0) await delay(0);
    }
  } else if (how === 'in pieces') {
    for (let pieces = random.between(1, 6); pieces > 0 && at < bytes.length && !wire.isClosed; pieces--) {
      const end = random.between(at, bytes.length) + 1;
      wire.send(bytes.subarray(at, end));
      at = end;
      await delay(random.between(0, 5));
    }
  }
  if (at < bytes.length && !wire.isClosed) wire.send(bytes.subarray(at));
}
