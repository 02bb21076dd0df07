import type { Socket } from 'node:net';
import type { Random } from '../support/random.ts';
import { chunk, json } from '../support/upstream-raw.ts';
import type { Fault } from './faults.ts';

const STREAM_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';

/** Long enough for the proxy to stream the response. */
const PAD = 'x'.repeat(40_000);

/** Responds to an executed payment as its fault says. */
export function respondWith(socket: Socket, fault: Fault, id: string, random: Random): void {
  const whole = json(200, { id });
  const half = whole.length - Math.ceil(id.length / 2);
  switch (fault) {
    case 'slow': {
      const later = (bytes: Buffer, ms: number) => setTimeout(() => socket.writable && socket.write(bytes), ms);
      const first = random.between(5, 150);
      later(whole.subarray(0, half), first);
      later(whole.subarray(half), first + random.between(5, 150));
      break;
    }
    case 'chunked':
      socket.write(STREAM_HEAD + chunk('{"id":').toString());
      setImmediate(() => {
        if (socket.writable) socket.write(Buffer.concat([chunk(`"${id}"}`), chunk('')]));
      });
      break;
    case 'long':
      socket.write(json(200, { id, pad: PAD }));
      break;
    case 'early hint':
      socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </style>\r\n\r\n${whole.toString('latin1')}`);
      break;
    case 'closes with a header':
      socket.end(json(200, { id }, 'connection: close'));
      break;
    case 'closes silently':
      socket.end(whole);
      break;
    case 'server error':
      socket.write(json(random.pick([429, 500, 502, 503, 504]), { id }, 'retry-after: 1'));
      break;
    case 'reset after the body':
      socket.resetAndDestroy();
      break;
    case 'reset in the head':
      resetAfter(socket, whole.subarray(0, random.between(1, 30)));
      break;
    case 'reset in a short response':
      resetAfter(socket, whole.subarray(0, half));
      break;
    case 'reset in a stream':
      resetAfter(socket, Buffer.from(STREAM_HEAD + chunk(`{"id":"${id}","pad":"${PAD}`).toString()));
      break;
    case 'stalls after the body':
      break;
    case 'stalls in the response':
      socket.write(STREAM_HEAD + chunk('{"id":').toString());
      break;
    case 'no HTTP':
      socket.write(
        random.pick(['SMTP 220 ready\r\n\r\n', 'HTTP/1.1 099 Odd\r\n\r\n', 'HTTP/1.1 200 OK\r\nno colon\r\n\r\n']),
      );
      break;
    case 'drops when idle':
      socket.write(whole);
      setTimeout(() => socket.resetAndDestroy(), random.between(0, 15));
      break;
    case 'fine':
    case 'dead token':
    case 'drops on the next request':
    case 'goes down':
      socket.write(whole);
      break;
    case 'reset before the body':
    case 'reset in the body':
    case 'refuses early':
    case 'stalls before the body':
      throw new Error(`${fault}: the body must not be read`);
  }
}

/** Sends the bytes, waits until they are written, then resets the connection. */
function resetAfter(socket: Socket, bytes: Buffer): void {
  socket.write(bytes, () => setTimeout(() => socket.resetAndDestroy(), 2));
}
