import type { JsonObject } from '../json.ts';
import type { Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { apiApp, authApp } from './emulator-app.ts';
import { listen } from './emulator-server.ts';
import { control, type EmulatorStateOptions, type EmulatorStats, newEmulatorState, statsOf } from './emulator-state.ts';

export interface EmulatorOptions extends EmulatorStateOptions {
  /** 0 picks a free port. Default: the provider's port from `emulatorPorts`. */
  readonly port?: number;
  /** The same for the host that issues tokens, if the provider has one. */
  readonly authPort?: number;
  /** The address to listen on. Default: `127.0.0.1`. */
  readonly host?: string;
}

/** A provider that runs on this machine. */
export interface Emulator {
  readonly provider: Provider;
  /** With the base path of the provider's API and no trailing slash. */
  readonly apiUrl: string;
  /** Base URL of the token requests. The same as `apiUrl` if the provider has one host. */
  readonly authUrl: string;
  readonly credentials: ReadonlyMap<string, Secret>;
  /** Does what `POST /_emulator` does: returns the new state, or throws a `ControlError`. */
  control(json: JsonObject): JsonObject;
  stats(): EmulatorStats;
  /** Closes every connection and drops callbacks that were not sent. Resolves when the ports are free. */
  close(): Promise<void>;
}

/** Starts an emulator. Rejects with the socket's error (`EADDRINUSE`) if it cannot listen. */
export async function startEmulator(provider: Provider, options: EmulatorOptions = {}): Promise<Emulator> {
  const state = newEmulatorState(provider, options);
  const { host = '127.0.0.1' } = options;
  const [ports] = emulatorPorts([provider]);
  const { api: apiHost, auth: authHost } = provider.hosts?.sandbox ?? {};
  const apiPath = basePathOf(apiHost);
  const authPath = basePathOf(authHost);
  const api = await listen(
    apiApp(state, { basePath: apiPath, issuesTokens: authHost === undefined }),
    host,
    options.port ?? ports?.api ?? 0,
  );
  let auth = api;
  if (authHost !== undefined) {
    try {
      auth = await listen(authApp(state, authPath), host, options.authPort ?? ports?.auth ?? 0);
    } catch (error) {
      await api.close();
      throw error;
    }
  }
  const apiUrl = api.origin + apiPath;
  return {
    provider,
    apiUrl,
    authUrl: authHost === undefined ? apiUrl : auth.origin + authPath,
    credentials: state.credentials,
    control: (json) => control(state, json),
    stats: () => statsOf(state),
    close: async () => {
      state.callbacks.close();
      await Promise.all([api.close(), auth.close()]);
    },
  };
}

/** `/api/v1` of `https://sandbox.api.jpay.africa/api/v1`; empty if the URL has no path. */
function basePathOf(baseUrl: string | undefined): string {
  return baseUrl === undefined ? '' : new URL(baseUrl).pathname.replace(/(?<!\/)\/+$/, '');
}

export interface EmulatorsOptions extends Omit<EmulatorOptions, 'port' | 'authPort'> {
  /** `fixed`: the ports of `emulatorPorts`, the same after every restart. `free`: any free port. */
  readonly ports?: 'fixed' | 'free';
}

/** Emulators that were started together. */
export interface Emulators {
  /** In the order of the providers. */
  readonly emulators: readonly Emulator[];
  /** Messages for the user about fixed ports that were in use. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/** Starts all emulators or none. An emulator whose fixed port is in use gets a free port, and a note reports it. */
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
      const wanted = ports === 'fixed' ? fixed[index] : undefined;
      const { emulator, note } = await startOrMove(provider, options, wanted);
      emulators.push(emulator);
      if (note !== undefined) notes.push(note);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { emulators, notes, close };
}

/** Starts an emulator on the wanted ports, or on free ones if they are in use. */
async function startOrMove(
  provider: Provider,
  options: EmulatorOptions,
  wanted: EmulatorPorts | undefined,
): Promise<{ emulator: Emulator; note?: string }> {
  const onFreePorts = () => startEmulator(provider, { ...options, port: 0, authPort: 0 });
  if (wanted === undefined) return { emulator: await onFreePorts() };
  try {
    return { emulator: await startEmulator(provider, { ...options, port: wanted.api, authPort: wanted.auth ?? 0 }) };
  } catch (error) {
    if (!isPortUnavailable(error)) throw error;
    const emulator = await onFreePorts();
    const inUse = wanted.auth === undefined ? `port ${wanted.api}` : `port ${wanted.api} or ${wanted.auth}`;
    const urls = [...new Set([emulator.apiUrl, emulator.authUrl])].join(' and ');
    return { emulator, note: `${inUse} is in use, so ${provider.name} is emulated at ${urls}` };
  }
}

function isPortUnavailable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EADDRINUSE' || error.code === 'EACCES');
}

/** Default ports of one emulator. */
interface EmulatorPorts {
  readonly api: number;
  /** Only for a provider that issues tokens on another host than its API. */
  readonly auth: number | undefined;
}

/** A built-in provider keeps its port whatever else is emulated, so that its URL can be pasted into an app. */
const FIXED_PORTS: ReadonlyMap<string, { readonly api: number; readonly auth?: number }> = new Map([
  ['oauth2', { api: 9910 }],
  ['jpay', { api: 9911 }],
  ['mpesa', { api: 9912 }],
  ['jeel', { api: 9913, auth: 9923 }],
  ['paypack', { api: 9914 }],
  ['static', { api: 9915 }],
  ['mtn-momo', { api: 9916 }],
  ['airtel', { api: 9917 }],
  ['pesapal', { api: 9918 }],
  ['flutterwave', { api: 9919, auth: 9908 }],
  ['paypal', { api: 9920 }],
  ['jenga', { api: 9921 }],
  ['kcb-buni', { api: 9922 }],
  ['coop-bank', { api: 9924 }],
  ['kopokopo', { api: 9925 }],
  ['tingg', { api: 9926 }],
  ['orange-money', { api: 9927 }],
  ['azampay', { api: 9928, auth: 9909 }],
  ['clickpesa', { api: 9929 }],
  ['vodacom-mpesa', { api: 9931 }],
  ['snap-bi', { api: 9932 }],
]);

const FIRST_CUSTOM_PORT = 9960;

/** The default ports of each provider, in the same order. Providers that are not built in get ports from 9960 up. */
export function emulatorPorts(providers: readonly Provider[]): readonly EmulatorPorts[] {
  const seen = new Set<string>();
  let next = FIRST_CUSTOM_PORT;
  return providers.map((provider) => {
    const fixed = seen.has(provider.name) ? undefined : FIXED_PORTS.get(provider.name);
    seen.add(provider.name);
    const api = fixed?.api ?? next++;
    return { api, auth: hasAuthHost(provider) ? (fixed?.auth ?? next++) : undefined };
  });
}

function hasAuthHost(provider: Provider): boolean {
  return provider.hosts?.sandbox.auth !== undefined;
}
