import { resolve } from 'node:path';
import { systemClock } from '../clock.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import { type Disk, textKey } from '../config/disk.ts';
import { loadConfig, validateConfig } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import type { PrimaryOptions } from '../server/primary.ts';
import { Reloader } from '../server/reload.ts';
import { startServer } from '../server/server.ts';
import { EXIT, type Io } from './io.ts';
import { logFor, logWarnings, reportStartFailure, stopSignal } from './run.ts';

interface ServeOptions {
  readonly config: string;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Runs the proxy until SIGTERM or SIGINT. SIGHUP or a changed file reloads the configuration. */
export async function serve(options: ServeOptions, io: Io): Promise<number> {
  try {
    const { listen, admin } = options;
    // A worker has an IPC channel to its primary.
    if (process.channel !== undefined) {
      const { isWorker, runWorker } = await import('../server/worker.ts');
      const configOf = (texts: ReadonlyMap<string, string>) =>
        loadConfig(options.config, { listen, admin, env: io.env, readFile: readerOf(texts), fileMode: () => undefined })
          .config;
      if (isWorker()) {
        return (await runWorker({ configOf, logFor: (config, worker) => logFor(config, io, worker) }))
          ? EXIT.ok
          : EXIT.runtime;
      }
    }
    const readConfig = () => validateConfig(options.config, { listen, admin, env: io.env });
    const { config, problems, warnings, files, texts } = readConfig();
    if (config === undefined) throw new ConfigError(problems);
    const log = logFor(config, io);
    const apply = (next: Config, read: ReadonlyMap<string, string>) => {
      server.apply(next, read);
      log.level = next.log.level;
    };
    const reloader: Reloader = new Reloader({ readConfig, apply, log, clock: systemClock });
    logWarnings(warnings, log);
    reloader.setFiles(files);
    const stop = stopSignal();
    const starting = start(config, { log, texts, reloads: () => reloader.reloads });
    process.on('SIGHUP', () => {
      starting.then(
        () => reloader.reload('SIGHUP'),
        () => undefined,
      );
    });
    const server = await starting;
    reloader.watch(files);
    await stop;
    reloader.close();
    return (await server.drain()) ? EXIT.ok : EXIT.runtime;
  } catch (error) {
    return reportStartFailure(error, io);
  }
}

/** Starts one process or several. The primary starts its workers with the same command. */
async function start(config: Config, options: Pick<PrimaryOptions, 'log' | 'reloads' | 'texts'>): Promise<Running> {
  if (config.workers === 1) return await startServer(config, options);
  const { Primary } = await import('../server/primary.ts');
  const [, exec = '', ...args] = process.argv;
  return await Primary.start(config, { ...options, exec, args });
}

/** A server or a primary with its workers. */
interface Running {
  apply(config: Config, texts: ReadonlyMap<string, string>): void;
  drain(): Promise<boolean>;
}

/** Reads files from the texts that the primary read, so that all workers use the same configuration. */
function readerOf(texts: ReadonlyMap<string, string>): Disk['readFile'] {
  return (path, encoding) => {
    const text = texts.get(textKey(resolve(path), encoding));
    if (text === undefined) throw Object.assign(new Error('not read by the primary'), { code: 'ENOENT' });
    return text;
  };
}
