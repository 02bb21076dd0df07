import { existsSync } from 'node:fs';
import type { Config, ListenAddress } from '../../config/config.ts';
import { defaultConfig, loadConfig, type Loaded, validateConfig } from '../../config/load.ts';
import { formatAddress } from '../../config/values.ts';
import type { Emulator } from '../../emulators/emulator.ts';
import { isFixed, type Provider } from '../../providers/provider.ts';
import { startServer } from '../../server/server.ts';
import type { LevelledLog } from '../../telemetry/log.ts';
import { EXIT, type Io, wantsColour } from '../io.ts';
import { askToStop, logFor, logWarnings, reportStartFailure, stopSignal } from '../run.ts';
import { DevReload } from './dev-reload.ts';
import { Emulation } from './dev-emulators.ts';
import { hasKeys, KEY_LINE, pressKey, readKeys, type Terminal, thisTerminal } from './dev-keys.ts';

/** One line that works when pasted into a POSIX shell. */
function curlLine(base: string, call: Provider['samples']['call']): string {
  const url = quoted(base + call.path);
  if (call.json === undefined) return `curl -sS ${call.method === 'GET' ? '' : `-X ${call.method} `}${url}`;
  return `curl -sS ${url} -H 'content-type: application/json' -d ${quoted(JSON.stringify(call.json))}`;
}

function quoted(text: string): string {
  return /^[\w:/.\-?=&]+$/.test(text) && !text.includes('&') ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

interface StartScreen {
  /** With the emulators for upstreams. */
  readonly config: Config;
  readonly address: ListenAddress;
  readonly admin: ListenAddress | undefined;
  readonly emulation: Pick<Emulation, 'emulators' | 'notes'>;
  readonly colour: boolean;
  /** Whether keys are read. */
  readonly keys: boolean;
}

/** What is where, and one line to paste for each route. */
function startScreen({ config, address, admin, emulation, colour, keys }: StartScreen): string {
  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[0m` : text);
  const banner = colour ? '\u001b[30;43m EMULATED \u001b[0m' : '[EMULATED]';
  const base = `${config.tls === undefined ? 'http' : 'https'}://${formatAddress(address)}`;
  const lines = [
    '',
    `  ${bold('wakala dev')}  ${banner}  no credentials, no network, no money`,
    '',
    `  proxy      ${base}`,
    ...adminLines(admin),
    `  config     ${config.file}`,
    '',
    ...emulation.notes.flatMap((note) => [`  note       ${note}`, '']),
  ];
  for (const { name, prefix, provider, upstream } of config.routes) {
    lines.push(
      `  ${bold(name)}  ${provider.title}, emulated at ${new URL(upstream).origin}`,
      `  ${curlLine(base + prefix, provider.samples.call)}`,
      '',
    );
  }
  lines.push(
    ...troubleLines(emulation.emulators, keys),
    keys ? `  ${bold('keys')}  ${KEY_LINE}` : '  Ctrl-C stops it.',
    '',
  );
  return `${lines.join('\n')}\n`;
}

function adminLines(admin: ListenAddress | undefined): readonly string[] {
  if (admin === undefined) return [];
  const url = `http://${formatAddress(admin)}`;
  return [`  dashboard  ${url}`, `  inspector  ${url}/requests`];
}

function troubleLines(emulators: readonly Emulator[], keys: boolean): readonly string[] {
  // A fixed key cannot be asked for anew: expiring it is a trouble that the app does notice.
  const first = emulators.find(({ provider }) => !isFixed(provider.token));
  if (first === undefined) return [];
  const { origin } = new URL(first.apiUrl);
  return [
    `  Make trouble, and see that the app does not notice${keys ? ': press e, or' : ':'}`,
    `  curl -sS ${origin}/_emulator -H 'content-type: application/json' -d '{"expire_tokens": true}'`,
    '',
  ];
}

interface DevOptions {
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
    const emulation = new Emulation({ log, onCallback: (report) => log.info('emulator_callback', { ...report }) });
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
