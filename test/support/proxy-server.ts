import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import type { Log, LogEvent } from '../../src/logger.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { type RunningServer, startServer } from '../../src/server/server.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { TOKEN_PATH } from './upstream-raw.ts';

/** Keys of a route or of the configuration, as in the file. */
export type Settings = Readonly<Record<string, unknown>>;

export interface StartedProxy {
  readonly port: number;
  readonly server: RunningServer;
  /** Every line logged so far, parsed. */
  readonly log: readonly Record<string, unknown>[];
  /** The same as text. */
  logText(): string;
  /** Waits for a line with this message. */
  logged(event: LogEvent): Promise<Record<string, unknown>>;
}

/** A proxy on a free port with this configuration; stopped when the test ends. `files`: texts that it refers to. */
export async function startProxy(
  settings: Settings,
  clock: Clock = systemClock,
  files: Readonly<Record<string, string>> = {},
): Promise<StartedProxy> {
  const written = { listen: '127.0.0.1:0', admin: false, drain_timeout: '0s', ...settings };
  // JSON is YAML.
  const { config } = loadConfig('proxy.config.yaml', {
    readFile: (file) => files[file] ?? JSON.stringify(written),
    env: {},
  });
  const lines = new LogLines();
  const server = await startServer(config, { log: lines.log, clock });
  onTestFinished(async () => {
    await server.drain();
  });
  return {
    port: server.address.port,
    server,
    log: lines.parsed,
    logText: () => lines.texts.join(''),
    logged: (event) => lines.line(event),
  };
}

/** A route to a raw upstream, which issues its tokens too. */
export function routeTo(upstream: { readonly origin: string }, settings: Settings = {}): Settings {
  return {
    upstream: upstream.origin,
    credentials: { key: 'canary-api-key' },
    token: {
      request: { path: TOKEN_PATH, json: { key: '{key}' } },
      response: { access_token: 'access_token', expires_in: 'expires_in' },
    },
    ...settings,
  };
}

/** A proxy with one route, `/api/*`, to a raw upstream. */
export function startProxyTo(upstream: { readonly origin: string }, settings: Settings = {}, clock?: Clock) {
  return startProxy({ routes: { '/api/*': routeTo(upstream, settings) } }, clock);
}

/** An emulated provider, and a proxy with a route of its name to it. `top`: keys beside `routes`. */
export async function startProxyToEmulator(
  name: string,
  settings: Settings = {},
  clock: Clock = systemClock,
  top: Settings = {},
) {
  const provider = providerNamed(name);
  if (provider === undefined) throw new Error(`no provider is named ${name}`);
  const emulator = await startEmulator(provider, { port: 0, authPort: 0, clock });
  onTestFinished(() => emulator.close());
  const routes = { [`/${name}/*`]: routeToEmulator(emulator, settings) };
  const proxy = await startProxy({ ...top, routes }, clock);
  return { emulator, proxy };
}

export function routeToEmulator(emulator: Emulator, settings: Settings = {}): Settings {
  return {
    provider: emulator.provider.name,
    upstream: emulator.apiUrl,
    auth_server: emulator.authUrl,
    credentials: Object.fromEntries([...emulator.credentials].map(([name, secret]) => [name, secret.reveal()])),
    ...settings,
  };
}

class LogLines {
  readonly texts: string[] = [];
  readonly parsed: Record<string, unknown>[] = [];
  readonly log: Log = createLog({ level: 'debug', format: 'json', tty: false, colour: false }, (text) =>
    this.#add(text),
  );
  #added: PromiseWithResolvers<undefined> = Promise.withResolvers();

  async line(event: LogEvent): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.parsed.find((line) => line['event'] === event);
      if (found !== undefined) return found;
      await this.#added.promise;
    }
  }

  #add(text: string): void {
    this.texts.push(text);
    this.parsed.push(JSON.parse(text) as Record<string, unknown>);
    this.#added.resolve(undefined);
    this.#added = Promise.withResolvers();
  }
}
