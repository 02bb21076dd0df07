import { createRequire } from 'node:module';
import { sep } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { ShiftedClock } from '../support/proxy-clock.ts';
import { routeToEmulator, type Settings, type StartedProxy, startProxy } from '../support/proxy-server.ts';

/** What an SDK logs in with. Each SDK has other names for the two. */
export interface Login {
  readonly id: string;
  readonly secret: string;
}

/** Neither the provider nor Wakala knows it. A UUID, because some SDKs insist on one. */
export const MADE_UP: Login = { id: '7d6b5c1e-1f0a-4c55-9a55-0d5a3f0c2b11', secret: 'made-up-secret' };

/** A client in the `clients` list of a shared gateway. */
export const SHOP = { name: 'b1f6c1de-5d57-4a0c-8f2b-7f1f0c7a9e21', key: 'shop-key-0123456789' };

/** What the client sends where its SDK logs in with Basic. */
export const SHOP_LOGIN: Login = { id: SHOP.name, secret: SHOP.key };

export interface BothWays {
  readonly clock: ShiftedClock;
  /** The provider as an app without Wakala meets it, and the login that it knows. */
  readonly direct: Emulator;
  readonly right: Login;
  /** The same provider behind a proxy, and the address of its route there. */
  readonly emulator: Emulator;
  readonly proxy: StartedProxy;
  readonly baseUrl: string;
}

/** A provider twice: alone, and behind a proxy with a route of its name. `top`: keys beside `routes`; `route`: keys of the route. */
export async function startBothWays(
  name: string,
  { route = {}, ...top }: Settings & { readonly route?: Settings } = {},
): Promise<BothWays> {
  const provider = providerNamed(name);
  if (provider === undefined) throw new Error(`no provider is named ${name}`);
  // Old axios sends even calls to this machine to it.
  vi.stubEnv('http_proxy', undefined).stubEnv('HTTP_PROXY', undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
  const clock = new ShiftedClock();
  const start = async (emulated: Provider) => {
    const emulator = await startEmulator(emulated, { port: 0, authPort: 0, clock });
    onTestFinished(() => emulator.close());
    return emulator;
  };
  const direct = await start(provider);
  const emulator = await start(provider);
  const proxy = await startProxy({ ...top, routes: { [`/${name}/*`]: routeToEmulator(emulator, route) } }, clock);
  const [id = '', secret = ''] = [...direct.credentials.values()].map((credential) => credential.reveal());
  return { clock, direct, right: { id, secret }, emulator, proxy, baseUrl: `http://127.0.0.1:${proxy.port}/${name}` };
}

/** The base URL with the name and key of a client in it. */
export function asClient(baseUrl: string, { name, key }: typeof SHOP): string {
  return baseUrl.replace('//', `//${name}:${key}@`);
}

/** `require` for a process that has just started: nothing is remembered of what the package did before. */
export function newProcess(packageName: string): NodeJS.Require {
  const require = createRequire(import.meta.url);
  const folder = `${sep}${['node_modules', ...packageName.split('/')].join(sep)}${sep}`;
  for (const file of Object.keys(require.cache)) {
    if (file.includes(folder)) delete require.cache[file];
  }
  return require;
}
