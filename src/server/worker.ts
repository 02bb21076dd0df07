import cluster from 'node:cluster';
import { systemClock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { Via } from '../http/via.ts';
import { Secret } from '../secret.ts';
import type { LevelledLog } from '../telemetry/log.ts';
import type { ServingProcess } from '../telemetry/snapshot.ts';
import { TokenCipher } from '../tokens/store/cipher.ts';
import { createSharing } from '../tokens/store/open.ts';
import { Rpc } from './rpc.ts';
import { startServer } from './server.ts';
import { type ConfigTexts, RemoteStores, type RpcToPrimary, type WorkerSettings } from './worker-rpc.ts';

interface WorkerOptions {
  /** @throws ConfigError */
  readonly configOf: (texts: ConfigTexts) => Config;
  readonly logFor: (config: Config, worker: number | undefined) => LevelledLog;
}

/** Whether a primary started this process. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/**
 * Serves requests as one of several processes, until the primary stops it or ends.
 * @returns false if requests were aborted
 */
export async function runWorker({ configOf, logFor }: WorkerOptions): Promise<boolean> {
  const started = Promise.withResolvers<WorkerSettings>();
  const stop = Promise.withResolvers<undefined>();
  let serving: ServingProcess | undefined;
  let latestTexts: ConfigTexts | undefined;
  let applyLatest = () => {};
  const running = () => {
    if (serving === undefined) throw new Error('the worker is not ready');
    return serving;
  };
  const rpc: RpcToPrimary = new Rpc({
    clock: systemClock,
    send: (message) => {
      if (!process.connected) return false;
      process.send?.(message);
      return true;
    },
    handlers: {
      requests: {
        snapshot: async () => running().snapshot(),
        records: async (after) => running().records(after),
        details: async (number) => running().details(number),
        refresh: async (route) => running().refresh(route),
      },
      notifications: {
        start: (settings) => started.resolve(settings),
        applyConfig: (texts) => {
          latestTexts = texts;
          applyLatest();
        },
        drain: () => stop.resolve(undefined),
        storeEvent: (name, event) => stores.onEvent(name, event),
      },
    },
  });
  const stores = new RemoteStores(rpc);
  process.on('message', (message: unknown) => rpc.receive(message));
  // Emitted for a message to a primary that has ended. `disconnect` follows.
  process.on('error', () => undefined);
  cluster.worker?.on('disconnect', () => {
    // Without this, Node exits at once, and the requests under way are lost.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
    rpc.close();
    stop.resolve(undefined);
  });
  // A terminal sends these to the whole process group. The primary handles them and tells its workers.
  process
    .on('SIGINT', () => undefined)
    .on('SIGHUP', () => undefined)
    .on('SIGTERM', () => stop.resolve(undefined));
  const { encryptionKey, owner, viaId, texts } = await started.promise;
  try {
    const config = withoutAdmin(configOf(texts));
    const log = logFor(config, cluster.worker?.id);
    const sharing = createSharing({
      stores,
      cipher: new TokenCipher([new Secret(encryptionKey)]),
      owner,
      clock: systemClock,
      log,
    });
    const server = await startServer(config, { log, sharing, via: new Via(viaId) });
    serving = server;
    applyLatest = () => {
      if (latestTexts === undefined) return;
      const next = withoutAdmin(configOf(latestTexts));
      server.apply(next);
      log.level = next.log.level;
    };
    // The primary may have reloaded its configuration while this worker started.
    applyLatest();
    rpc.notify('ready', server.address);
    await stop.promise;
    return await server.drain();
  } catch (error) {
    rpc.notify('failed', error instanceof Error ? error.message : String(error));
    throw error;
  } finally {
    if (process.connected) process.disconnect();
  }
}

/** The primary has the admin listener. */
function withoutAdmin(config: Config): Config {
  return { ...config, admin: undefined };
}
