import type { Config, Route } from '../config/config.ts';
import { emulatedCredentials } from '../emulators/credentials.ts';
import { type Emulators, type EmulatorsOptions, startEmulators } from '../emulators/emulators.ts';
import { withExchangesAt } from '../emulators/exchanges-at.ts';
import type { Provider } from '../providers/provider.ts';

/** A configuration whose every route leads to an emulator on this machine, with the emulator's credentials. */
export interface EmulatedConfig {
  readonly config: Config;
  readonly emulators: Emulators;
}

/** Starts an emulator for each definition that the routes use. No route keeps a real host or credential. */
export async function emulateRoutes(config: Config, options: EmulatorsOptions): Promise<EmulatedConfig> {
  const definitions = new Map(config.routes.map(({ provider }) => [definitionOf(provider), provider]));
  const emulators = await startEmulators([...definitions.values()], options);
  const byDefinition = new Map([...definitions.keys()].map((key, index) => [key, emulators.emulators[index]]));
  const routes = config.routes.map((route): Route => {
    const emulator = byDefinition.get(definitionOf(route.provider));
    if (emulator === undefined) throw new Error(`no emulator was started for ${route.name}`);
    const { apiUrl, authUrl } = emulator;
    const credentials = emulatedCredentials(route.provider);
    // A token request with a whole URL of its own would still go to the real host.
    const provider = withExchangesAt(route.provider, authUrl);
    return { ...route, provider, upstream: apiUrl, authServer: authUrl, credentials };
  });
  return { config: { ...config, routes }, emulators };
}

/** Routes that ask for tokens in the same way share an emulator, whatever their hosts, credentials and headers. */
function definitionOf({ name, token, refresh, samples }: Provider): string {
  return JSON.stringify([name, token, refresh, samples]);
}
