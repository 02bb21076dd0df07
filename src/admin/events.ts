import type { ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import type { RecordedRequest } from '../telemetry/recent-requests.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import { type Json, overviewJson, requestJson, routeJson } from './api-json.ts';
import type { AdminContext } from './context.ts';
import { requestView } from './inspector.ts';
import { type Overview, overviewOf } from './overview.ts';

/** What changed since the last poll. */
interface FeedEvent {
  /** The overview with all routes; undefined if nothing changed. */
  readonly all: Json | undefined;
  /** The overview with the routes that changed. */
  readonly changed: Json | undefined;
  /** New requests, oldest first; the newest 200 if there are more. */
  readonly requests: readonly Json[];
  /** The text of each kind of stream, encoded once for all listeners. */
  readonly encoded: Map<StreamKind, Uint8Array>;
}

/** `all`: the first event of a listener. `brief`: the events have no content. */
type StreamKind = 'all' | 'changed' | 'brief';

type Listener = (event: FeedEvent) => void;

const POLL_INTERVAL_MS = 1000;

/** Largest number of new requests in one event. */
const MAX_REQUESTS_PER_POLL = 200;

/** Largest number of listeners at the same time. */
const MAX_LISTENERS = 50;

/** Polls all processes once a second for all listeners together. Without a listener it does not poll. */
export class EventFeed {
  readonly #context: AdminContext;
  readonly #listeners = new Set<Listener>();
  /** Number of the newest known request, by pid. */
  readonly #newest = new Map<number, number>();
  #routes = new Map<string, string>();
  #rest = '';
  #last: FeedEvent | undefined;
  #cancel: (() => void) | undefined;

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /** Whether the largest number of listeners is reached. */
  get isFull(): boolean {
    return this.#listeners.size >= MAX_LISTENERS;
  }

  /** Calls back with everything first, then with what changed. @returns a function that ends it */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    if (this.#last !== undefined) listener(this.#last);
    if (this.#cancel === undefined) this.#begin();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#end();
    };
  }

  #begin(): void {
    this.#cancel = () => {};
    void this.#run(true);
  }

  #end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#last = undefined;
    this.#routes.clear();
    this.#rest = '';
    this.#newest.clear();
  }

  async #run(isFirst: boolean): Promise<void> {
    const run = this.#cancel;
    // After a failure, the next poll tries again.
    const event = await this.#poll(isFirst).catch(() => undefined);
    if (this.#cancel !== run) return;
    if (event !== undefined) for (const listener of [...this.#listeners]) listener(event);
    if (this.#cancel !== run) return;
    this.#cancel = this.#context.clock.after(POLL_INTERVAL_MS, () => void this.#run(false));
  }

  async #poll(isFirst: boolean): Promise<FeedEvent> {
    const run = this.#cancel;
    const [overview, requests] = await Promise.all([overviewOf(this.#context), this.#newRequests(isFirst)]);
    // The feed was ended and started again meanwhile: its state belongs to the new run.
    if (this.#cancel !== run) return feedEvent(undefined, undefined, []);
    const routes = overview.routes.map(routeJson);
    const texts = new Map(routes.map((route) => [String(route['name']), JSON.stringify(route)]));
    const changed = routes.filter((route) => {
      const name = String(route['name']);
      return this.#routes.get(name) !== texts.get(name);
    });
    const rest = restOf(overview);
    const isSame = changed.length === 0 && rest === this.#rest && texts.size === this.#routes.size;
    this.#routes = texts;
    this.#rest = rest;
    if (isSame) return feedEvent(undefined, undefined, requests);
    const all = overviewJson(overview, routes);
    this.#last = feedEvent(all, all, []);
    return feedEvent(all, overviewJson(overview, changed), requests);
  }

  async #newRequests(isFirst: boolean): Promise<Json[]> {
    const results = await Promise.allSettled(
      this.#context.processes().map(async (process) => ({ process, recorded: await this.#newRecords(process) })),
    );
    if (isFirst) return [];
    return results
      .flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
      .flatMap(({ process, recorded }) => recorded.map((one) => requestView(process.pid, one)))
      .reverse()
      .sort((a, b) => a.atMs - b.atMs)
      .slice(-MAX_REQUESTS_PER_POLL)
      .map(requestJson);
  }

  async #newRecords(process: ServingProcess): Promise<readonly RecordedRequest[]> {
    const after = this.#newest.get(process.pid) ?? 0;
    const recorded = await process.records(after);
    this.#newest.set(process.pid, recorded[0]?.number ?? after);
    return recorded;
  }
}

function feedEvent(all: Json | undefined, changed: Json | undefined, requests: readonly Json[]): FeedEvent {
  return { all, changed, requests, encoded: new Map() };
}

/** The overview without its routes, and without values that change all the time. */
function restOf(overview: Overview): string {
  const processes = overview.processes.map((process) => ({ ...process, rssBytes: 0, cpuSeconds: 0 }));
  return JSON.stringify({ ...overviewJson({ ...overview, processes }, []), at: null });
}

/** A listener that leaves more unread is disconnected, unless one message is longer. Bytes. */
const MAX_UNREAD_BYTES = 256 * 1024;

const HEARTBEAT_MS = 15_000;

const encoder = new TextEncoder();

/**
 * Server-sent events (WHATWG HTML 9.2): `routes` with the routes that changed, the first time with all of them;
 * `request` with one new request. `brief`: the same events without content, for clients that then fetch a page.
 * @param connection the response that the stream is written to. It is destroyed if its client does not read.
 */
export function eventStream(
  feed: EventFeed,
  clock: Clock,
  brief: boolean,
  connection: Pick<ServerResponse, 'writableLength' | 'destroy'>,
): ReadableStream<Uint8Array> {
  let stop: () => void = () => {};
  let largest = 0;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (bytes: Uint8Array) => {
          if (bytes.length === 0) return;
          const unread = MAX_UNREAD_BYTES - (controller.desiredSize ?? 0) + connection.writableLength;
          largest = Math.max(largest, bytes.length);
          if (unread <= Math.max(MAX_UNREAD_BYTES, largest)) {
            controller.enqueue(bytes);
          } else {
            stop();
            connection.destroy();
          }
        };
        send(encoder.encode('retry: 2000\n\n'));
        stop = listenWithHeartbeat(feed, clock, brief, send);
      },
      cancel: () => stop(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD_BYTES }),
  );
}

