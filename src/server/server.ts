import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { adminApp } from '../admin/app.ts';
import { type Clock, systemClock } from '../clock.ts';
import { formatAddress } from '../config/address.ts';
import type { Config, ListenAddress } from '../config/config.ts';
import type { Log } from '../log.ts';
import { Gateway } from '../proxy/gateway.ts';
import { UpgradeHandler } from '../proxy/upgrade.ts';
import { UpstreamPools } from '../proxy/upstream.ts';
import { TokenSources } from '../tokens/sources.ts';
import { networkTransport } from '../tokens/transport.ts';
import { drainServer } from './drain.ts';
import { createProxyServer, listen } from './http-server.ts';

export interface ServerOptions {
  readonly log: Log;
  readonly clock?: Clock;
}

export interface RunningServer {
  readonly address: ListenAddress;
  readonly admin: ListenAddress | undefined;
  /** Finishes what is under way, then stops. @returns true if nothing had to be cut off */
  drain(): Promise<boolean>;
}

/** Starts the proxy of a valid configuration. @throws Error if an address cannot be listened on */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  const { log, clock = systemClock } = options;
  const tokenEndpoint = networkTransport();
  const pools = new UpstreamPools();
  const sources = new TokenSources({ clock, log, random: Math.random, transport: tokenEndpoint.transport });
  const gateway = new Gateway(config, { sources, pools, clock, log });
  const upgrades = new UpgradeHandler(() => gateway, log);
  const state = { draining: false };

  const proxy = createProxyServer({
    gateway: () => gateway,
    upgrades,
    maxConnections: config.maxConnections,
    draining: () => state.draining,
  });
  const admin = createAdaptorServer({ fetch: adminApp({ ready: () => !state.draining }).fetch }) as Server;

  const address = await listen(proxy, config.listen, '--listen');
  const adminAddress = await listenAdmin(admin, config, proxy);
  log.info({ listen: formatAddress(address), routes: config.routes.length }, 'ready');

  return {
    address,
    admin: adminAddress,
    async drain() {
      state.draining = true;
      log.info({ timeout_ms: config.drainTimeoutMs }, 'draining');
      const clean = await drainServer(proxy, config.drainTimeoutMs, () => clock.now());
      admin.close();
      admin.closeAllConnections();
      sources.close();
      await Promise.all([pools.close(), tokenEndpoint.close()]);
      log.info({ clean }, 'stopped');
      return clean;
    },
  };
}

async function listenAdmin(admin: Server, config: Config, proxy: Server): Promise<ListenAddress | undefined> {
  if (config.admin === undefined) return undefined;
  try {
    return await listen(admin, config.admin, '--admin');
  } catch (error) {
    proxy.close();
    throw error;
  }
}
