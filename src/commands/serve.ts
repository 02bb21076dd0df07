import type { Config, ListenAddress } from '../config/config.ts';
import { systemClock } from '../clock.ts';
import { examineConfig } from '../config/load.ts';
import { ConfigError } from '../errors.ts';
import { Reloader } from '../server/reload.ts';
import { startServer } from '../server/server.ts';
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
    logWarnings(warnings, log);
    const apply = (next: Config) => {
      server.apply(next);
      log.level = next.log.level;
    };
    const reloader: Reloader = new Reloader({ examine, apply, log, clock: systemClock });
    reloader.note(files);
    const stop = stopSignal();
    const starting = startServer(config, { log, reloadFailure: () => reloader.failure });
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
