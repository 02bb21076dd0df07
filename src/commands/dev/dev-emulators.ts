import type { Config, RouteConfig } from '../../config/config.ts';
import { emulatedCredentials, withExchangesAt } from '../../emulators/emulated-provider.ts';
import { type Emulator, type Emulators, type EmulatorsOptions, startEmulators } from '../../emulators/emulator.ts';
import type { Provider } from '../../providers/provider.ts';

/** A configuration whose every route leads to an emulator on this machine, with the emulator's credentials. */
export interface Emulated {
  readonly config: Config;
  /** Emulators that it needed and that did not run yet. Whoever does not adopt them closes them. */
  readonly started: Emulators;
}

/**
 * The emulators of `wakala dev`, one for each definition that routes use. One that no route uses any more runs on, so
 * that its tokens and payments are there when the route comes back.
 */
export class Emulation {
  readonly #options: EmulatorsOptions;
  readonly #adopted: Emulators[] = [];

  constructor(options: EmulatorsOptions) {
    this.#options = options;
  }

  get emulators(): readonly Emulator[] {
    return this.#adopted.flatMap(({ emulators }) => emulators);
  }

  /** Sentences for the user, about ports that others had taken. */
  get notes(): readonly string[] {
    return this.#adopted.flatMap(({ notes }) => notes);
  }

  /** Starts the emulators that are missing, all or none. No route keeps a real host or credential. */
  async emulate(config: Config): Promise<Emulated> {
    const running = new Map(this.emulators.map((emulator) => [definitionOf(emulator.provider), emulator]));
    const wanted = new Map(config.routes.map(({ provider }) => [definitionOf(provider), provider]));
    const missing = [...wanted].flatMap(([definition, provider]) => (running.has(definition) ? [] : [provider]));
    const started = await startEmulators(missing, this.#options);
    for (const emulator of started.emulators) running.set(definitionOf(emulator.provider), emulator);
    const routes = config.routes.map((route) => {
      const emulator = running.get(definitionOf(route.provider));
      if (emulator === undefined) throw new Error(`no emulator was started for ${route.name}`);
      return ledTo(route, emulator);
    });
    return { config: { ...config, routes }, started };
  }

  /** Keeps emulators until `close`. */
  adopt(started: Emulators): void {
    this.#adopted.push(started);
  }

  async close(): Promise<void> {
    await Promise.all(this.#adopted.map((started) => started.close()));
  }
}

function ledTo(route: RouteConfig, { apiUrl, authUrl }: Emulator): RouteConfig {
  const credentials = emulatedCredentials(route.provider);
  // A token request with a whole URL of its own would still go to the real host.
  const provider = withExchangesAt(route.provider, authUrl);
  return { ...route, provider, upstream: apiUrl, authServer: authUrl, credentials };
}

/** Routes that ask for tokens in the same way share an emulator, whatever their hosts, credentials and headers. */
function definitionOf({ name, token, refresh, tokenHeader, samples }: Provider): string {
  return JSON.stringify([name, token, refresh, tokenHeader, samples]);
}
