import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import type { ListenAddress } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { networkCode } from '../errors.ts';
import { formatHostPort } from '../http/host-port.ts';
import { http } from '../http/node-internals.ts';
import { EXIT, type Io } from './io.ts';
import { reportStartFailure } from './run.ts';

interface HealthcheckOptions {
  readonly config: string;
  readonly admin?: ListenAddress | false | undefined;
}

const TIMEOUT_MS = 3000;

/** Requests `/readyz` of a running proxy, for container health checks in an image without curl. */
export async function healthcheck(options: HealthcheckOptions, io: Io): Promise<number> {
  let admin: ListenAddress | undefined;
  try {
    admin = options.admin === undefined ? adminOf(options.config, io) : options.admin || undefined;
  } catch (error) {
    return reportStartFailure(error, io);
  }
  if (admin === undefined) {
    io.stderr('wakala healthcheck: the admin listener is off. Turn it on, or pass its address with --admin.\n');
    return EXIT.usage;
  }
  const url = `http://${formatHostPort(connectableAddress(admin))}/readyz`;
  try {
    // The global agent may use the proxy of HTTP_PROXY.
    const request = http.get(url, { agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    io.stdout(`${await text(response)}\n`);
    return response.statusCode === 200 ? EXIT.ok : EXIT.runtime;
  } catch (error) {
    io.stderr(`wakala healthcheck: no response from ${url} (${networkCode(error)}). Is Wakala running?\n`);
    return EXIT.unreachable;
  }
}

/** The admin address of the configuration. `emulated` loads it without its secrets, which are not needed. */
function adminOf(file: string, io: Io): ListenAddress | undefined {
  return loadConfig(file, { env: io.env, emulated: true }).config.admin;
}

/** The loopback address instead of a wildcard address. */
function connectableAddress({ host, port }: ListenAddress): ListenAddress {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  return host === '::' ? { host: '::1', port } : { host, port };
}
