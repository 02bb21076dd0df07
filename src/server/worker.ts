import cluster from 'node:cluster';
import { systemClock } from '../clock.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { Secret } from '../secret.ts';
import type { LevelledLog } from '../telemetry/log.ts';
import { type StoreReply, type StoreCall, type StoreNotice, ChannelStores } from '../tokens/store/channel.ts';
import { shareBy } from '../tokens/store/open.ts';
import { TokenCipher } from '../tokens/store/cipher.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import { answerProcessCall, type ProcessReply, type ProcessCall } from './process-channel.ts';
import { startServer } from './server.ts';

export type FromWorker =
  | { readonly kind: 'ready'; readonly address: ListenAddress }
  | { readonly kind: 'failed'; readonly error: string }
  | ProcessReply
  | StoreCall;

export type ToWorker =
  | { readonly kind: 'start'; readonly key: string; readonly owner: string; readonly texts: Texts }
  | { readonly kind: 'reload'; readonly texts: Texts }
  | { readonly kind: 'drain' }
  | ProcessCall
  | StoreReply
  | StoreNotice;

/** What a configuration is read from, by absolute path. */
type Texts = ReadonlyMap<string, string>;

interface WorkerOptions {
  /** @throws ConfigError */
  readonly configOf: (texts: Texts) => Config;
  readonly logFor: (config: Config, worker: number | undefined) => LevelledLog;
}

/** Whether this process is one that a primary started. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/**
 * Serves as one of several processes until the primary says to stop, or is gone.
 * @returns true if nothing had to be cut off
 */
export async function runWorker({ configOf, logFor }: WorkerOptions): Promise<boolean> {
  const stores = new ChannelStores(send);
  const started = Promise.withResolvers<ToWorker & { kind: 'start' }>();
  const stop = Promise.withResolvers<undefined>();
  let reload = (texts: Texts) => void (missed = texts);
  let missed: Texts | undefined;
  let serving: ServingProcess | undefined;
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'start':
        started.resolve(message);
        break;
      case 'reload':
        reload(message.texts);
        break;
      case 'drain':
        stop.resolve(undefined);
        break;
      case 'process':
        if (serving !== undefined) answerProcessCall(serving, message).then(send, () => undefined);
        break;
      default:
        stores.onMessage(message);
    }
  });
  // Emitted for a message to a primary that is gone. `disconnect` follows.
  process.on('error', () => undefined);
  cluster.worker?.on('disconnect', () => {
    // Else node would end this process at once, with the requests that it has under way.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
    stores.close();
    stop.resolve(undefined);
  });
  // What is sent to a whole group of processes is for the primary, which tells its workers.
  process
    .on('SIGINT', () => undefined)
    .on('SIGHUP', () => undefined)
    .on('SIGTERM', () => stop.resolve(undefined));
  const { key, owner, texts } = await started.promise;
  try {
    const config = withoutAdmin(configOf(texts));
    const log = logFor(config, cluster.worker?.id);
    const shared = shareBy({
      stores: stores,
      cipher: new TokenCipher([new Secret(key)]),
      owner,
      clock: systemClock,
      log,
    });
    const server = await startServer(config, { log, shared });
    serving = server;
    reload = (changed) => {
      const next = withoutAdmin(configOf(changed));
      server.apply(next);
      log.level = next.log.level;
    };
    if (missed !== undefined) reload(missed);
    send({ kind: 'ready', address: server.address });
    await stop.promise;
    return await server.drain();
  } catch (error) {
    send({ kind: 'failed', error: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    if (process.connected) process.disconnect();
  }
}

/** The admin listener is the primary's. */
function withoutAdmin(config: Config): Config {
  return { ...config, admin: undefined };
}

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}
