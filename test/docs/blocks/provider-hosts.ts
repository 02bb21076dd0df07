import { once } from 'node:events';
import { createServer as createHttps } from 'node:https';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Emulator, startEmulator } from '../../../src/emulators/emulator.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { providers } from '../../../src/providers/registry.ts';
import { issue } from '../../config/certificate.ts';

/** The providers' own hosts, as far as pages can tell: emulators behind HTTPS, with all the names that they have. */
export interface ProviderHosts {
  readonly port: number;
  readonly names: readonly string[];
  /** Of the authority that a page's programs trust. PEM. */
  readonly ca: string;
  close(): Promise<void>;
}

export async function startProviderHosts(): Promise<ProviderHosts> {
  const known = providers.filter(({ hosts }) => hosts !== undefined);
  const emulators = await Promise.all(known.map((provider) => startEmulator(provider, { port: 0, authPort: 0 })));
  const origins = new Map(emulators.flatMap(originsOf));
  const names = [...origins.keys()];
  const ca = issue({ name: 'the authority of the documents', isCa: true });
  const { cert, key } = issue({ name: 'localhost', issuer: ca, names });
  const server = createHttps({ cert, key }, (req, res) => forward(req, res, origins));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    names,
    ca: ca.cert,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await Promise.all(emulators.map((emulator) => emulator.close()));
    },
  };
}

/** Both environments lead to the one emulator. */
function originsOf({ provider, apiUrl, authUrl }: Emulator): [name: string, origin: string][] {
  const { sandbox, production } = provider.hosts as NonNullable<Provider['hosts']>;
  return [sandbox, production].flatMap(({ api, auth }) => [
    [new URL(api).hostname, new URL(apiUrl).origin],
    ...(auth === undefined ? [] : [[new URL(auth).hostname, new URL(authUrl).origin] as [string, string]]),
  ]);
}

function forward(req: IncomingMessage, res: ServerResponse, origins: ReadonlyMap<string, string>): void {
  const origin = origins.get(req.headers.host?.replace(/:\d+$/, '') ?? '');
  if (origin === undefined) {
    res.writeHead(421).end();
    return;
  }
  const { method = 'GET', url = '/', rawHeaders } = req;
  const sent = request(origin + url, { method, headers: rawHeaders }, (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(res);
  });
  sent.once('error', () => res.destroy());
  req.pipe(sent);
}
