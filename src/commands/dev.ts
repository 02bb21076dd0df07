import { existsSync } from 'node:fs';
import { formatAddress } from '../config/address.ts';
import type { ListenAddress } from '../config/config.ts';
import { defaultConfig, type Loaded, loadConfig } from '../config/load.ts';
import { startServer, type RunningServer } from '../server/server.ts';
import { isFixed } from '../providers/provider.ts';
import { curlLine } from './curl.ts';
import { emulateRoutes, type EmulatedConfig } from './emulated.ts';
import { EXIT, type Io, wantsColour } from './io.ts';
import { logFor, logWarnings, reportStartFailure, stopSignal } from './run.ts';

export interface DevOptions {
  readonly config: string;
  /** Whether the user named the file: one that is then missing is an error. */
  readonly configGiven: boolean;
  readonly listen?: ListenAddress | undefined;
  readonly admin?: ListenAddress | false | undefined;
}

/** Runs the proxy in front of emulated providers: no credentials, no network, no money. */
export async function dev(options: DevOptions, io: Io): Promise<number> {
  if (io.env['NODE_ENV'] === 'production') {
    io.stderr('wakala dev: NODE_ENV is production. Emulated providers take no real payments; run `wakala serve`.\n');
    return EXIT.usage;
  }
  try {
    const { config, warnings } = configFor(options, io);
    const log = logFor(config, io);
    logWarnings(warnings, log);
    const emulated = await emulateRoutes(config, {
      log,
      onCallback: (report) => log.info({ ...report }, 'callback'),
    });
    const stop = stopSignal();
    try {
      const server = await startServer(emulated.config, { log });
      io.stdout(startScreen(emulated, server, wantsColour(io)));
      await stop;
      await server.drain();
      return EXIT.ok;
    } finally {
      await emulated.emulators.close();
    }
  } catch (error) {
    return reportStartFailure(error, io);
  }
}

function configFor(options: DevOptions, io: Io): Pick<Loaded, 'config' | 'warnings'> {
  if (!options.configGiven && !existsSync(options.config)) return { config: defaultConfig(options), warnings: [] };
  return loadConfig(options.config, { ...options, env: io.env, emulated: true });
}

/** What is where, and one line to paste for each route. */
export function startScreen(emulated: EmulatedConfig, server: RunningServer, colour: boolean): string {
  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[0m` : text);
  const banner = colour ? '\u001b[30;43m EMULATED \u001b[0m' : '[EMULATED]';
  const base = `http://${formatAddress(server.address)}`;
  const { routes, file } = emulated.config;
  const lines = [
    '',
    `  ${bold('wakala dev')}  ${banner}  no credentials, no network, no money`,
    '',
    `  proxy    ${base}`,
    ...(server.admin === undefined ? [] : [`  admin    http://${formatAddress(server.admin)}`]),
    `  config   ${file}`,
    '',
    ...emulated.emulators.notes.map((note) => `  note     ${note}`),
  ];
  for (const route of routes) {
    const origin = new URL(route.upstream).origin;
    lines.push(
      `  ${bold(route.name)}  ${route.provider.title}, emulated at ${origin}`,
      `  ${curlLine(base + route.prefix, route.provider.samples.call)}`,
      '',
    );
  }
  // A fixed key cannot be asked for anew: expiring it is a trouble that the app does notice.
  const first = emulated.emulators.emulators.find(({ provider }) => !isFixed(provider.token));
  if (first !== undefined) {
    const origin = new URL(first.apiUrl).origin;
    lines.push(
      '  Make trouble, and see that the app does not notice:',
      `  curl -sS ${origin}/_emulator -H 'content-type: application/json' -d '{"expire_tokens": true}'`,
      '',
      '  Ctrl-C stops it.',
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}
