import type { Config } from '../config/config.ts';
import { ConfigError, type ConfigProblem, formatProblem } from '../errors.ts';
import type { Log } from '../logger.ts';
import { createLog, type LevelledLog } from '../telemetry/log.ts';
import { endEarlySignals } from './process-signals.ts';
import { EXIT, type Io, wantsColour } from './io.ts';

/** A logger as the configuration and the terminal ask for it. Logs go to stderr. */
export function logFor(config: Config, io: Io, worker?: number): LevelledLog {
  return createLog({ ...config.log, tty: io.tty, colour: wantsColour(io), worker }, io.stderr);
}

export function logWarnings(warnings: readonly ConfigProblem[], log: Log): void {
  for (const { file, line, column, message } of warnings) log.warn('config_warning', { file, line, column }, message);
}

/** Prints what went wrong before anything ran. @returns the exit code that says so */
export function reportStartFailure(error: unknown, io: Io): number {
  if (error instanceof ConfigError) {
    io.stderr(`${error.problems.map(formatProblem).join('\n')}\n`);
    return EXIT.config;
  }
  io.stderr(`wakala: ${error instanceof Error ? error.message : String(error)}\n`);
  return EXIT.runtime;
}

/** Resolves on SIGTERM or SIGINT; listens from the call on. A second one ends the process at once. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let signalled = false;
    const onSignal = () => {
      if (signalled) process.exit(EXIT.runtime);
      signalled = true;
      resolve();
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
    endEarlySignals();
  });
}

/** What Ctrl-C does, where the terminal sends it as a key and not as a signal. */
export function askToStop(): void {
  process.emit('SIGINT');
}
