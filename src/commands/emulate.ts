import { didYouMean } from '../config/diagnostics.ts';
import { type Emulator, startEmulators } from '../emulators/emulator.ts';
import type { Provider } from '../providers/provider.ts';
import { providerNamed, providers } from '../providers/registry.ts';
import { createLog } from '../telemetry/log.ts';
import { EXIT, type Io, wantsColour } from './io.ts';
import { reportStartFailure, stopSignal } from './run.ts';

interface EmulateOptions {
  /** Providers to emulate. Empty: all built-in providers that have hosts. */
  readonly names: readonly string[];
  readonly freePorts: boolean;
  /** Print one JSON object instead of text. */
  readonly json: boolean;
}

/** Runs the emulated providers without the proxy, for the test suites of apps. */
export async function emulate(options: EmulateOptions, io: Io): Promise<number> {
  if (io.env['NODE_ENV'] === 'production') {
    io.stderr(
      'wakala emulate: NODE_ENV is production, and emulated providers accept no real payments. Unset NODE_ENV to run them.\n',
    );
    return EXIT.usage;
  }
  const chosen: Provider[] = [];
  for (const name of options.names) {
    const provider = providerNamed(name);
    if (provider === undefined) return unknownProvider(name, io);
    chosen.push(provider);
  }
  const all = providers.filter((provider) => provider.hosts !== undefined);
  const log = createLog({ level: 'info', format: 'auto', tty: io.tty, colour: wantsColour(io) }, io.log ?? io.stderr);
  try {
    const stop = stopSignal();
    const running = await startEmulators(chosen.length === 0 ? all : chosen, {
      ports: options.freePorts ? 'free' : 'fixed',
      log,
      onCallback: (report) => log.info('emulator_callback', { ...report }),
    });
    io.stdout(options.json ? emulatorsAsJson(running.emulators) : emulatorsAsText(running.emulators, running.notes));
    await stop;
    await running.close();
    return EXIT.ok;
  } catch (error) {
    return reportStartFailure(error, io);
  }
}

function unknownProvider(name: string, io: Io): number {
  const names = providers.map((provider) => provider.name);
  const hint = didYouMean(name, names) || '. Run `wakala providers` to list them.';
  io.stderr(`wakala emulate: unknown provider \`${name}\`${hint}\n`);
  return EXIT.usage;
}

function revealedCredentials(emulator: Emulator): [string, string][] {
  // Emulated credentials are built from names and are not secret.
  return [...emulator.credentials].map(([name, secret]) => [name, secret.reveal()]);
}

function emulatorsAsJson(emulators: readonly Emulator[]): string {
  const list = emulators.map((emulator) => ({
    provider: emulator.provider.name,
    api: emulator.apiUrl,
    auth: emulator.authUrl,
    credentials: Object.fromEntries(revealedCredentials(emulator)),
  }));
  return `${JSON.stringify({ emulators: list })}\n`;
}

function emulatorsAsText(emulators: readonly Emulator[], notes: readonly string[]): string {
  const lines = ['', '  wakala emulate  [EMULATED]  no credentials, no network, no money', ''];
  for (const emulator of emulators) {
    lines.push(`  ${emulator.provider.name}`, `    api   ${emulator.apiUrl}`);
    if (emulator.authUrl !== emulator.apiUrl) lines.push(`    auth  ${emulator.authUrl}`);
    for (const [name, value] of revealedCredentials(emulator)) {
      lines.push(`    ${name}  ${value.includes('\n') ? 'a key: --json prints it' : value}`);
    }
    lines.push('');
  }
  return [...lines, ...notes.map((note) => `  note  ${note}`), '  Ctrl-C stops them.', '', ''].join('\n');
}
