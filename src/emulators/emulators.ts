import type { Provider } from '../providers/provider.ts';
import { type Emulator, type EmulatorOptions, emulatorPorts, startEmulator } from './emulator.ts';

export interface EmulatorsOptions extends Omit<EmulatorOptions, 'port' | 'authPort'> {
  /** `fixed`: each on its own port, the same after every restart. `free`: any. */
  readonly ports?: 'fixed' | 'free';
}

export interface Emulators {
  /** In the order of the providers. */
  readonly emulators: readonly Emulator[];
  /** Sentences for the user, about ports that others had taken. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** All of them, or none. One whose fixed port is busy takes a free one, and a note says so. */
export async function startEmulators(
  providers: readonly Provider[],
  { ports = 'fixed', ...options }: EmulatorsOptions = {},
): Promise<Emulators> {
  const emulators: Emulator[] = [];
  const notes: string[] = [];
  const close = async () => {
    await Promise.all(emulators.map((emulator) => emulator.close()));
  };
  const fixed = emulatorPorts(providers);
  try {
    for (const [index, provider] of providers.entries()) {
      const { api, auth } = ports === 'fixed' ? (fixed[index] ?? {}) : {};
      emulators.push(await startOnPorts(provider, options, api ?? 0, auth ?? 0, notes));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { emulators, notes, close };
}

async function startOnPorts(
  provider: Provider,
  options: EmulatorOptions,
  port: number,
  authPort: number,
  notes: string[],
): Promise<Emulator> {
  try {
    return await startEmulator(provider, { ...options, port, authPort });
  } catch (error) {
    if (!isTaken(error)) throw error;
    const emulator = await startEmulator(provider, { ...options, port: 0, authPort: 0 });
    const wanted = authPort === 0 ? `port ${port}` : `port ${port} or ${authPort}`;
    const instead = [...new Set([emulator.apiUrl, emulator.authUrl])].join(' and ');
    notes.push(`${wanted} is taken, so ${provider.name} is emulated on ${instead}`);
    return emulator;
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EADDRINUSE' || error.code === 'EACCES');
}
