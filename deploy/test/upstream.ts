import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

const CHUNK = Buffer.alloc(64 * 1024, 'wakala ');

interface Span {
  readonly name: string;
}
interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}
interface Traces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

/** An API on this machine that takes and gives large bodies, can hold an answer back, and takes traces. */
export class Upstream {
  readonly origin: string;
  /** `Authorization` of the last call. */
  authorization: string | undefined;
  /** Spans that came in: the service's version, and the name. */
  readonly spans: string[] = [];
  readonly #server: Server;
  #held: ServerResponse | undefined;
  #change: PromiseWithResolvers<undefined> = Promise.withResolvers();

  private constructor(server: Server) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (req: IncomingMessage, res: ServerResponse) => void this.#answer(req, res));
  }

  static async start(): Promise<Upstream> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Upstream(server);
  }

  /** Waits for the request to `/held`. */
  async held(): Promise<void> {
    while (this.#held === undefined) await this.#change.promise;
  }

  /** Answers the request to `/held`. */
  release(): void {
    this.#held?.end('released');
    this.#held = undefined;
  }

  async traced(span: string): Promise<void> {
    while (!this.spans.includes(span)) await this.#change.promise;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '/', this.origin);
    if (pathname !== '/v1/traces') this.authorization = req.headers.authorization;
    if (pathname === '/v1/traces') {
      this.#take(JSON.parse(await text(req)) as Traces);
      res.end('{}');
    } else if (pathname === '/held') {
      this.#held = res;
    } else if (pathname === '/blob') {
      await send(res, Number(searchParams.get('bytes')));
    } else {
      res.end(JSON.stringify(await digestOf(req)));
    }
    this.#change.resolve(undefined);
    this.#change = Promise.withResolvers();
  }

  #take({ resourceSpans }: Traces): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const version = resource.attributes.find(({ key }) => key === 'service.version')?.value.stringValue ?? '';
      for (const { name } of scopeSpans.flatMap(({ spans }) => spans)) this.spans.push(`${version} ${name}`);
    }
  }
}

/** Bytes that are the same each time, in chunks. */
export function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.length) yield CHUNK.subarray(0, Math.min(left, CHUNK.length));
}

export async function digestOf(
  body: AsyncIterable<Buffer> | Iterable<Buffer>,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function send(res: ServerResponse, bytes: number): Promise<void> {
  res.writeHead(200, { 'content-length': bytes });
  for (const chunk of chunks(bytes)) if (!res.write(chunk)) await once(res, 'drain');
  res.end();
}
