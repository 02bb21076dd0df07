import type { ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startPinned, waitUntilListening } from './processes.ts';
import { startNginxProxy, TOKEN, type Upstream, urlOf } from './upstream.ts';

export interface Environment {
  readonly directory: string;
  readonly upstream: Upstream;
  readonly tokenPort: number;
}

export interface StartedSubject {
  readonly child: ChildProcess;
  readonly port: number;
  /** The prefix of the upstream's paths. */
  readonly prefix: string;
}

export interface Subject {
  readonly name: string;
  /** `peer`: a JavaScript proxy that only adds a constant header. */
  readonly kind: 'wakala' | 'peer' | 'native' | 'floor';
  /** Whether the subject is also measured over TLS. */
  readonly measuredOverTls: boolean;
  start(place: Environment): Promise<StartedSubject>;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The Node of this project. */
export const NODE = join(ROOT, 'node_modules', 'node', 'bin', 'node');

/** Makes Node trust the certificate of the upstream in addition to its own CAs. */
function trust({ caFile }: Upstream): Record<string, string> {
  return caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: caFile };
}

function script(name: string): Subject['start'] {
  return async ({ upstream }) => {
    const port = await freePort();
    const env = { PORT: String(port), UPSTREAM: urlOf(upstream), TOKEN, ...trust(upstream) };
    const child = startPinned(0, [NODE, join(ROOT, 'bench', 'proxies', `${name}.mjs`)], env);
    await waitUntilListening(child, port);
    return { child, port, prefix: '' };
  };
}

/** A route to the upstream with a common token exchange. */
export function routeYaml(prefix: string, { upstream, tokenPort }: Environment): string {
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

/**
 * The same with a signature of method, target, time, token and body in a header.
 * @param key a private key for RSA, any text for HMAC
 */
function signedRouteYaml(prefix: string, place: Environment, algorithm: SignatureAlgorithm, key: string): string {
  const credentials = 'credentials: { ';
  return `${routeYaml(prefix, place).replace(credentials, `${credentials}signing_key: ${JSON.stringify(key)}, `)}
    # The check of each proxy sends long bodies too.
    replay_limit: 64MiB
    sign:
      - calls: ['* /*']
        values:
          time: { now: epoch_ms }
          signature: { ${algorithm}: '{method} {target} {time} {access_token} {body}', key: '{signing_key}' }
        headers: { X-Time: '{time}', X-Signature: '{signature}' }`;
}

type SignatureAlgorithm = 'hmac_sha256' | 'rsa_sha256';

/** A route in less than 104 bytes, so that 10,000 of them fit into a configuration file of 1 MiB. */
export function shortRouteYaml(name: string): string {
  return `\n  /${name}/*: {provider: paypack, upstream: "\${U}", credentials: {client_id: ${name}, client_secret: x}}`;
}

/** Starts the built binary with its defaults. `settings` are additional top-level keys of the configuration. */
export async function startWakala(
  place: Environment,
  routes = routeYaml('/api', place),
  settings = '',
): Promise<StartedSubject> {
  const port = await freePort();
  const file = join(place.directory, `wakala-${port}.yaml`);
  const listen = `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${await freePort()}\n`;
  writeFileSync(file, `${listen}${settings}routes:${routes}\n`);
  const child = startPinned(0, [NODE, join(ROOT, 'dist', 'cli.js'), 'serve', '-c', file], {
    U: urlOf(place.upstream),
    ...trust(place.upstream),
  });
  await waitUntilListening(child, port);
  return { child, port, prefix: '/api' };
}

function signedWakala(title: string, algorithm: SignatureAlgorithm, makeKey: () => string): Subject {
  return {
    name: `wakala, signed with ${title}`,
    kind: 'wakala',
    measuredOverTls: false,
    start: (place) => startWakala(place, signedRouteYaml('/api', place, algorithm, makeKey())),
  };
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
/** Wakala with a `sign` rule. Only POST is measured. */
export const WAKALA_SIGNED: readonly Subject[] = [
  signedWakala('HMAC-SHA256', 'hmac_sha256', () => 'a key of thirty-two bytes or so.'),
  signedWakala('RSA-SHA256', 'rsa_sha256', () =>
    generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  ),
];
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
