import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { listening } from './processes.ts';

/** The token that every proxy must put on: a request without it, or with the client's own, is answered 401. */
export const TOKEN = 'bench'.padEnd(300, 'x');

const SMALL = JSON.stringify({ status: 'ok', message: 'x'.repeat(170) });
const MIB = 1024 * 1024;

/** An nginx that answers at once and counts nothing: the cheapest provider there is. */
export async function startUpstream(directory: string, port: number): Promise<ChildProcess> {
  mkdirSync(join(directory, 'files'), { recursive: true });
  writeFileSync(join(directory, 'files', 'big'), Buffer.alloc(MIB, 'x'));
  writeFileSync(join(directory, 'files', 'huge'), Buffer.alloc(100 * MIB, 'x'));
  const nginx = startNginx(directory, 'upstream', serverBlock(port, directory));
  await listening(port);
  return nginx;
}

/** nginx as a proxy with a constant header: no token logic, and no JavaScript. */
export async function startNginxProxy(directory: string, port: number, upstreamPort: number): Promise<ChildProcess> {
  const block = `
    upstream provider { server 127.0.0.1:${upstreamPort}; keepalive 64; }
    server {
      listen 127.0.0.1:${port};
      client_max_body_size 200m;
      location / {
        proxy_pass http://provider;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Authorization "Bearer ${TOKEN}";
      }
    }`;
  const nginx = startNginx(directory, 'proxy', block);
  await listening(port);
  return nginx;
}

function startNginx(directory: string, name: string, servers: string): ChildProcess {
  const file = join(directory, `${name}.conf`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(directory, `${name}-${kind}`)};`)
    .join('\n');
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${join(directory, `${name}.pid`)}; error_log ${join(directory, 'error.log')};
     events { worker_connections 4096; }
     http {
       access_log off; keepalive_requests 1000000000; default_type application/json;
       large_client_header_buffers 4 16k; ${temporary}
       ${servers}
     }`,
  );
  return spawn('taskset', ['-c', name === 'upstream' ? '1' : '0', 'nginx', '-p', directory, '-c', file], {
    stdio: 'inherit',
  });
}

function serverBlock(port: number, directory: string): string {
  return `
    server {
      listen 127.0.0.1:${port};
      client_max_body_size 200m;
      if ($http_authorization != "Bearer ${TOKEN}") { return 401; }
      location /files/ { root ${directory}; }
      location / { return 200 '${SMALL}'; }
    }`;
}

/** A server that reads all of a body before it answers with its length; nginx answers such requests at once. */
export interface Sink {
  readonly port: number;
  /** When the last request came in, as `performance.now` has it. */
  lastRequestMs(): number;
  close(): void;
}

export async function startSink(): Promise<Sink> {
  let lastRequestMs = 0;
  const server = createServer((req, res) => {
    lastRequestMs = performance.now();
    let length = 0;
    req.on('data', (chunk: Buffer) => (length += chunk.length));
    req.on('end', () => res.end(String(length)));
  });
  server.listen(0, '127.0.0.1', 2048);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    lastRequestMs: () => lastRequestMs,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A token endpoint that gives out the one token, 100 ms after it was asked. Port 0 picks a free one. */
export interface TokenEndpoint {
  readonly port: number;
  asked(): number;
  /** When it last answered, as `performance.now` has it. */
  answeredMs(): number;
  close(): void;
}

export async function startTokenEndpoint(port: number): Promise<TokenEndpoint> {
  let asked = 0;
  let answeredMs = 0;
  const server = createServer((_req, res) => {
    asked += 1;
    setTimeout(() => {
      answeredMs = performance.now();
      res.end(JSON.stringify({ access_token: TOKEN, expires_in: 86_400 }));
    }, 100);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked: () => asked,
    answeredMs: () => answeredMs,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
