import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { issue } from '../../config/certificate.ts';
import { freePort, isListening } from '../../support/free-port.ts';
import { requireTool } from '../../support/tools.ts';

export const AUTHORITY = issue({ name: 'Test CA', isCa: true });
const CERTIFICATE = issue({ name: 'server', issuer: AUTHORITY });
const MIB = 1024 * 1024;

/** Sizes of the bodies that every server has under `/bytes/N`. */
export const SIZES = [1, 1000, 16 * 1024, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, MIB, 100 * MIB];

/** A server with `GET /bytes/N` and, except nginx, `POST /sha256`. */
export interface RealServer {
  readonly name: string;
  /** Keeps connections open after a response. */
  readonly keepAlive: { readonly http: string; readonly https: string };
  /** Closes them. */
  readonly closing: { readonly http: string; readonly https: string };
}

/** Starts all servers in this folder; `stop` ends them. */
export async function startRealServers(folder: string): Promise<{ servers: RealServer[]; stop(): Promise<void> }> {
  const running: (() => Promise<unknown>)[] = [];
  for (const tool of ['nginx', 'haproxy', 'python3'] as const) requireTool(tool);
  mkdirSync(path.join(folder, 'bytes'));
  for (const size of SIZES) writeFileSync(path.join(folder, 'bytes', String(size)), bytesOf(size));
  writeFileSync(path.join(folder, 'cert.pem'), CERTIFICATE.cert);
  writeFileSync(path.join(folder, 'key.pem'), CERTIFICATE.key);
  writeFileSync(path.join(folder, 'both.pem'), CERTIFICATE.cert + CERTIFICATE.key);
  const start = async (command: string, args: readonly string[], ports: readonly number[]) => {
    const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    running.push(() => ended(child));
    await listening(child, ports);
  };
  const node = await startNode(running);
  const servers = [node, await startPython(folder, start), await startNginx(folder, start)];
  servers.push(await startHaproxy(folder, start, Number(new URL(node.keepAlive.http).port)));
  return {
    servers,
    stop: async () => {
      await Promise.all(running.map((stop) => stop()));
    },
  };
}

type Start = (command: string, args: readonly string[], ports: readonly number[]) => Promise<void>;

/** Bytes that are the same for the same length, and different at every place of it. */
export function bytesOf(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(Math.imul(i + length, 2654435761) >>> 0, i);
  return bytes;
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** `/bytes/N` with a length, `/chunks/N` in chunks, `/slow/N` with pauses, `POST /sha256`, which reads with pauses. */
const respond: RequestListener = (req, res) => {
  const [, kind, size = '0'] = (req.url ?? '').split('/');
  if (kind === 'sha256') {
    const hash = createHash('sha256');
    let pieces = 0;
    req.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      if (++pieces % 50 !== 0) return;
      req.pause();
      setTimeout(() => req.resume(), 1);
    });
    req.on('end', () => res.end(hash.digest('hex')));
    return;
  }
  const bytes = bytesOf(Number(size));
  if (kind === 'bytes') res.setHeader('content-length', bytes.length);
  if (kind !== 'slow') {
    res.end(bytes);
    return;
  }
  const step = Math.ceil(bytes.length / 20);
  const write = (at: number) => {
    if (at >= bytes.length) res.end();
    else res.write(bytes.subarray(at, at + step), () => setTimeout(write, 2, at + step));
  };
  write(0);
};

async function startNode(running: (() => Promise<unknown>)[]): Promise<RealServer> {
  const origins = { keepAlive: { http: '', https: '' }, closing: { http: '', https: '' } };
  for (const kind of ['keepAlive', 'closing'] as const) {
    const listener: RequestListener = (req, res) => {
      if (kind === 'closing') res.setHeader('connection', 'close');
      respond(req, res);
    };
    const tls = { cert: CERTIFICATE.cert, key: CERTIFICATE.key };
    const servers: readonly (readonly ['http' | 'https', Server])[] = [
      ['http', createHttpServer(listener)],
      ['https', createHttpsServer(tls, listener)],
    ];
    for (const [scheme, server] of servers) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      origins[kind][scheme] = `${scheme}://localhost:${(server.address() as AddressInfo).port}`;
      running.push(async () => {
        server.close();
        server.closeAllConnections();
      });
    }
  }
  return { name: 'node:http', ...origins };
}

