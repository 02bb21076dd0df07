import type { Clock } from '../clock.ts';
import type { Feed, News } from './feed.ts';

/** What a listener may leave unread before it is dropped. Bytes. */
const MAX_UNREAD = 256 * 1024;

const HEARTBEAT_MS = 15_000;

/**
 * Server-sent events (WHATWG HTML 9.2): `routes` with the routes that changed, the first time all of them; `request`
 * with one new request. `brief`: the same without what they tell, for who then fetches what it shows.
 * @param drop cuts the connection of a listener that does not read what it is told
 */
export function eventStream(feed: Feed, clock: Clock, brief: boolean, drop: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let stop: () => void = () => {};
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const send = (text: string) => {
          if (text === '') return;
          if ((controller.desiredSize ?? 0) > 0) {
            controller.enqueue(encoder.encode(text));
          } else {
            stop();
            drop();
          }
        };
        send('retry: 2000\n\n');
        stop = listenWithHeartbeat(feed, clock, brief, send);
      },
      cancel: () => stop(),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD }),
  );
}

function listenWithHeartbeat(feed: Feed, clock: Clock, brief: boolean, send: (text: string) => void): () => void {
  let isFirst = true;
  let cancel = () => {};
  const beat = () => {
    cancel = clock.after(HEARTBEAT_MS, () => {
      beat();
      send(': heartbeat\n\n');
    });
  };
  beat();
  const end = feed.listen((news) => {
    const told = isFirst ? news.whole : news.changed;
    if (told !== undefined) isFirst = false;
    send(brief ? briefly(news) : textOf(told, news.requests));
  });
  return () => {
    cancel();
    end();
  };
}

function textOf(routes: unknown, requests: readonly unknown[]): string {
  const told = routes === undefined ? '' : event('routes', routes);
  return told + requests.map((request) => event('request', request)).join('');
}

function briefly({ changed, requests }: News): string {
  const told = changed === undefined ? '' : event('routes', {});
  return requests.length === 0 ? told : told + event('request', {});
}

function event(name: string, json: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(json)}\n\n`;
}
