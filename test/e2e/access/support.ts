import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect, type ConnectionOptions, TLSSocket } from 'node:tls';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import { validateConfig } from '../../../src/config/load.ts';
import { type RunningServer, startServer } from '../../../src/server/server.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { issue, type Issued } from '../../config/certificate.ts';
import type { Settings } from '../../support/proxy-server.ts';

export const SHOP = { name: 'shop', key: 'shop-key-0123456789', routes: ['/api/*'] };
export const TILL = { name: 'till', key: 'till:key:0123456789' };

export function bearer(key: string): { authorization: string } {
  return { authorization: `Bearer ${key}` };
}

export function basic({ name, key }: { readonly name: string; readonly key: string }): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${name}:${key}`).toString('base64')}` };
}

/** Issued once for a test file. */
export interface Pki {
  readonly ca: Issued;
  readonly server: Issued;
}

export function makePki(): Pki {
  const ca = issue({ name: 'Test CA', isCa: true });
  return { ca, server: issue({ name: 'localhost', issuer: ca }) };
}

/** The files of `listen.tls` as they stand on the disk of a test. */
export function tlsFiles({ ca, server }: Pki): Record<string, string> {
  return { '/tls/cert.pem': server.cert, '/tls/key.pem': server.key, '/tls/ca.pem': ca.cert };
}

export interface TlsProxy {
  readonly port: number;
  readonly server: RunningServer;
  readonly log: string[];
  /** Serves what the disk holds now. */
  reload(settings?: Settings): void;
}

/** A proxy that serves TLS from files which the test may change. Stopped when the test ends. */
export async function startTlsProxy(
  settings: Settings,
  files: Readonly<Record<string, string>>,
  mutual = false,
): Promise<TlsProxy> {
  const tls = { cert: '/tls/cert.pem', key: '/tls/key.pem', ...(mutual && { client_ca: '/tls/ca.pem' }) };
  const base = { listen: { address: '127.0.0.1:0', tls }, admin: false, drain_timeout: '0s' };
  const read = (changed: Settings) => {
    const readFile = (path: string) =>
      path === 'proxy.config.yaml' ? JSON.stringify({ ...base, ...changed }) : (files[path] ?? '');
    const { config, problems } = validateConfig('proxy.config.yaml', { readFile, env: {}, fileMode: () => 0o600 });
    if (config === undefined) throw new Error(problems.map(({ message }) => message).join('\n'));
    return config;
  };
  const log: string[] = [];
  const format = { level: 'debug', format: 'json', tty: false, colour: false } as const;
  const server = await startServer(read(settings), {
    log: createLog(format, (line) => void log.push(line)),
    clock: systemClock,
  });
  onTestFinished(async () => {
    await server.drain();
  });
  return { port: server.address.port, server, log, reload: (changed = settings) => server.apply(read(changed)) };
}

/** What a caller proves itself with, and whom it trusts. */
export type Credentials = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'session' | 'ALPNProtocols'>;

/** A TLS connection, once its handshake is over. @throws Error if it fails */
export async function connectTls(port: number, credentials: Credentials): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ...credentials });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

export interface TlsResponse {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Of the certificate that the proxy showed. */
  readonly serial: string | undefined;
}

/** Sends a request over a new TLS connection. @throws Error if the connection fails */
export async function sendTls(
  port: number,
  path: string,
  credentials: Credentials,
  headers: Readonly<Record<string, string>> = {},
): Promise<TlsResponse> {
  const asked = request({
    port,
    host: '127.0.0.1',
    path,
    servername: 'localhost',
    agent: false,
    headers,
    ...credentials,
  });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  const { socket } = response;
  const serial = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.serialNumber : undefined;
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: response.statusCode ?? 0,
    text: Buffer.concat(chunks).toString(),
    headers: response.headers,
    serial,
  };
}
