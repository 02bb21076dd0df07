import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { routeToEmulator, startProxy } from '../support/proxy-server.ts';

/** An emulated provider at the end of a line that can break, and a Wakala that calls it there. */
export class Breakable {
  /** Of the Wakala, as the examples take it. */
  readonly wakala: string;
  /** Whether the next calls reach the provider while their answers get lost. */
  losesAnswers = false;
  /** Calls that reached the provider, by path. */
  readonly calls: string[] = [];
  readonly emulator: Emulator;
  readonly #line: Server;
  readonly #port: number;

  private constructor(emulator: Emulator, line: Server, wakalaPort: number) {
    this.emulator = emulator;
    this.#line = line;
    this.#port = portOf(line);
    this.wakala = `http://127.0.0.1:${wakalaPort}`;
    line.on('request', (req: IncomingMessage, res: ServerResponse) => this.#forward(req, res));
    onTestFinished(() => this.hangUp());
  }

  /** Tokens are asked for at the emulator itself: that line never breaks. */
  static async start(name: string): Promise<Breakable> {
    const provider = providerNamed(name);
    if (provider === undefined) throw new Error(`no provider is named ${name}`);
    const emulator = await startEmulator(provider, { port: 0 });
    onTestFinished(() => emulator.close());
    const line = createServer().listen(0, '127.0.0.1');
    await once(line, 'listening');
    const { pathname } = new URL(emulator.apiUrl);
    const upstream = `http://127.0.0.1:${portOf(line)}${pathname === '/' ? '' : pathname}`;
    const route = { ...routeToEmulator(emulator), upstream, auth_server: emulator.authUrl };
    const proxy = await startProxy({ routes: { [`/${name}/*`]: route } });
    return new Breakable(emulator, line, proxy.port);
  }

  /** From now on nobody is there to connect to. */
  async hangUp(): Promise<void> {
    if (!this.#line.listening) return;
    const closed = once(this.#line, 'close');
    this.#line.close();
    this.#line.closeAllConnections();
    await closed;
  }

  async pickUp(): Promise<void> {
    this.#line.listen(this.#port, '127.0.0.1');
    await once(this.#line, 'listening');
  }

  #forward(req: IncomingMessage, res: ServerResponse): void {
    const { method, url = '', headers } = req;
    const forwarded = request(new URL(url, this.emulator.apiUrl), { method, headers });
    forwarded.on('response', (answer) => {
      this.calls.push(url);
      if (this.losesAnswers) {
        answer.resume();
        res.destroy();
        return;
      }
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    req.pipe(forwarded);
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
