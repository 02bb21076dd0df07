import type { Config, RouteConfig } from '../../config/config.ts';
import { emulatedCredentials, withExchangesAt } from '../../emulators/emulated-provider.ts';
import { type Emulator, type Emulators, type EmulatorsOptions, startEmulators } from '../../emulators/emulator.ts';
import type { Provider } from '../../providers/provider.ts';
import { providerNamed } from '../../providers/registry.ts';

/** A configuration whose routes all lead to emulators on this machine, with the emulators' credentials. */
interface EmulatedConfig {
  readonly config: Config;
  /** Emulators that were started for it. The caller must `keep` or close them. */
  readonly started: Emulators;
}

/**
 * The emulators of `wakala dev`, one for each provider definition that routes use. After a reload, an emulator without
 * a route keeps running, so that its tokens and payments are still there when the route returns.
 */
export class DevEmulators {
  readonly #options: EmulatorsOptions;
  readonly #kept: Emulators[] = [];

  constructor(options: EmulatorsOptions) {
    this.#options = options;
  }

  get running(): readonly Emulator[] {
    return this.#kept.flatMap(({ emulators }) => emulators);
  }

  /** Messages for the user about fixed ports that were in use. */
  get notes(): readonly string[] {
    return this.#kept.flatMap(({ notes }) => notes);
  }

  /** Starts the missing emulators, all or none. No route of the returned configuration has a real host or credential. */
  async emulate(config: Config): Promise<EmulatedConfig> {
    const byDefinition = new Map(this.running.map((emulator) => [definitionKey(emulator.provider), emulator]));
    const wanted = new Map(config.routes.map(({ provider }) => [definitionKey(provider), provider]));
    const missing = [...wanted].flatMap(([definition, provider]) => (byDefinition.has(definition) ? [] : [provider]));
    const started = await startEmulators(missing.map(withAllCredentials), this.#options);
    for (const emulator of started.emulators) byDefinition.set(definitionKey(emulator.provider), emulator);
    const routes = config.routes.map((route) => {
      const emulator = byDefinition.get(definitionKey(route.provider));
      if (emulator === undefined) throw new Error(`no emulator was started for ${route.name}`);
      return routeToEmulator(route, emulator);
    });
    return { config: { ...config, routes }, started };
  }

  /** Keeps the emulators running until `close`. */
  keep(started: Emulators): void {
    this.#kept.push(started);
  }

  async close(): Promise<void> {
    await Promise.all(this.#kept.map((started) => started.close()));
  }
}

function routeToEmulator(route: RouteConfig, { apiUrl, authUrl }: Emulator): RouteConfig {
  const credentials = emulatedCredentials(route.provider);
  // A token request with an absolute URL would still go to the real host.
  const provider = withExchangesAt(route.provider, authUrl);
  return { ...route, provider, upstream: apiUrl, authServer: authUrl, credentials };
}

/** A route has only the optional credentials that it uses. Its emulator checks all of them. */
function withAllCredentials(provider: Provider): Provider {
  const names = new Set(provider.credentials.map((field) => field.name));
  const unused = providerNamed(provider.name)?.credentials.filter((field) => !names.has(field.name)) ?? [];
  return { ...provider, credentials: [...provider.credentials, ...unused] };
}

/** Routes with the same token requests share an emulator, whatever their hosts, credentials and headers. */
function definitionKey({ name, token, refresh, tokenHeader, tokenQuery, samples }: Provider): string {
  return JSON.stringify([name, token, refresh, tokenHeader, tokenQuery, samples]);
}
