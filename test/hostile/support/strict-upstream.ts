import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { decodeFully } from '../../../src/http/url-path.ts';
import { valuesOf } from '../../support/raw-message.ts';
import { reply } from '../../support/upstream-raw.ts';
import { type StrictRequest, strictRequest } from './strict-request.ts';

/** What a client sends as its Authorization; no upstream may ever see it. */
export const CLIENT_CANARY = 'client-canary';

/** Every route's API base path is this and the route's name. */
export const BASE = '/base';

/** Responds to a request with bytes, or does something else to its connection. */
export type Respond = (socket: Socket, request: StrictRequest) => string | Buffer | undefined;

/** An upstream that forgives nothing, and judges every request by what a proxy may send, whatever it was sent. */
export class StrictUpstream {
  /** What the requests since `forget` broke. */
  faults: string[] = [];
  requests: StrictRequest[] = [];
  /** Start lines of requests whose connection closed before they were complete. */
  cutShort: string[] = [];
  /** By target. */
  readonly responses = new Map<string, Respond>();
  /** Where the last request came in. */
  lastSocket: Socket | undefined;
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #tokens: readonly string[];
  #received: Buffer[] = [];

  private constructor(server: Server, tokens: readonly string[]) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#tokens = tokens;
    server.on('connection', (socket) => this.#serve(socket));
  }

  /** `tokens`: those issued so far, of which each request must carry one. */
  static async start(tokens: readonly string[]): Promise<StrictUpstream> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new StrictUpstream(server, tokens);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  forget(): void {
    this.faults = [];
    this.requests = [];
    this.cutShort = [];
    this.#received = [];
  }

  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  #serve(socket: Socket): void {
    let bytes = Buffer.alloc(0);
    this.#sockets.add(socket);
    // Resets are part of the tests.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (bytes.length > 0) this.cutShort.push(bytes.toString('latin1').split('\r\n', 1)[0] ?? '');
    });
    socket.on('data', (chunk) => {
      this.#received.push(chunk);
      bytes = Buffer.concat([bytes, chunk]);
      try {
        const request = strictRequest(bytes);
        if (request === undefined) return;
        if (bytes.length > request.end) this.faults.push('bytes behind a request');
        bytes = Buffer.alloc(0);
        this.lastSocket = socket;
        this.#judge(request);
        const respond = this.responses.get(request.target) ?? plainResponse;
        const response = respond(socket, request);
        if (response !== undefined && socket.writable) {
          socket.write(typeof response === 'string' ? Buffer.from(response, 'latin1') : response);
        }
      } catch (error) {
        this.faults.push(String(error));
        socket.destroy();
      }
    });
  }

  #judge(request: StrictRequest): void {
    const fault = (what: string) => this.faults.push(`${request.start}: ${what}`);
    const headerText = (name: string) => valuesOf(request, name).join().toLowerCase();
    this.requests.push(request);
    if (valuesOf(request, 'host').join() !== `127.0.0.1:${this.port}`) fault('another Host');
    if (!/\b1\.1 wakala-[0-9a-f]{8}$/.test(valuesOf(request, 'via').join())) fault('no Via');
    const credentials = request.headers.filter(([name]) => /authorization/.test(letters(name)));
    const [[name, value] = ['', '']] = credentials;
    if (credentials.length !== 1 || name !== 'authorization') fault(`Authorization as ${JSON.stringify(credentials)}`);
    if (!this.#tokens.some((token) => value === `Bearer ${token}`)) fault(`the Authorization ${JSON.stringify(value)}`);
    if (!/^\/base\/[a-z]+(?=[/?]|$)/.test(request.target)) fault('a path outside every base path');
    const path = decodeFully(request.target.split('?', 1)[0] ?? '');
    if (/(^|[/\\])\.{1,2}([/\\;]|$)/.test(path)) fault('a dot segment');
    const handshake = request.target.startsWith(`${BASE}/ws/`) ? ['upgrade', 'websocket'] : ['', ''];
    if (!/^(keep-alive|close|)$/.test(headerText('connection').replace(handshake[0]!, ''))) fault('another Connection');
    if (headerText('upgrade') !== handshake[1]) fault('an Upgrade');
    for (const hop of ['te', 'trailer', 'expect', 'keep-alive', 'proxy-connection', 'http2-settings']) {
      if (valuesOf(request, hop).length > 0) fault(`the hop-by-hop header ${hop}`);
    }
  }
}

function letters(name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, '');
}

/** Repeats the token in a header, as debugging services do. */
function plainResponse(_: Socket, request: StrictRequest): Buffer {
  const [authorization = ''] = valuesOf(request, 'authorization');
  return reply(200, request.method === 'HEAD' ? '' : 'fine', `x-your-authorization: ${authorization}`);
}
