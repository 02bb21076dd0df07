import cluster from 'node:cluster';
import { systemClock } from '../clock.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import type { Log } from '../log.ts';
import { Secret } from '../secret.ts';
import { type BoardAnswer, type BoardCall, type BoardNews, ChannelBoards } from '../tokens/shared/channel.ts';
import { shareBy } from '../tokens/shared/open.ts';
import { Seal } from '../tokens/shared/seal.ts';
import { type RunningServer, startServer } from './server.ts';

export type FromWorker =
  | { readonly kind: 'ready'; readonly address: ListenAddress }
  | { readonly kind: 'failed'; readonly error: string }
  | BoardCall;

export type ToWorker =
  | { readonly kind: 'start'; readonly key: string; readonly owner: string }
  | { readonly kind: 'reload' }
  | { readonly kind: 'drain' }
  | BoardAnswer
  | BoardNews;

export interface WorkerOptions {
  readonly log: Log;
  /** Called when the primary wants the configuration read anew. */
  readonly reload: (server: { apply(config: Config): void }) => void;
}

/** Whether this process is one that a primary started. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/**
 * Serves as one of several processes until the primary says to stop, or is gone.
 * @returns true if nothing had to be cut off
 */
export async function runWorker(config: Config, { log, reload }: WorkerOptions): Promise<boolean> {
  const boards = new ChannelBoards(send);
  const started = Promise.withResolvers<ToWorker & { kind: 'start' }>();
  const stop = Promise.withResolvers<undefined>();
  let server: RunningServer | undefined;
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'start':
        started.resolve(message);
        break;
      case 'reload':
        reload({ apply: (next) => server?.apply(withoutAdmin(next)) });
        break;
      case 'drain':
        stop.resolve(undefined);
        break;
      default:
        boards.onMessage(message);
    }
  });
  cluster.worker?.on('disconnect', () => {
    // Else node would end this process at once, with the requests that it has under way.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
    boards.close();
    stop.resolve(undefined);
  });
  // What is sent to a whole group of processes is for the primary, which tells its workers.
  process
    .on('SIGINT', () => undefined)
    .on('SIGHUP', () => undefined)
    .on('SIGTERM', () => stop.resolve(undefined));
  const { key, owner } = await started.promise;
  const shared = shareBy({ boards, seal: new Seal([new Secret(key)]), owner, clock: systemClock, log });
  try {
    server = await startServer(withoutAdmin(config), { log, shared });
  } catch (error) {
    send({ kind: 'failed', error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
  send({ kind: 'ready', address: server.address });
  await stop.promise;
  const clean = await server.drain();
  if (process.connected) process.disconnect();
  return clean;
}

/** The admin listener is the primary's. */
function withoutAdmin(config: Config): Config {
  return { ...config, admin: undefined };
}

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}
