// CPU of HTTP clients in a closed loop against nginx: Wakala's client, undici's pool and node:http with an agent.
// `node bench/http-clients.ts [ROUNDS]` prints medians of interleaved rounds. Compare only ratios within one run.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { ConnectionPool } from '../src/http/client/pool.ts';
import { ReadBuffers } from '../src/http/client/read-buffers.ts';
import { median } from './load.ts';
import { stop } from './processes.ts';
import { NODE } from './proxies.ts';
import { startUpstream, TOKEN, urlOf } from './upstream.ts';

const LOADS = {
  'GET 200 B': { method: 'GET', path: '/small', connections: 32, bodyBytes: 0 },
  'POST 500 B': { method: 'POST', path: '/small', connections: 32, bodyBytes: 500 },
  'GET 1 MiB': { method: 'GET', path: '/files/big', connections: 8, bodyBytes: 0 },
  'GET 200 B over TLS': { method: 'GET', path: '/small', connections: 32, bodyBytes: 0 },
  'GET 1 MiB over TLS': { method: 'GET', path: '/files/big', connections: 8, bodyBytes: 0 },
} as const;
type Load = (typeof LOADS)[keyof typeof LOADS];

const WARM_UP_MS = 1500;
const WINDOW_MS = 2500;

/** The headers of a typical API client. */
const HEADERS = ['accept', 'application/json', 'user-agent', 'axios/1.6.0', 'accept-encoding', 'gzip, compress, br'];
HEADERS.push('x-request-id', '0b1c7a4e-9f55-4c1e-8a55-0d9b0c7f7c11', 'authorization', `Bearer ${TOKEN}`);

/** Sends one request and calls back when its response is complete. */
type Send = (done: () => void) => void;

function fail(error: Error): never {
  throw error;
}

const CLIENTS: Readonly<Record<string, (origin: string, load: Load) => Send>> = {
  wakala(origin, { method, path: target, bodyBytes }) {
    const pool = new ConnectionPool(origin, { connectTimeoutMs: 5000, buffers: new ReadBuffers() });
    const body =
      bodyBytes > 0 ? ({ kind: 'bytes', bytes: Buffer.alloc(bodyBytes) } as const) : ({ kind: 'none' } as const);
    const ignore = () => {};
    return (done) => {
      const handler = { onSending: ignore, onSent: ignore, onHead: ignore, onEnd: done, onError: fail };
      const onData = (chunk: Buffer) => exchange.release(chunk);
      const exchange = pool.send({ method, target, headers: [...HEADERS], body }, { ...handler, onData });
    };
  },

  undici(origin, { method, path, bodyBytes }) {
    const pool = new Pool(origin, { allowH2: false, pipelining: 1 });
    const body = bodyBytes > 0 ? { body: Buffer.alloc(bodyBytes) } : {};
    return (done) => {
      pool.dispatch(
        { method, path, headers: [...HEADERS], ...body },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData() {},
          onResponseEnd: done,
          onResponseError: (_, error) => fail(error),
        },
      );
    };
  },

  'node:http'(origin, { method, path, bodyBytes }) {
    const { protocol, host, hostname, port } = new URL(origin);
    const { request, Agent } = protocol === 'https:' ? https : http;
    const agent = new Agent({ keepAlive: true });
    const body = bodyBytes > 0 ? Buffer.alloc(bodyBytes) : undefined;
    const headers = ['host', host, ...HEADERS, ...(body === undefined ? [] : ['content-length', String(bodyBytes)])];
    return (done) => {
      const sent = request({ hostname, port, method, path, headers: [...headers], agent }, (response) => {
        response.resume().on('end', done);
      });
      sent.on('error', fail).end(body);
    };
  },
};

/** Prints the CPU microseconds per request. Runs in a child process. */
function measure(client: string, load: Load, origin: string): void {
  const send = CLIENTS[client]?.(origin, load) ?? fail(new Error(client));
  let requests = 0;
  const next = () =>
    send(() => {
      requests += 1;
      next();
    });
  for (let i = 0; i < load.connections; i++) next();
  setTimeout(() => {
    const before = { requests, cpu: process.cpuUsage() };
    setTimeout(() => {
      const { user, system } = process.cpuUsage(before.cpu);
      process.stdout.write(String((user + system) / (requests - before.requests)));
      process.exit(0);
    }, WINDOW_MS);
  }, WARM_UP_MS);
}

async function compare(rounds: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'wakala-clients-'));
  const nginx = await startUpstream(directory);
  try {
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: nginx.tls.caFile };
    for (const name of Object.keys(LOADS)) {
      const upstream = name.endsWith('over TLS') ? nginx.tls : nginx.plain;
      const us = Object.keys(CLIENTS).map((): number[] => []);
      for (let round = 0; round < rounds; round++) {
        for (const [i, client] of Object.keys(CLIENTS).entries()) {
          const args = ['-c', '0', NODE, '--no-warnings', import.meta.filename, client, name, urlOf(upstream)];
          us[i]?.push(Number(execFileSync('taskset', args, { encoding: 'utf8', env })));
        }
      }
      const [own = 0, ...others] = us.map(median);
      const cells = Object.keys(CLIENTS)
        .slice(1)
        .map(
          (client, i) => `${client} ${others[i]?.toFixed(1)} (Wakala is ${(own / (others[i] ?? 1)).toFixed(2)} of it)`,
        );
      process.stdout.write(`${name}: Wakala ${own.toFixed(1)} us, ${cells.join(', ')}\n`);
    }
  } finally {
    await stop(nginx.child);
    rmSync(directory, { recursive: true });
  }
}

const [first = '5', load = '', origin = ''] = process.argv.slice(2);
if (Object.hasOwn(CLIENTS, first)) measure(first, LOADS[load as keyof typeof LOADS], origin);
else await compare(Number(first));
