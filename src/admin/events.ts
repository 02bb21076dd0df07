import type { ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import type { EventFeed, FeedEvent } from './feed.ts';

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
