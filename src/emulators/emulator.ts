import type { JsonObject } from '../json.ts';
import type { Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { apiApp, authApp } from './emulator-app.ts';
import { listen, type Listening } from './emulator-server.ts';
import { control, type EmulatorStateOptions, type EmulatorStats, newEmulatorState, statsOf } from './emulator-state.ts';

/** Where an emulator listens unless told otherwise. `auth` only where tokens come from another host than the API. */
interface EmulatorPorts {
  readonly api: number;
  readonly auth: number | undefined;
}

/** Known ones keep their port whatever else is emulated, so that people can paste it into their app. */
const FIXED: ReadonlyMap<string, { readonly api: number; readonly auth?: number }> = new Map([
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
]);

const FIRST_OTHER_PORT = 9930;

/** The ports of each, in the same order. Others than the built-in ones count up from 9930. */
export function emulatorPorts(providers: readonly Provider[]): readonly EmulatorPorts[] {
  const taken = new Set<string>();
  let next = FIRST_OTHER_PORT;
  return providers.map((provider) => {
    const fixed = taken.has(provider.name) ? undefined : FIXED.get(provider.name);
    taken.add(provider.name);
    const api = fixed?.api ?? next++;
    return { api, auth: hasAuthHost(provider) ? (fixed?.auth ?? next++) : undefined };
  });
}

export function hasAuthHost(provider: Provider): boolean {
  return provider.hosts?.sandbox.auth !== undefined;
}

export interface EmulatorOptions extends EmulatorStateOptions {
  /** 0 picks a free one; the default is the provider's own from `emulatorPorts`. */
  readonly port?: number;
  /** The same for a provider whose tokens come from another host than the API. */
  readonly authPort?: number;
  readonly host?: string;
}

export interface Emulator {
  readonly provider: Provider;
  /** With the base path of the provider's API and no trailing slash. */
  readonly apiUrl: string;
  /** Base of the token exchange; the same as `apiUrl` where the provider has one host. */
  readonly authUrl: string;
  readonly credentials: ReadonlyMap<string, Secret>;
  /** Does what `POST /_emulator` does: gives the new state, or throws a `ControlError`. */
  control(json: JsonObject): JsonObject;
  stats(): EmulatorStats;
  /** Cuts every connection and drops callbacks not yet sent; resolves when the ports are free. */
  close(): Promise<void>;
}

/** A provider on this machine. Rejects with the socket's own error (`EADDRINUSE`) if it cannot listen. */
export async function startEmulator(provider: Provider, options: EmulatorOptions = {}): Promise<Emulator> {
  const core = newEmulatorState(provider, options);
  const { api, auth, close } = await listenAll(provider, options, (basePath, isAuth) =>
    isAuth ? authApp(core, basePath) : apiApp(core, basePath, hasAuthHost(provider)),
  );
  return {
    provider,
    apiUrl: api,
    authUrl: auth,
    credentials: core.credentials,
    control: (json) => control(core, json),
    stats: () => statsOf(core),
    close: async () => {
      core.callbacks.close();
      await close();
    },
  };
}

/** Both listeners or none. */
async function listenAll(
  provider: Provider,
  { host = '127.0.0.1', port, authPort }: EmulatorOptions,
  appFor: (basePath: string, isAuth: boolean) => Parameters<typeof listen>[0],
): Promise<{ api: string; auth: string; close: () => Promise<void> }> {
  const [ports] = emulatorPorts([provider]);
  const { api: apiHost, auth: authHost } = provider.hosts?.sandbox ?? {};
  const apiPath = pathOf(apiHost);
  const api = await listen(appFor(apiPath, false), host, port ?? ports?.api ?? 0);
  const apiUrl = api.origin + apiPath;
  if (authHost === undefined) return { api: apiUrl, auth: apiUrl, close: () => api.close() };
  const authPath = pathOf(authHost);
  const auth = await listen(appFor(authPath, true), host, authPort ?? ports?.auth ?? 0).catch(
    async (error: unknown): Promise<Listening> => {
      await api.close();
      throw error;
    },
  );
  return {
    api: apiUrl,
    auth: auth.origin + authPath,
    close: async () => {
      await Promise.all([api.close(), auth.close()]);
    },
  };
}

/** `/api/v1` of `https://sandbox.api.jpay.africa/api/v1`; empty where there is none. */
function pathOf(baseUrl: string | undefined): string {
  return baseUrl === undefined ? '' : new URL(baseUrl).pathname.replace(/(?<!\/)\/+$/, '');
}

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
