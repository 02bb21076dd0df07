import type { Config, Route } from '../config/config.ts';
import type { Emulator } from '../emulators/emulator.ts';
import { type Emulators, startEmulators } from '../emulators/emulators.ts';
import type { Provider } from '../providers/provider.ts';

/** A configuration whose every route leads to an emulator on this machine, with the emulator's credentials. */
export interface EmulatedConfig {
  readonly config: Config;
  readonly emulators: Emulators;
  readonly emulatorOf: (route: Route) => Emulator;
}

/** Starts an emulator for each definition that the routes use. No route keeps a real host or credential. */
export async function emulateRoutes(
  config: Config,
  options: Parameters<typeof startEmulators>[1],
): Promise<EmulatedConfig> {
  const byDefinition = new Map<string, Provider>();
  for (const { provider } of config.routes) byDefinition.set(definitionOf(provider), provider);
  const emulators = await startEmulators([...byDefinition.values()], options);
  const started = new Map(emulators.emulators.map((emulator) => [definitionOf(emulator.provider), emulator]));
  const emulatorOf = (route: Route): Emulator => {
    const emulator = started.get(definitionOf(route.provider));
    if (emulator === undefined) throw new Error(`no emulator was started for ${route.name}`);
    return emulator;
  };
  const routes = config.routes.map((route): Route => {
    const { apiUrl, authUrl, credentials } = emulatorOf(route);
    return { ...route, upstream: apiUrl, authServer: authUrl, credentials };
  });
  return { config: { ...config, routes }, emulators, emulatorOf };
}

/** Routes that ask for tokens in the same way can share an emulator, whatever their hosts and credentials. */
function definitionOf(provider: Provider): string {
  return JSON.stringify(provider);
}
