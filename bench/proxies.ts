import { execFileSync, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, listening, startPinned, stop } from './processes.ts';
import { startNginxProxy, TOKEN } from './upstream.ts';

export interface Place {
  readonly directory: string;
  readonly upstreamPort: number;
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
  start(place: Place): Promise<Started>;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The Node that the project runs on, whatever runs this. */
export const NODE = join(ROOT, 'node_modules', 'node', 'bin', 'node');

function script(name: string): Subject['start'] {
  return async ({ upstreamPort }) => {
    const port = await freePort();
    const env = { PORT: String(port), UPSTREAM: `http://127.0.0.1:${upstreamPort}`, TOKEN };
    const child = startPinned(NODE, [join(ROOT, 'bench', 'proxies', `${name}.mjs`)], env);
    await listening(port);
    return { child, port, prefix: '' };
  };
}

/** A route to the upstream, with a token exchange of the usual kind. */
export function routeYaml(prefix: string, { upstreamPort, tokenPort }: Place, secret = 'bench-secret'): string {
  return `
  ${prefix}/*:
    upstream: http://127.0.0.1:${upstreamPort}
    auth_server: http://127.0.0.1:${tokenPort}
    max_body: 200MiB
    credentials: { client_id: bench, client_secret: ${secret} }
    token:
      request: { path: /token, form: { client_id: "{client_id}", client_secret: "{client_secret}" } }
      response: { access_token: access_token, expires_in: expires_in }`;
}

/** The binary as shipped, with its defaults. */
export async function startWakala(place: Place, routes = routeYaml('/api', place)): Promise<Started> {
  const port = await freePort();
  const file = join(place.directory, `wakala-${port}.yaml`);
  writeFileSync(file, `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${await freePort()}\nroutes:${routes}\n`);
  const child = startPinned(NODE, [join(ROOT, 'dist', 'cli.js'), 'serve', '-c', file], {});
  await listening(port).catch(async (error: unknown) => {
    await stop(child);
    throw error;
  });
  return { child, port, prefix: '/api' };
}

export const WAKALA: Subject = { name: 'wakala', kind: 'wakala', start: (place) => startWakala(place) };
export const HTTP_PROXY_3: Subject = { name: 'http-proxy-3', kind: 'peer', start: script('http-proxy-3') };
export const NGINX: Subject = {
  name: 'nginx (static header)',
  kind: 'native',
  async start({ directory, upstreamPort }) {
    const port = await freePort();
    return { child: await startNginxProxy(directory, port, upstreamPort), port, prefix: '' };
  },
};
export const HELLO: Subject = { name: 'node:http hello (server floor)', kind: 'floor', start: script('hello') };

export const PEERS: readonly Subject[] = [
  { name: 'fast-proxy', kind: 'peer', start: script('fast-proxy') },
  { name: 'httpxy', kind: 'peer', start: script('httpxy') },
  { name: '@fastify/http-proxy', kind: 'peer', start: script('fastify-http-proxy') },
  { name: 'http-proxy-middleware', kind: 'peer', start: script('http-proxy-middleware') },
];

/** CPU of undici's dispatch alone. Microseconds for each request. */
export function clientFloorUs(upstreamPort: number, seconds: number): number {
  const output = execFileSync('taskset', ['-c', '0', NODE, join(ROOT, 'bench', 'proxies', 'client-floor.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, UPSTREAM: `http://127.0.0.1:${upstreamPort}`, TOKEN, SECONDS: String(seconds) },
  });
  return (JSON.parse(output) as { cpuUs: number }).cpuUs;
}
