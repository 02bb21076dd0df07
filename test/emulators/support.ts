import { constants, publicEncrypt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulators/emulator.ts';
import { type JsonObject, valueAt } from '../../src/json.ts';
import { type ExchangeRequest, isRequested, type Provider, sampleBody } from '../../src/providers/provider.ts';
import { fill } from '../../src/providers/template.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** Starts an emulator on free ports with a manual clock. It is closed when the test ends. */
export async function emulate(
  provider: Provider,
  options: Partial<EmulatorOptions> = {},
): Promise<{ emulator: Emulator; clock: ManualClock }> {
  const clock = new ManualClock();
  const emulator = await startEmulator(provider, { port: 0, authPort: 0, clock, ...options });
  onTestFinished(() => emulator.close());
  return { emulator, clock };
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly json: JsonObject;
  readonly text: string;
}

export async function send(url: string, init?: RequestInit): Promise<Reply> {
  const response = await fetch(url, { redirect: 'manual', ...init });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? (JSON.parse(text) as JsonObject) : {},
  };
}

/** Requests a token. `values` override the emulated credentials. */
export async function requestToken(emulator: Emulator, values: Record<string, string> = {}): Promise<Reply> {
  if (!isRequested(emulator.provider.token)) throw new Error('this provider has a fixed token');
  return sendTokenRequest(emulator, emulator.provider.token.request, values);
}

export async function refreshTokens(emulator: Emulator, refreshToken: string): Promise<Reply> {
  if (emulator.provider.refresh === undefined) throw new Error('this provider has no refresh');
  return sendTokenRequest(emulator, emulator.provider.refresh.request, { refresh_token: refreshToken });
}

export async function sendTokenRequest(
  emulator: Emulator,
  request: ExchangeRequest,
  values: Record<string, string> = {},
): Promise<Reply> {
  const known = (name: string) => values[name] ?? emulator.credentials.get(name)?.reveal();
  const computed = (name: string) => {
    const text = request.values?.[name]?.rsa_encrypt;
    return text === undefined ? undefined : encryptedPkcs1(fill(text, known));
  };
  const filled = (template: string) => fill(template, (name) => known(name) ?? computed(name));
  const fields = Object.entries(request.body?.fields ?? {}).map(([name, value]): [string, string] => [
    name,
    filled(String(value)),
  ]);
  const query = new URLSearchParams(request.query).toString();
  const headers = new Headers(
    Object.entries(request.headers ?? {}).map(([name, value]): [string, string] => [name, filled(value)]),
  );
  if (request.basic !== undefined) {
    headers.set('authorization', `Basic ${Buffer.from(request.basic.map(filled).join(':')).toString('base64')}`);
  }
  if (request.body?.encoding === 'json') headers.set('content-type', 'application/json');
  const body = request.body && encodeBody(request.body.encoding, fields);
  const url = emulator.authUrl + filled(request.path) + (query === '' ? '' : `?${query}`);
  return send(url, { method: request.method, headers, ...(body !== undefined && { body }) });
}

/** Encrypted with the key of the emulators and PKCS #1 v1.5, in base64. */
export function encryptedPkcs1(text: string): string {
  const key = { key: EMULATED_PUBLIC_KEY, padding: constants.RSA_PKCS1_PADDING };
  return publicEncrypt(key, Buffer.from(text)).toString('base64');
}

function encodeBody(
  encoding: 'json' | 'form' | 'multipart',
  fields: [string, string][],
): string | URLSearchParams | FormData {
  if (encoding === 'json') return JSON.stringify(Object.fromEntries(fields));
  if (encoding === 'form') return new URLSearchParams(fields);
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  return form;
}

/** Requests a token and returns the access token. */
export async function tokenOf(emulator: Emulator): Promise<string> {
  if (!isRequested(emulator.provider.token)) throw new Error('this provider has a fixed token');
  const { json } = await requestToken(emulator);
  return String(valueAt(json, emulator.provider.token.response.accessToken));
}

export async function callApi(
  emulator: Emulator,
  token: string | undefined,
  path: string,
  json?: JsonObject,
  headers: Record<string, string> = {},
): Promise<Reply> {
  return send(emulator.apiUrl + path, {
    method: json === undefined ? 'GET' : 'POST',
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json !== undefined && { body: JSON.stringify(json) }),
  });
}

/** The headers that a sandbox route adds to its calls. */
export function routeHeaders({ provider, credentials }: Emulator): Record<string, string> {
  const valueOf = (name: string) => credentials.get(name)?.reveal();
  const values = provider.headers.map(({ name, value }): [string, string] => [
    name,
    fill(typeof value === 'string' ? value : value.sandbox, valueOf),
  ]);
  return Object.fromEntries(values);
}

/** Sends the provider's sample call with the headers of a route. */
export async function sampleCall(emulator: Emulator, token: string | undefined): Promise<Reply> {
  const { samples, tokenHeader } = emulator.provider;
  const sent = token === undefined || tokenHeader?.value === undefined ? token : encryptedPkcs1(token);
  const headers = { ...routeHeaders(emulator), ...samples.call.headers };
  return callApi(emulator, sent, samples.call.path, sampleBody({ samples }), headers);
}

export interface Received {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A server that receives callbacks. */
export async function startCallbackServer(status = 200, headers: Record<string, string> = {}) {
  const received: Received[] = [];
  const waiting: ((request: Received) => void)[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const heard = { url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) };
      received.push(heard);
      response.writeHead(status, headers).end();
      waiting.shift()?.(heard);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    received,
    /** Resolves with the next request. */
    next: () => {
      const { promise, resolve } = Promise.withResolvers<Received>();
      waiting.push(resolve);
      return promise;
    },
  };
}

export function jsonOf(body: Buffer): JsonObject {
  return JSON.parse(body.toString()) as JsonObject;
}

/** Keys and value types, recursively. */
export function shape(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.entries(value).map(([key, below]) => [key, shape(below)]);
}
