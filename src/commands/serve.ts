import type { Config, ListenAddress } from '../config/config.ts';
import { systemClock } from '../clock.ts';
import { examineConfig } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import { Reloader } from '../server/reload.ts';
import { type ServerOptions, startServer } from '../server/server.ts';
import { EXIT, type Io } from './io.ts';
import { logFor, logWarnings, reportStartFailure, stopSignal } from './run.ts';

export interface ServeOptions {
  readonly config: string;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Runs the proxy until a signal asks it to stop. SIGHUP, or a changed file, makes it read its configuration anew. */
export async function serve(options: ServeOptions, io: Io): Promise<number> {
  try {
    const { listen, admin } = options;
    const examine = () => examineConfig(options.config, { listen, admin, env: io.env });
    const { config, problems, warnings, files } = examine();
    if (config === undefined) throw new ConfigError(problems);
    const log = logFor(config, io);
    const reloading = (target: () => Pick<Running, 'apply'>) =>
      new Reloader({
        examine,
        apply: (next) => {
          target().apply(next);
          log.level = next.log.level;
        },
        log,
        clock: systemClock,
      });
    // A primary talks to its workers over a channel.
    if (process.channel !== undefined) {
      const { isWorker, runWorker } = await import('../server/worker.ts');
      const reload = (server: Pick<Running, 'apply'>) => reloading(() => server).reload('the primary said so');
      if (isWorker()) return (await runWorker(config, { log, reload })) ? EXIT.ok : EXIT.runtime;
    }
    logWarnings(warnings, log);
    const reloader: Reloader = reloading(() => server);
    reloader.note(files);
    const stop = stopSignal();
    const starting = start(config, { log, reloadFailure: () => reloader.failure });
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

/** One process, or several; a worker is started by the same command. */
async function start(
  config: Config,
  options: Required<Pick<ServerOptions, 'log' | 'reloadFailure'>>,
): Promise<Running> {
  if (config.workers === 1) return await startServer(config, options);
  const { Primary } = await import('../server/primary.ts');
  const [, exec = '', ...args] = process.argv;
  return await Primary.start(config, { ...options, exec, args });
}

/** What serves, whatever it consists of. */
interface Running {
  apply(config: Config): void;
  drain(): Promise<boolean>;
}
