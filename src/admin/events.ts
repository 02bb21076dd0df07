import type { ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import type { RecordedRequest } from '../telemetry/recent-requests.ts';
import { type Json, overviewJson, requestJson, routeJson } from './api-json.ts';
import type { AdminContext } from './context.ts';
import { requestView } from './inspector.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import { type Overview, overviewOf } from './overview.ts';

/** What changed since the poll before. */
interface FeedEvent {
  /** All that is to be told, with every route; undefined if nothing changed. */
  readonly whole: Json | undefined;
  /** The same with those routes that changed. */
  readonly changed: Json | undefined;
  /** New requests, oldest first; the newest 200 if there are more. */
  readonly requests: readonly Json[];
  /** Its events as text, each kind made for the first listener and sent to all. */
  readonly encoded: Map<string, Uint8Array>;
}

type Listener = (news: FeedEvent) => void;

const EVERY_MS = 1000;

/** New requests that one poll tells of. */
const MOST_REQUESTS = 200;

/** Those who may listen at the same time. */
const MOST_LISTENERS = 50;

/** One poll of all processes a second, shared by all who listen; none while nobody does. */
export class EventFeed {
  readonly #context: AdminContext;
  readonly #listeners = new Set<Listener>();
  /** Number of the newest request known, by process. */
  readonly #newest = new Map<number, number>();
  #routes = new Map<string, string>();
  #rest = '';
  #last: FeedEvent | undefined;
  #cancel: (() => void) | undefined;

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /** Whether nobody else may listen now. */
  get isFull(): boolean {
    return this.#listeners.size >= MOST_LISTENERS;
  }

  /** Tells everything first, then what changed. @returns a function that ends it */
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
    // A failure shows as what is missing; the next poll tries again.
    const news = await this.#poll(isFirst).catch(() => undefined);
    if (this.#cancel !== run) return;
    if (news !== undefined) for (const listener of [...this.#listeners]) listener(news);
    if (this.#cancel !== run) return;
    this.#cancel = this.#context.clock.after(EVERY_MS, () => void this.#run(false));
  }

  async #poll(isFirst: boolean): Promise<FeedEvent> {
    const run = this.#cancel;
    const [overview, requests] = await Promise.all([overviewOf(this.#context), this.#newRequests(isFirst)]);
    // Ended and begun anew meanwhile: what was remembered belongs to the new one.
    if (this.#cancel !== run) return newsOf(undefined, undefined, []);
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
    if (isSame) return newsOf(undefined, undefined, requests);
    const whole = overviewJson(overview, routes);
    this.#last = newsOf(whole, whole, []);
    return newsOf(whole, overviewJson(overview, changed), requests);
  }

  async #newRequests(isFirst: boolean): Promise<Json[]> {
    const answers = await Promise.allSettled(
      this.#context.processes().map(async (serving) => ({ serving, recorded: await this.#newRecords(serving) })),
    );
    if (isFirst) return [];
    return answers
      .flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
      .flatMap(({ serving, recorded }) => recorded.map((one) => requestView(serving.pid, one)))
      .reverse()
      .sort((a, b) => a.atMs - b.atMs)
      .slice(-MOST_REQUESTS)
      .map(requestJson);
  }

  async #newRecords(serving: ServingProcess): Promise<readonly RecordedRequest[]> {
    const after = this.#newest.get(serving.pid) ?? 0;
    const recorded = await serving.records(after);
    this.#newest.set(serving.pid, recorded[0]?.number ?? after);
    return recorded;
  }
}

function newsOf(whole: Json | undefined, changed: Json | undefined, requests: readonly Json[]): FeedEvent {
  return { whole, changed, requests, encoded: new Map() };
}

/** All but the routes, and but what changes without anything having happened. */
function restOf(overview: Overview): string {
  const processes = overview.processes.map((told) => ({ ...told, rssBytes: 0, cpuSeconds: 0 }));
  return JSON.stringify({ ...overviewJson({ ...overview, processes }, []), at: null });
}

/** What a listener may leave unread, unless one message is longer, before it is dropped. Bytes. */
const MAX_UNREAD = 256 * 1024;

const HEARTBEAT_MS = 15_000;

const encoder = new TextEncoder();

/**
 * Server-sent events (WHATWG HTML 9.2): `routes` with the routes that changed, the first time all of them; `request`
 * with one new request. `brief`: the same without what they tell, for who then fetches what it shows.
 * @param connection that the stream is written to. It is destroyed if its client does not read what it is told.
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
          const unread = MAX_UNREAD - (controller.desiredSize ?? 0) + connection.writableLength;
          largest = Math.max(largest, bytes.length);
          if (unread <= Math.max(MAX_UNREAD, largest)) {
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
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD }),
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
  const end = feed.listen((news) => {
    const kind = brief ? 'brief' : isFirst ? 'whole' : 'changed';
    if (news.whole !== undefined) isFirst = false;
    send(encoded(news, kind));
  });
  return () => {
    cancel();
    end();
  };
}

/** The same bytes for every listener: what one leaves unread takes no memory of its own. */
function encoded(news: FeedEvent, kind: 'brief' | 'whole' | 'changed'): Uint8Array {
  let bytes = news.encoded.get(kind);
  if (bytes === undefined) {
    bytes = encoder.encode(kind === 'brief' ? briefly(news) : textOf(news[kind], news.requests));
    news.encoded.set(kind, bytes);
  }
  return bytes;
}

function textOf(routes: unknown, requests: readonly unknown[]): string {
  const told = routes === undefined ? '' : event('routes', routes);
  return told + requests.map((request) => event('request', request)).join('');
}

function briefly({ changed, requests }: FeedEvent): string {
  const told = changed === undefined ? '' : event('routes', {});
  return requests.length === 0 ? told : told + event('request', {});
}

function event(name: string, json: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(json)}\n\n`;
}
