import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** A span as the collector got it. Times are milliseconds since the Unix epoch. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly string[];
  readonly failed: boolean;
  /** Attributes of the process that sent it. */
  readonly resource: Readonly<Record<string, unknown>>;
}

interface Attribute {
  readonly key: string;
  readonly value: { stringValue?: string; intValue?: number; boolValue?: boolean };
}

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  events: { name: string }[];
  status: { code: number };
}

interface Payload {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[];
}

export interface CollectorOptions {
  /** Status of each response. Undefined: no response. */
  readonly status?: () => number | undefined;
  readonly port?: number;
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** A collector that takes OTLP/JSON over HTTP and keeps it, until the test ends. */
export class Collector {
  readonly spans: CollectedSpan[] = [];
  /** Bodies as they came. */
  readonly payloads: string[] = [];
  readonly requests: IncomingMessage[] = [];
  readonly origin: string;
  #arrived: PromiseWithResolvers<undefined> = Promise.withResolvers();

  private constructor(origin: string) {
    this.origin = origin;
  }

  static async start({ status = () => 200, port = 0, tls }: CollectorOptions = {}): Promise<Collector> {
    const listener: RequestListener = (req, res) =>
      void textOf(req).then((body) => {
        const code = status();
        collector.#take(req, body, code === 200);
        if (code !== undefined) res.writeHead(code).end(code === 200 ? '{}' : 'not now');
      });
    const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const { port: listening } = server.address() as AddressInfo;
    const collector = new Collector(`${tls === undefined ? 'http' : 'https'}://127.0.0.1:${listening}`);
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    return collector;
  }

  /** Waits until this many batches came in. */
  async batches(count: number): Promise<void> {
    while (this.requests.length < count) await this.#arrived.promise;
  }

  /** The one span of this name. */
  span(name: string): CollectedSpan {
    const found = this.spans.filter((span) => span.name === name);
    if (found.length !== 1) throw new Error(`${found.length} spans named ${name}: ${this.names().join(', ')}`);
    return found[0]!;
  }

  names(): string[] {
    return this.spans.map(({ name }) => name).sort();
  }

  #take(req: IncomingMessage, body: string, keep: boolean): void {
    this.requests.push(req);
    this.payloads.push(body);
    if (keep) this.spans.push(...spansOf(JSON.parse(body) as Payload));
    this.#arrived.resolve(undefined);
    this.#arrived = Promise.withResolvers();
  }
}

function spansOf({ resourceSpans }: Payload): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) => spans.map((span) => spanOf(span, valuesOf(resource.attributes)))),
  );
}

function spanOf(span: OtlpSpan, resource: CollectedSpan['resource']): CollectedSpan {
  const { traceId, spanId, parentSpanId, name, kind, attributes, events, status } = span;
  return {
    traceId,
    spanId,
    parentSpanId,
    name,
    kind,
    startMs: Number(span.startTimeUnixNano) / 1e6,
    endMs: Number(span.endTimeUnixNano) / 1e6,
    attributes: valuesOf(attributes),
    events: events.map((event) => event.name),
    failed: status.code === 2,
    resource,
  };
}

function valuesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

async function textOf(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
