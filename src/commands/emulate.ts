import { didYouMean } from '../config/diagnostics.ts';
import { startEmulators } from '../emulators/emulator.ts';
import type { Provider } from '../providers/provider.ts';
import { providerNamed, providers } from '../providers/registry.ts';
import { createLog } from '../telemetry/log.ts';
import { EXIT, type Io, wantsColour } from './io.ts';
import { reportStartFailure, stopSignal } from './run.ts';

interface EmulateOptions {
  /** Providers to emulate; empty means all that have hosts of their own. */
  readonly names: readonly string[];
  readonly freePorts: boolean;
  /** One JSON object on stdout in place of prose. */
  readonly json: boolean;
}

/** Runs the emulators alone, for other people's test suites. */
export async function emulate(options: EmulateOptions, io: Io): Promise<number> {
  if (io.env['NODE_ENV'] === 'production') {
    io.stderr('wakala emulate: NODE_ENV is production. Emulated providers take no real payments.\n');
    return EXIT.usage;
  }
  const chosen: Provider[] = [];
  for (const name of options.names) {
    const provider = providerNamed(name);
    if (provider === undefined) return unknownProvider(name, io);
    chosen.push(provider);
  }
  const all = providers.filter((provider) => provider.hosts !== undefined);
  const log = createLog({ level: 'info', format: 'auto', tty: io.tty, colour: wantsColour(io) }, io.stderr);
  try {
    const stop = stopSignal();
    const running = await startEmulators(chosen.length === 0 ? all : chosen, {
      ports: options.freePorts ? 'free' : 'fixed',
      log,
      onCallback: (report) => log.info('emulator_callback', { ...report }),
    });
    io.stdout(options.json ? jsonOf(running.emulators) : textOf(running.emulators, running.notes));
    await stop;
    await running.close();
    return EXIT.ok;
  } catch (error) {
    return reportStartFailure(error, io);
  }
}

type Started = Awaited<ReturnType<typeof startEmulators>>['emulators'];

function unknownProvider(name: string, io: Io): number {
  const names = providers.map((provider) => provider.name);
  const hint = didYouMean(name, names) || '; `wakala providers` lists them';
  io.stderr(`wakala emulate: no provider is named \`${name}\`${hint}\n`);
  return EXIT.usage;
}

function credentialsOf(emulator: Started[number]): [string, string][] {
  // Emulated credentials are made from names alone; they open nothing.
  return [...emulator.credentials].map(([name, secret]) => [name, secret.reveal()]);
}

function jsonOf(emulators: Started): string {
  const shown = emulators.map((emulator) => ({
    provider: emulator.provider.name,
    api: emulator.apiUrl,
    auth: emulator.authUrl,
    credentials: Object.fromEntries(credentialsOf(emulator)),
  }));
  return `${JSON.stringify({ emulators: shown })}\n`;
}

function textOf(emulators: Started, notes: readonly string[]): string {
  const lines = ['', '  wakala emulate  [EMULATED]  no credentials, no network, no money', ''];
  for (const emulator of emulators) {
    lines.push(`  ${emulator.provider.name}`, `    api   ${emulator.apiUrl}`);
    if (emulator.authUrl !== emulator.apiUrl) lines.push(`    auth  ${emulator.authUrl}`);
    for (const [name, value] of credentialsOf(emulator)) lines.push(`    ${name}  ${value}`);
    lines.push('');
  }
  return [...lines, ...notes.map((note) => `  note  ${note}`), '  Ctrl-C stops them.', '', ''].join('\n');
}
