import type { AdminContext } from '../../src/admin/context.ts';
import { systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Secret } from '../../src/secret.ts';

export interface AdminSettings {
  /** Where the admin listener is. */
  readonly host?: string;
  readonly token?: string | undefined;
  /** Keys of the configuration file. */
  readonly file?: Readonly<Record<string, unknown>>;
}

const MPESA = { provider: 'mpesa', credentials: { consumer_key: 'key-of-mpesa', consumer_secret: 'secret-of-mpesa' } };

export function adminConfig({ host = '127.0.0.1', token, file = {} }: AdminSettings = {}): Config {
  const text = JSON.stringify({ routes: { '/mpesa/*': MPESA }, ...file });
  const { config } = loadConfig('proxy.config.yaml', { readFile: () => text, env: {} });
  return { ...config, admin: { host, port: 9901 }, adminToken: token === undefined ? undefined : new Secret(token) };
}

/** What an admin listener is given, where nothing serves. */
export function adminContext(context: Partial<AdminContext> = {}, settings: AdminSettings = {}): AdminContext {
  const config = adminConfig(settings);
  return {
    ready: () => true,
    reloads: () => ({ taken: 0, refused: 0, failure: undefined }),
    config: () => config,
    processes: () => [],
    emulated: false,
    version: '0.0.0',
    commit: '',
    clock: systemClock,
    ...context,
  };
}
