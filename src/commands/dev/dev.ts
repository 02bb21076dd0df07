import { existsSync } from 'node:fs';
import type { Config, ListenAddress } from '../../config/config.ts';
import { defaultConfig, loadConfig, type Loaded, validateConfig } from '../../config/load.ts';
import type { Emulator } from '../../emulators/emulator.ts';
import { formatHostPort } from '../../http/host-port.ts';
import { isRequested, type Provider, sampleBody } from '../../providers/provider.ts';
import { startServer } from '../../server/server.ts';
import type { LevelledLog } from '../../telemetry/log.ts';
import { EXIT, type Io, wantsColour } from '../io.ts';
import { logFor, logWarnings, reportStartFailure, requestStop, stopSignal } from '../run.ts';
import { DevEmulators } from './dev-emulators.ts';
import { canReadKeys, KEY_LINE, pressKey, processTerminal, readKeys, type Terminal } from './dev-keys.ts';
import { DevReload } from './dev-reload.ts';

interface DevOptions {
  readonly config: string;
  /** Whether the user passed `--config`. A missing file is an error only then. */
  readonly configGiven: boolean;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Runs the proxy with emulated providers: no credentials, no network, no money. @returns the exit code */
export async function dev(options: DevOptions, io: Io, terminal: Terminal = processTerminal()): Promise<number> {
  if (io.env['NODE_ENV'] === 'production') {
    io.stderr(
      'wakala dev: NODE_ENV is production, and emulated providers accept no real payments. Run `wakala serve`.\n',
    );
    return EXIT.usage;
  }
  try {
    const { config, warnings } = configFor(options, io);
    const log = logFor(config, io);
    logWarnings(warnings, log);
    const emulators = new DevEmulators({ log, onCallback: (report) => log.info('emulator_callback', { ...report }) });
    try {
      return await run(config, { options, io, terminal, log, emulators });
    } finally {
      await emulators.close();
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
  readonly emulators: DevEmulators;
}

/** Serves until a signal or a key stops it. @returns the exit code */
async function run(loaded: Config, { options, io, terminal, log, emulators }: DevContext): Promise<number> {
  const first = await emulators.emulate(loaded);
  emulators.keep(first.started);
  let { config } = first;
  const apply = (next: Config) => {
    server.apply(next);
    log.level = next.log.level;
    config = next;
  };
  const validate = () => validateConfig(options.config, { ...options, env: io.env, emulated: true });
  const reload = new DevReload({ file: options.config, validate, apply, emulators });
  const stop = stopSignal();
  const server = await startServer(config, { log, emulated: true, reloads: () => reload.reloads });
  const { address, admin } = server;
  const hasKeys = canReadKeys(terminal);
  const colour = wantsColour({ ...io, tty: terminal.isOutputTty });
  const screen = () => startScreen({ config, emulators, address, admin, colour, hasKeys });
  const context = { emulators, admin, reload, startScreen: screen, stop: requestStop, print: io.stdout };
  const closeKeys = hasKeys ? readKeys(terminal, (key) => void pressKey(key, context)) : () => undefined;
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

interface StartScreen {
  /** The configuration whose upstreams are the emulators. */
  readonly config: Config;
  readonly address: ListenAddress;
  readonly admin: ListenAddress | undefined;
  readonly emulators: Pick<DevEmulators, 'running' | 'notes'>;
  readonly colour: boolean;
  readonly hasKeys: boolean;
}

/** The addresses, and one curl command for each route. */
function startScreen({ config, address, admin, emulators, colour, hasKeys }: StartScreen): string {
  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[0m` : text);
  const banner = colour ? '\u001b[30;43m EMULATED \u001b[0m' : '[EMULATED]';
  const base = `${config.tls === undefined ? 'http' : 'https'}://${formatHostPort(address)}`;
  const lines = [
    '',
    `  ${bold('wakala dev')}  ${banner}  no credentials, no network, no money`,
    '',
    `  proxy      ${base}`,
    ...adminLines(admin),
    `  config     ${config.file}`,
    '',
    ...emulators.notes.flatMap((note) => [`  note       ${note}`, '']),
  ];
  for (const { name, prefix, provider, upstream } of config.routes) {
    lines.push(
      `  ${bold(name)}  ${provider.title}, emulated at ${new URL(upstream).origin}`,
      `  ${curlLine(base + prefix, provider)}`,
      '',
    );
  }
  lines.push(
    ...expiryLines(emulators.running, hasKeys),
    hasKeys ? `  ${bold('keys')}  ${KEY_LINE}` : '  Ctrl-C stops it.',
    '',
  );
  return `${lines.join('\n')}\n`;
}

function adminLines(admin: ListenAddress | undefined): readonly string[] {
  if (admin === undefined) return [];
  const url = `http://${formatHostPort(admin)}`;
  return [`  dashboard  ${url}`, `  inspector  ${url}/requests`];
}

function expiryLines(emulators: readonly Emulator[], hasKeys: boolean): readonly string[] {
  // After a fixed token expires, calls fail, because it cannot be requested again.
  const first = emulators.find(({ provider }) => isRequested(provider.token));
  if (first === undefined) return [];
  const { origin } = new URL(first.apiUrl);
  return [
    `  Expire the tokens, and see that the next call succeeds${hasKeys ? ': press e, or' : ':'}`,
    `  curl -sS ${origin}/_emulator -H 'content-type: application/json' -d '{"expire_tokens": true}'`,
    '',
  ];
}

/** A command for a POSIX shell, on one line. */
function curlLine(base: string, provider: Provider): string {
  const { call } = provider.samples;
  const json = sampleBody(provider);
  const headers = Object.entries({ ...(json && { 'content-type': 'application/json' }), ...call.headers });
  const parts = [
    'curl -sS',
    ...(json !== undefined || call.method === 'GET' ? [] : [`-X ${call.method}`]),
    quoted(base + call.path),
    ...headers.map(([name, value]) => `-H '${name}: ${value}'`),
    ...(json === undefined ? [] : [`-d ${quoted(JSON.stringify(json))}`]),
  ];
  return parts.join(' ');
}

function quoted(text: string): string {
  return /^[\w:/.\-?=&]+$/.test(text) && !text.includes('&') ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
