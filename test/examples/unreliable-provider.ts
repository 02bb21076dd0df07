import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { routeToEmulator, startProxy } from '../support/proxy-server.ts';

/** An emulated provider behind a connection that can fail, and a proxy that calls it. */
export class UnreliableProvider {
  /** The URL of the proxy, for `WAKALA_URL`. */
  readonly wakala: string;
  /** If true, calls reach the provider but their responses are lost. */
  losesResponses = false;
  /** The paths of the calls that reached the provider. */
  readonly calls: string[] = [];
  readonly emulator: Emulator;
  readonly #link: Server;
  readonly #port: number;

  private constructor(emulator: Emulator, link: Server, wakalaPort: number) {
    this.emulator = emulator;
    this.#link = link;
    this.#port = portOf(link);
    this.wakala = `http://127.0.0.1:${wakalaPort}`;
    link.on('request', (req: IncomingMessage, res: ServerResponse) => this.#forward(req, res));
    onTestFinished(() => this.disconnect());
  }

  /** Token requests go directly to the emulator and do not fail. */
  static async start(name: string): Promise<UnreliableProvider> {
    const provider = providerNamed(name);
    if (provider === undefined) throw new Error(`no provider is named ${name}`);
    const emulator = await startEmulator(provider, { port: 0 });
    onTestFinished(() => emulator.close());
    const link = createServer().listen(0, '127.0.0.1');
    await once(link, 'listening');
    const { pathname } = new URL(emulator.apiUrl);
    const upstream = `http://127.0.0.1:${portOf(link)}${pathname === '/' ? '' : pathname}`;
    const route = { ...routeToEmulator(emulator), upstream, auth_server: emulator.authUrl };
    const proxy = await startProxy({ routes: { [`/${name}/*`]: route } });
    return new UnreliableProvider(emulator, link, proxy.port);
  }

  /** Refuses connections until `reconnect`. */
  async disconnect(): Promise<void> {
    if (!this.#link.listening) return;
    const closed = once(this.#link, 'close');
    this.#link.close();
    this.#link.closeAllConnections();
    await closed;
  }

  async reconnect(): Promise<void> {
    this.#link.listen(this.#port, '127.0.0.1');
    await once(this.#link, 'listening');
  }

  #forward(req: IncomingMessage, res: ServerResponse): void {
    const { method, url = '', headers } = req;
    const forwarded = request(new URL(url, this.emulator.apiUrl), { method, headers });
    forwarded.on('response', (response) => {
      this.calls.push(url);
      if (this.losesResponses) {
        response.resume();
        res.destroy();
        return;
      }
      res.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(res);
    });
    req.pipe(forwarded);
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
