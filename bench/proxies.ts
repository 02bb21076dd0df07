import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, listening, startPinned, stop } from './processes.ts';
import { startNginxProxy, TOKEN, type Upstream, urlOf } from './upstream.ts';

export interface Place {
  readonly directory: string;
  readonly upstream: Upstream;
  readonly tokenPort: number;
}

export interface Started {
  readonly child: ChildProcess;
  readonly port: number;
  /** What a path of the upstream is put behind. */
  readonly prefix: string;
}

export interface Subject {
  readonly name: string;
  /** `peer`: a JavaScript proxy that puts a constant header on and does nothing else. */
  readonly kind: 'wakala' | 'peer' | 'native' | 'floor';
  /** False for a subject that is measured over plain HTTP only. */
  readonly measuredOverTls: boolean;
  start(place: Place): Promise<Started>;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The Node that the project runs on, whatever runs this. */
export const NODE = join(ROOT, 'node_modules', 'node', 'bin', 'node');

/** Node verifies the certificate of the upstream, and trusts this CA in addition to its own. */
function trust({ caFile }: Upstream): Record<string, string> {
  return caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: caFile };
}

function script(name: string): Subject['start'] {
  return async ({ upstream }) => {
    const port = await freePort();
    const env = { PORT: String(port), UPSTREAM: urlOf(upstream), TOKEN, ...trust(upstream) };
    const child = startPinned(NODE, [join(ROOT, 'bench', 'proxies', `${name}.mjs`)], env);
    await listening(port);
    return { child, port, prefix: '' };
  };
}

/** A route to the upstream, with a token exchange of the usual kind. */
export function routeYaml(prefix: string, { upstream, tokenPort }: Place): string {
  return `
  ${prefix}/*:
    upstream: ${urlOf(upstream)}
    auth_server: http://127.0.0.1:${tokenPort}
    max_body: 200MiB
    credentials: { client_id: bench, client_secret: bench-secret }
    token:
      request: { path: /token, form: { client_id: "{client_id}", client_secret: "{client_secret}" } }
      response: { access_token: access_token, expires_in: expires_in }`;
}

/** A route in less than 104 bytes, so that 10,000 of them fit into a configuration file of 1 MiB. */
export function shortRouteYaml(name: string): string {
  return `\n  /${name}/*: {provider: paypack, upstream: "\${U}", credentials: {client_id: ${name}, client_secret: x}}`;
}

/** The binary as shipped, with its defaults. `settings` are further top-level keys of its configuration. */
export async function startWakala(place: Place, routes = routeYaml('/api', place), settings = ''): Promise<Started> {
  const port = await freePort();
  const file = join(place.directory, `wakala-${port}.yaml`);
  const listen = `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${await freePort()}\n`;
  writeFileSync(file, `${listen}${settings}routes:${routes}\n`);
  const child = startPinned(NODE, [join(ROOT, 'dist', 'cli.js'), 'serve', '-c', file], {
    U: urlOf(place.upstream),
    ...trust(place.upstream),
  });
  await listening(port).catch(async (error: unknown) => {
    await stop(child);
    throw error;
  });
  return { child, port, prefix: '/api' };
}

function peer(name: string, file: string): Subject {
  return { name, kind: 'peer', measuredOverTls: true, start: script(file) };
}

export const WAKALA: Subject = {
  name: 'wakala',
  kind: 'wakala',
  measuredOverTls: true,
  start: (place) => startWakala(place),
};
export const WAKALA_WORKERS: Subject = {
  name: 'wakala, `workers: 2`',
  kind: 'wakala',
  measuredOverTls: false,
  start: (place) => startWakala(place, routeYaml('/api', place), 'workers: 2\n'),
};
export const HTTP_PROXY_3 = peer('http-proxy-3', 'http-proxy-3');
export const NGINX: Subject = {
  name: 'nginx (static header)',
  kind: 'native',
  measuredOverTls: true,
  async start({ directory, upstream }) {
    const port = await freePort();
    return { child: await startNginxProxy(directory, port, upstream), port, prefix: '' };
  },
};
export const HELLO: Subject = {
  name: 'node:http hello (server floor)',
  kind: 'floor',
  measuredOverTls: false,
  start: script('hello'),
};

export const PEERS: readonly Subject[] = [
  peer('fast-proxy', 'fast-proxy'),
  peer('httpxy', 'httpxy'),
  peer('@fastify/http-proxy', 'fastify-http-proxy'),
  peer('http-proxy-middleware', 'http-proxy-middleware'),
];
