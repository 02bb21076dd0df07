import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { makeCertificate } from './certificates.ts';
import { freePort, startPinned, waitUntilListening } from './processes.ts';

/** The token that every proxy must add. A request without it gets 401. */
export const TOKEN = 'bench'.padEnd(300, 'x');

/** The token endpoint of the built-in provider `paypack`, which is on the same host as its API. */
const PAYPACK_TOKEN_PATH = '/auth/agents/authorize';
const PAYPACK_TOKEN = JSON.stringify({ access: TOKEN, refresh: 'unused', expires: Date.UTC(2100, 0) / 1000 });

const SMALL = JSON.stringify({ status: 'ok', message: 'x'.repeat(170) });
const MIB = 1024 * 1024;

/** nginx up to 1.23.3 has TLS 1.3 off by default. Node speaks both. */
const TLS_VERSIONS = 'TLSv1.2 TLSv1.3';

/** Where a proxy sends its requests. */
export interface Upstream {
  readonly port: number;
  /** The certificate to trust. Without it, the upstream is plain HTTP. */
  readonly caFile?: string;
}

export function urlOf({ port, caFile }: Upstream): string {
  return `${caFile === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
}

/** The upstream nginx, with the same content over plain HTTP and over TLS. */
export interface UpstreamServer {
  readonly child: ChildProcess;
  readonly plain: Upstream;
  readonly tls: Required<Upstream>;
}

/** Starts an nginx that responds immediately and logs nothing, so that the upstream uses little CPU. */
export async function startUpstream(directory: string): Promise<UpstreamServer> {
  mkdirSync(join(directory, 'files'), { recursive: true });
  writeFileSync(join(directory, 'files', 'big'), Buffer.alloc(MIB, 'x'));
  writeFileSync(join(directory, 'files', 'huge'), Buffer.alloc(100 * MIB, 'x'));
  const certificate = makeCertificate(directory, 'upstream');
  const plain = { port: await freePort() };
  const tls = { port: await freePort(), caFile: certificate.certFile };
  const refuse = `if ($http_authorization != "Bearer ${TOKEN}") { return 401; }`;
  const block = `
    server {
      listen 127.0.0.1:${plain.port};
      listen 127.0.0.1:${tls.port} ssl;
      ssl_certificate ${certificate.certFile};
      ssl_certificate_key ${certificate.keyFile};
      ssl_protocols ${TLS_VERSIONS};
      client_max_body_size 200m;
      location /files/ { ${refuse} root ${directory}; }
      location ${PAYPACK_TOKEN_PATH} { return 200 '${PAYPACK_TOKEN}'; }
      location / { ${refuse} return 200 '${SMALL}'; }
    }`;
  const child = startNginx(directory, 'upstream', block);
  await waitUntilListening(child, plain.port);
  return { child, plain, tls };
}

/** Starts nginx as a proxy with a constant header: no token logic, and no JavaScript. */
export async function startNginxProxy(directory: string, port: number, upstream: Upstream): Promise<ChildProcess> {
  const block = `
    upstream provider { server 127.0.0.1:${upstream.port}; keepalive 64; }
    server {
      listen 127.0.0.1:${port};
      client_max_body_size 200m;
      location / {
        proxy_pass ${upstream.caFile === undefined ? 'http' : 'https'}://provider;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Authorization "Bearer ${TOKEN}";
        ${upstream.caFile === undefined ? '' : tlsDirectives(upstream.caFile)}
      }
    }`;
  const nginx = startNginx(directory, 'proxy', block);
  await waitUntilListening(nginx, port);
  return nginx;
}

/** Makes nginx verify certificates like Node. nginx compares DNS names but not IP addresses. */
function tlsDirectives(caFile: string): string {
  return `
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate ${caFile};
        proxy_ssl_name localhost;
        proxy_ssl_protocols ${TLS_VERSIONS};
        proxy_ssl_session_reuse on;`;
}

function startNginx(directory: string, name: 'upstream' | 'proxy', servers: string) {
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
  return startPinned(name === 'upstream' ? 1 : 0, ['nginx', '-p', directory, '-c', file]);
}

/** A server that reads the whole body and then responds with its length. nginx would respond before the body. */
export interface Sink {
  readonly port: number;
  /** Time of the last request, from `performance.now`. */
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

/** A token endpoint that responds with `TOKEN` after 100 ms. Port 0 picks a free port. */
export interface TokenEndpoint {
  readonly port: number;
  requestCount(): number;
  /** Time of the last response, from `performance.now`. */
  lastResponseMs(): number;
  close(): void;
}

export async function startTokenEndpoint(port: number): Promise<TokenEndpoint> {
  let requestCount = 0;
  let lastResponseMs = 0;
  const server = createServer((_req, res) => {
    requestCount += 1;
    setTimeout(() => {
      lastResponseMs = performance.now();
      res.end(JSON.stringify({ access_token: TOKEN, expires_in: 86_400 }));
    }, 100);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requestCount: () => requestCount,
    lastResponseMs: () => lastResponseMs,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
