import { existsSync } from 'node:fs';
import type { Config, ListenAddress } from '../config/config.ts';
import { defaultConfig, validateConfig, type Loaded, loadConfig } from '../config/load.ts';
import { startServer } from '../server/server.ts';
import type { LevelledLog } from '../telemetry/log.ts';
import { Emulation } from './dev/emulation.ts';
import { hasKeys, readKeys, type Terminal, thisTerminal } from './dev/keyboard.ts';
import { pressKey } from './dev/keys.ts';
import { DevReload } from './dev/reload.ts';
import { startScreen } from './dev/screen.ts';
import { EXIT, type Io, wantsColour } from './io.ts';
import { askToStop, logFor, logWarnings, reportStartFailure, stopSignal } from './run.ts';

export interface DevOptions {
  readonly config: string;
  /** Whether the user named the file: one that is then missing is an error. */
  readonly configGiven: boolean;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Runs the proxy in front of emulated providers: no credentials, no network, no money. */
export async function dev(options: DevOptions, io: Io, terminal: Terminal = thisTerminal()): Promise<number> {
  if (io.env['NODE_ENV'] === 'production') {
    io.stderr('wakala dev: NODE_ENV is production. Emulated providers take no real payments; run `wakala serve`.\n');
    return EXIT.usage;
  }
  try {
    const { config, warnings } = configFor(options, io);
    const log = logFor(config, io);
    logWarnings(warnings, log);
    const emulation = new Emulation({ log, onCallback: (report) => log.info({ ...report }, 'callback') });
    try {
      return await run(config, { options, io, terminal, log, emulation });
    } finally {
      await emulation.close();
    }
  } catch (error) {
    return reportStartFailure(error, io);
  }
}

interface DevContext {
  readonly options: DevOptions;
  readonly io: Io;
  readonly terminal: Terminal;
  readonly log: LevelledLog;
  readonly emulation: Emulation;
}

/** Serves until a signal or a key asks it to stop. @returns the exit code */
async function run(first: Config, { options, io, terminal, log, emulation }: DevContext): Promise<number> {
  const { started, config } = await emulation.emulate(first);
  emulation.adopt(started);
  const serving = { config };
  const apply = (next: Config) => {
    server.apply(next);
    log.level = next.log.level;
    serving.config = next;
  };
  const examine = () => validateConfig(options.config, { ...options, env: io.env, emulated: true });
  const reload = new DevReload({ file: options.config, examine, apply, emulation });
  const stop = stopSignal();
  const server = await startServer(config, { log, emulated: true, reloads: () => reload.reloads });
  const { address, admin } = server;
  const keys = hasKeys(terminal);
  const colour = wantsColour({ ...io, tty: terminal.screen });
  const screen = () => startScreen({ config: serving.config, emulation, address, admin, colour, keys });
  const context = { emulation, admin, reload, startScreen: screen, stop: askToStop, print: io.stdout };
  const closeKeys = keys ? readKeys(terminal, (key) => void pressKey(key, context)) : () => undefined;
  try {
    io.stdout(screen());
    await stop;
    await reload.close();
    await server.drain();
    return EXIT.ok;
  } finally {
    closeKeys();
  }
}

function configFor(options: DevOptions, io: Io): Pick<Loaded, 'config' | 'warnings'> {
  if (!options.configGiven && !existsSync(options.config)) return { config: defaultConfig(options), warnings: [] };
  return loadConfig(options.config, { ...options, env: io.env, emulated: true });
}
