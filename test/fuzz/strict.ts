import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** A request, read by a strict parser. */
export interface StrictRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

const HEADER_LINE = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

/** What a client may send, and what the proxy may forward: origin form, HTTP/1.1, no chunk extensions, no trailers. */
const RULES = {
  client: {
    line: /^([!#$%&'*+.^_`|~\w-]+) +([!-~]+) +HTTP\/1\.[01]$/,
    size: /^([0-9a-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/i,
  },
  proxy: { line: /^([!#$%&'*+.^_`|~\w-]+) (\/[!-~]*) HTTP\/1\.1$/, size: /^([0-9a-f]{1,8})$/i },
};
type Sender = keyof typeof RULES;

/**
 * Takes the first request from a stream of Latin-1 text (RFC 9112).
 * @returns undefined if the request is incomplete
 * @throws Error that names the violated rule
 */
export function takeRequest(text: string, sender: Sender): { request: StrictRequest; rest: string } | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [start = '', ...lines] = text.slice(0, end).split('\r\n');
  const [, method, target] = RULES[sender].line.exec(start) ?? [];
  if (method === undefined || target === undefined) throw new Error(`request line ${JSON.stringify(start)}`);
  const headers = lines.map((line) => {
    const [, name, value] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`header line ${JSON.stringify(line)}`);
    return [name, value] as const;
  });
  const body = takeBody(headers, text.slice(end + 4), sender);
  return body && { request: { method, target, headers, body: body.taken }, rest: body.rest };
}

interface Taken {
  readonly taken: string;
  readonly rest: string;
}

function takeBody(headers: StrictRequest['headers'], text: string, sender: Sender): Taken | undefined {
  // The proxy must not forward a line that an upstream reads with `-` instead of `_`.
  const names =
    sender === 'client' ? /^(content-length|transfer-encoding)$/i : /^(content[-_]length|transfer[-_]encoding)$/i;
  const framing = headers.filter(([name]) => names.test(name));
  if (framing.length > 1) throw new Error(`framing ${JSON.stringify(framing)}`);
  const [[name, value] = ['content-length', '0']] = framing;
  if (/^transfer-encoding$/i.test(name)) {
    // Transfer codings are case-insensitive (RFC 9112, section 7). The proxy writes lower case.
    if ((sender === 'client' ? value.toLowerCase() : value) !== 'chunked') throw new Error(`coding ${value}`);
    return takeChunks(text, sender);
  }
  const digits = sender === 'client' ? /^\d{1,10}$/ : /^(0|[1-9]\d{0,9})$/;
  if (!/^content-length$/i.test(name) || !digits.test(value)) throw new Error(`length ${name}: ${value}`);
  const length = Number(value);
  return text.length < length ? undefined : { taken: text.slice(0, length), rest: text.slice(length) };
}

function takeChunks(text: string, sender: Sender): Taken | undefined {
  let taken = '';
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n');
    if (end === -1) return undefined;
    const [, digits] = RULES[sender].size.exec(rest.slice(0, end)) ?? [];
    if (digits === undefined) throw new Error(`chunk size ${JSON.stringify(rest.slice(0, end))}`);
    const size = parseInt(digits, 16);
    rest = rest.slice(end + 2);
    if (size === 0) return takeTrailers(rest, sender, taken);
    const piece = rest.slice(0, size + 2);
    if (piece.length < size + 2) return undefined;
    if (!piece.endsWith('\r\n')) throw new Error('a chunk without CRLF');
    rest = rest.slice(size + 2);
    taken += piece.slice(0, size);
  }
}

function takeTrailers(text: string, sender: Sender, taken: string): Taken | undefined {
  if (text.startsWith('\r\n')) return { taken, rest: text.slice(2) };
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const lines = text.slice(0, end).split('\r\n');
  if (sender === 'proxy' || !lines.every((line) => HEADER_LINE.test(line))) throw new Error('a trailer');
  return { taken, rest: text.slice(end + 4) };
}

/** All requests in a stream until the first invalid or incomplete one. */
export function requestsIn(text: string): StrictRequest[] {
  const found: StrictRequest[] = [];
  try {
    for (let left = text; ;) {
      const next = takeRequest(left.replace(/^[\r\n]+/, ''), 'client');
      if (next === undefined) return found;
      found.push(next.request);
      left = next.rest;
    }
  } catch {
    return found;
  }
}

/** An upstream that records every valid request, and the errors of the others. */
export class StrictUpstream {
  readonly requests: StrictRequest[] = [];
  readonly faults: string[] = [];
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket: Socket) => this.#serve(socket));
  }

  static async start(): Promise<StrictUpstream> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new StrictUpstream(server);
  }

  /** Returns and removes the records since the last call. */
  take(): { requests: StrictRequest[]; faults: string[] } {
    return { requests: this.requests.splice(0), faults: this.faults.splice(0) };
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    let text = '';
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
      try {
        const found = takeRequest(text, 'proxy');
        if (found === undefined) return;
        text = '';
        if (found.rest !== '') throw new Error(`bytes after a request: ${JSON.stringify(found.rest.slice(0, 80))}`);
        this.requests.push(found.request);
        const body = found.request.method === 'HEAD' ? '' : 'fine';
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n${body}`);
      } catch (error) {
        this.faults.push(error instanceof Error ? error.message : String(error));
        socket.destroy();
      }
    });
  }
}