const PYTHON = `
import hashlib, http.server, os, ssl, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_GET(self):
        with open('bytes/' + self.path.split('/')[2], 'rb') as file: self.answer(file.read())
    def do_POST(self):
        left, sum = int(self.headers['content-length']), hashlib.sha256()
        while left > 0:
            piece = self.rfile.read(min(left, 65536))
            if not piece: return
            left -= len(piece); sum.update(piece)
        self.answer(sum.hexdigest().encode())
    def answer(self, body):
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
class KeepAlive(Handler): protocol_version = 'HTTP/1.1'
class Closing(Handler): protocol_version = 'HTTP/1.0'
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain('cert.pem', 'key.pem')
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *args): pass
for i, port in enumerate(sys.argv[1:]):
    server = Server(('127.0.0.1', int(port)), Closing if i >= 2 else KeepAlive)
    if i % 2 == 1: server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()
`;

async function startPython(folder: string, start: Start): Promise<RealServer> {
  writeFileSync(path.join(folder, 'server.py'), PYTHON);
  const ports = await freePorts();
  await start('python3', ['server.py', ...ports.map(String)], ports);
  return { name: "Python's http.server", ...originsAt(ports) };
}

async function startNginx(folder: string, start: Start): Promise<RealServer> {
  const ports = await freePorts();
  const [http, https, closingHttp, closingHttps] = ports;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const server = (plain: number | undefined, tls: number | undefined, keepAlive: string) => `
    server {
      listen 127.0.0.1:${plain}; listen 127.0.0.1:${tls} ssl;
      ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
      keepalive_timeout ${keepAlive}; root ${folder};
    }`;
  writeFileSync(
    path.join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log;
     events { worker_connections 1024; }
     http {
       access_log off;
       ${temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n')}
       ${server(http, https, '60s')} ${server(closingHttp, closingHttps, '0')}
     }`,
  );
  await start(
    'nginx',
    ['-p', folder, '-c', path.join(folder, 'nginx.conf'), '-e', path.join(folder, 'nginx.log')],
    ports,
  );
  return { name: 'nginx', ...originsAt(ports) };
}

async function startHaproxy(folder: string, start: Start, backendPort: number): Promise<RealServer> {
  const ports = await freePorts();
  const [http, https, closingHttp, closingHttps] = ports;
  const frontend = (name: string, plain: number | undefined, tls: number | undefined, option: string) => `
frontend ${name}
  bind 127.0.0.1:${plain}
  bind 127.0.0.1:${tls} ssl crt ${folder}/both.pem
  option ${option}
  default_backend node`;
  writeFileSync(
    path.join(folder, 'haproxy.cfg'),
    `global
  maxconn 200
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
${frontend('open', http, https, 'http-keep-alive')}
${frontend('closing', closingHttp, closingHttps, 'httpclose')}
backend node
  server node 127.0.0.1:${backendPort}
`,
  );
  await start('haproxy', ['-db', '-f', path.join(folder, 'haproxy.cfg')], ports);
  return { name: 'haproxy', ...originsAt(ports) };
}

async function freePorts(): Promise<number[]> {
  return [await freePort(), await freePort(), await freePort(), await freePort()];
}

function originsAt([http, https, closingHttp, closingHttps]: readonly number[]): Pick<
  RealServer,
  'keepAlive' | 'closing'
> {
  return {
    keepAlive: { http: `http://127.0.0.1:${http}`, https: `https://127.0.0.1:${https}` },
    closing: { http: `http://127.0.0.1:${closingHttp}`, https: `https://127.0.0.1:${closingHttps}` },
  };
}

async function listening(child: ChildProcess, ports: readonly number[]): Promise<void> {
  let printed = '';
  child.stderr?.on('data', (chunk) => (printed += String(chunk)));
  for (const port of ports) {
    while (!(await isListening(port))) {
      if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}: ${printed}`);
      await delay(20);
    }
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