function listenWithHeartbeat(
  feed: EventFeed,
  clock: Clock,
  brief: boolean,
  send: (bytes: Uint8Array) => void,
): () => void {
  let isFirst = true;
  let cancel = () => {};
  const beat = () => {
    cancel = clock.after(HEARTBEAT_MS, () => {
      beat();
      send(encoder.encode(': heartbeat\n\n'));
    });
  };
  beat();
  const end = feed.listen((event) => {
    const kind = brief ? 'brief' : isFirst ? 'all' : 'changed';
    if (event.all !== undefined) isFirst = false;
    send(encoded(event, kind));
  });
  return () => {
    cancel();
    end();
  };
}

/** The same bytes for every listener, so that unread events of several listeners share their memory. */
function encoded(event: FeedEvent, kind: StreamKind): Uint8Array {
  let bytes = event.encoded.get(kind);
  if (bytes === undefined) {
    bytes = encoder.encode(kind === 'brief' ? briefText(event) : textOf(event[kind], event.requests));
    event.encoded.set(kind, bytes);
  }
  return bytes;
}

function textOf(routes: unknown, requests: readonly unknown[]): string {
  const routesText = routes === undefined ? '' : eventText('routes', routes);
  return routesText + requests.map((request) => eventText('request', request)).join('');
}

function briefText({ changed, requests }: FeedEvent): string {
  const routesText = changed === undefined ? '' : eventText('routes', {});
  return requests.length === 0 ? routesText : routesText + eventText('request', {});
}

function eventText(name: string, json: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(json)}\n\n`;
}
