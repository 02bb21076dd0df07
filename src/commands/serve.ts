import type { ListenAddress } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { startServer } from '../server/server.ts';
import { EXIT, type Io } from './io.ts';
import { logFor, reportStartFailure, stopSignal } from './run.ts';

export interface ServeOptions {
  readonly config: string;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Runs the proxy until a signal asks it to stop. */
export async function serve(options: ServeOptions, io: Io): Promise<number> {
  try {
    const { config, warnings } = loadConfig(options.config, { ...options, env: io.env });
    const log = logFor(config, io);
    for (const { line, column, message } of warnings) log.warn({ file: config.file, line, column }, message);
    const server = await startServer(config, { log });
    await stopSignal();
    return (await server.drain()) ? EXIT.ok : EXIT.runtime;
  } catch (error) {
    return reportStartFailure(error, io);
  }
}
