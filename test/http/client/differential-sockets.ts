import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { ProxyError } from '../../../src/errors.ts';
import { ConnectionPool } from '../../../src/http/client/pool.ts';
import { ReadBuffers } from '../../../src/http/client/read-buffers.ts';
import { readResponse } from './parser-reading.ts';
import { type GeneratedResponse, generateResponse } from './response-generator.ts';

/**
 * Sends generated responses over a real connection each, and compares what the client makes of them with what its
 * parser makes of the same bytes.
 * @returns the differences
 */
export async function compareOverSockets(seed: number, count: number): Promise<string[]> {
  const faults: string[] = [];
  let current: GeneratedResponse | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      const { bytes, length, cuts } = current!;
      const ends = [...cuts, length];
      const write = async () => {
        for (const [i, end] of ends.entries()) {
          socket.write(bytes.subarray(ends[i - 1] ?? 0, end));
          await turn();
        }
        socket.end();
      };
      void write();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (let number = 0; number < count; number++) {
    current = generateResponse(seed, number);
    const { method, bytes, length, cuts } = current;
    const expected = readResponse(method, bytes.subarray(0, length), cuts);
    const actual = await ask(origin, method);
    const due =
      expected.result === 'complete'
        ? `${expected.status} ${expected.headers.join('\n')}\n\n${expected.body}`
        : `${expected.result === 'refused' ? 'upstream_invalid' : 'upstream_reset'} unknown`;
    if (actual !== due) faults.push(`seed ${seed}, response ${number}: ${JSON.stringify({ actual, due })}`);
  }
  server.close();
  return faults;
}

/** Status, headers and body of the response, or code and outcome of the error. */
function ask(origin: string, method: string): Promise<string> {
  const pool = new ConnectionPool(origin, { connectTimeoutMs: 5000, buffers: new ReadBuffers() });
  return new Promise<string>((resolve) => {
    let head = '';
    let body = '';
    pool.send(
      { method, target: '/', headers: [], body: { kind: 'none' } },
      {
        onSending: () => {},
        onSent: () => {},
        onHead: (status, _reason, rawHeaders) => (head = `${status} ${rawHeaders.join('\n')}`),
        onData: (chunk) => (body += chunk.toString('latin1')),
        onEnd: () => resolve(`${head}\n\n${body}`),
        onError: ({ code, outcome }: ProxyError) => resolve(`${code} ${outcome}`),
      },
    );
  }).finally(() => pool.close());
}
