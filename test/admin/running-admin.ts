import { onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { silentLog } from '../../src/logger.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { type RunningServer, startServer } from '../../src/server/server.ts';
import { routeTo, routeToEmulator, type Settings } from '../support/proxy-server.ts';
import { RawUpstream, type Script } from '../support/upstream-raw.ts';

/** A proxy as `wakala dev` starts it: one emulated provider, and `/raw/*` to an upstream that knows its tokens. */
export interface RunningAdmin {
  readonly server: RunningServer;
  readonly emulator: Emulator;
  readonly upstream: RawUpstream;
  readonly proxyPort: number;
  readonly port: number;
  readonly url: string;
  /** Every secret token, key and header value of this run. */
  secrets(): string[];
}

interface AdminOptions {
  readonly emulated?: boolean;
  /** Which one is emulated. */
  readonly provider?: string;
  /** Top-level keys of the configuration. */
  readonly settings?: Settings;
}

/** What clients send in their own Authorization header. */
export const CLIENT_SECRET = 'canary-client-authorization-value';

export async function startAdmin(
  script: Script,
  { emulated = true, provider = 'paypack', settings = {} }: AdminOptions = {},
): Promise<RunningAdmin> {
  const upstream = await RawUpstream.start(script);
  const emulator = await startEmulator(providerNamed(provider)!, { port: 0, authPort: 0 });
  onTestFinished(() => emulator.close());
  const file = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    drain_timeout: '0s',
    inspect_bodies: true,
    routes: { [`/${provider}/*`]: routeToEmulator(emulator), '/raw/*': routeTo(upstream) },
    ...settings,
  };
  const { config } = loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(file), env: {} });
  const server = await startServer(config, { log: silentLog, emulated });
  onTestFinished(async () => {
    await server.drain();
  });
  const port = server.admin?.port ?? 0;
  const credentials = [...emulator.credentials.values()].map((secret) => secret.reveal());
  return {
    server,
    emulator,
    upstream,
    proxyPort: server.address.port,
    port,
    url: `http://127.0.0.1:${port}`,
    secrets: () => [...upstream.tokens, ...credentials, 'canary-api-key', CLIENT_SECRET],
  };
}
