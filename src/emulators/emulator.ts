import type { JsonObject } from '../json.ts';
import type { Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { apiApp, authApp } from './apps.ts';
import { control, type EmulatorStateOptions, type EmulatorStats, newEmulatorState, statsOf } from './core.ts';
import { type Listening, listen } from './listen.ts';
import { emulatorPorts, hasAuthHost } from './ports.ts';

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
