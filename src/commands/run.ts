import type { Config } from '../config/config.ts';
import { ConfigError, type ConfigProblem, formatProblem } from '../errors.ts';
import type { Log } from '../logger.ts';
import { createLog, type LevelledLog } from '../telemetry/log.ts';
import { EXIT, type Io, wantsColour } from './io.ts';
import { stopExitingOnSignals } from './process-signals.ts';

/** The logger of the configuration. It writes to stderr. */
export function logFor(config: Config, io: Io, worker?: number): LevelledLog {
  return createLog({ ...config.log, tty: io.tty, colour: wantsColour(io), worker }, io.log ?? io.stderr);
}

export function logWarnings(warnings: readonly ConfigProblem[], log: Log): void {
  for (const { file, line, column, message } of warnings) log.warn('config_warning', { file, line, column }, message);
}

/** Prints why a command could not start. @returns the exit code */
export function reportStartFailure(error: unknown, io: Io): number {
  if (error instanceof ConfigError) {
    io.stderr(`${error.problems.map(formatProblem).join('\n')}\n`);
    return EXIT.config;
  }
  io.stderr(`wakala: ${error instanceof Error ? error.message : String(error)}\n`);
  return EXIT.runtime;
}

/** Resolves on the first SIGTERM or SIGINT after the call. A second one exits at once. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let isSignalled = false;
    const onSignal = () => {
      if (isSignalled) process.exit(EXIT.runtime);
      isSignalled = true;
      resolve();
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
    stopExitingOnSignals();
  });
}

/** Does what Ctrl-C does. In raw mode, the terminal sends Ctrl-C as a key, not as a signal. */
export function requestStop(): void {
  process.emit('SIGINT');
}
