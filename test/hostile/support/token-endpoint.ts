import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { type ProxyResponse, sendRequest } from '../../support/proxy-client.ts';
import { SteppedClock } from '../../support/proxy-clock.ts';
import { type StartedProxy, startProxyTo } from '../../support/proxy-server.ts';
import { type RawMessage, RawReader, valuesOf } from '../../support/raw-message.ts';
import { json, RawUpstream, reply, type Script, TOKEN_PATH } from '../../support/upstream-raw.ts';

/** Returns the response bytes of a token endpoint, or does something else to its connection. */
export type TokenScript = (socket: Socket, request: RawMessage, number: number) => string | Buffer | undefined;

/** A token endpoint that responds by a script, which can change at any time. */
export class TokenEndpoint {
  script: TokenScript;
  exchanges = 0;
  readonly origin: string;

  private constructor(origin: string, script: TokenScript) {
    this.origin = origin;
    this.script = script;
  }

  static async start(script: TokenScript): Promise<TokenEndpoint> {
    const sockets = new Set<Socket>();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = new TokenEndpoint(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, script);
    server.on('connection', (socket) => {
      sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
      const reader = new RawReader();
      socket.on('data', (bytes) => {
        reader.push(bytes);
        const request = reader.take('empty');
        if (request === undefined) return;
        endpoint.exchanges += 1;
        const response = endpoint.script(socket, request, endpoint.exchanges);
        if (response !== undefined && socket.writable) socket.write(response);
      });
    });
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return endpoint;
  }
}

export interface TokenBench {
  readonly endpoint: TokenEndpoint;
  readonly upstream: RawUpstream;
  readonly proxy: StartedProxy;
  readonly clock: SteppedClock;
}

/** A proxy between an API, which works by default, and a scripted token endpoint. */
export async function startTokenBench(
  script: TokenScript,
  settings: object = {},
  api: Script = () => reply(200, 'fine'),
): Promise<TokenBench> {
  const endpoint = await TokenEndpoint.start(script);
  const upstream = await RawUpstream.start(api);
  const clock = new SteppedClock();
  const token = {
    request: { path: TOKEN_PATH, json: { key: '{key}' } },
    response: { access_token: 'access_token', expires_in: 'expires_in', expires_at: 'expires_at' },
  };
  const proxy = await startProxyTo(
    upstream,
    { auth_server: endpoint.origin, timeout: '5s', token, ...settings },
    clock,
  );
  return { endpoint, upstream, proxy, clock };
}

/** A valid response, with a new token each time. */
export const GOOD: TokenScript = (_, __, number) => json(200, { access_token: tokenNamed(number), expires_in: 3600 });

export function tokenNamed(number: number): string {
  return `scripted-token-${number}`;
}

/** Authorization values of all API requests. */
export function authorizations(upstream: RawUpstream): string[] {
  return upstream.requests.map((request) => valuesOf(request, 'authorization').join('|'));
}

export const HOUR_MS = 3_600_000;

/** A token response with nothing but the token. */
export const TOKEN = { access_token: tokenNamed(1) };

export function tokenOf(fields: object, ...lines: string[]): Buffer {
  return json(200, fields, ...lines);
}

/** One call of the API through the proxy. */
export function call({ proxy }: TokenBench): Promise<ProxyResponse> {
  return sendRequest(proxy.port, '/api/x', { body: '{}' });
}

/** Status and token use of a response of the API, or status, code and outcome of a problem response. */
export function summary(response: ProxyResponse): string {
  if (response.status < 500) return `${response.status} ${String(response.header('wakala-token'))}`;
  const { code, outcome } = response.json();
  return [response.status, code, outcome].join(' ');
}
