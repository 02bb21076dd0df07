import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { onTestFinished } from 'vitest';

/** A TCP relay in front of a server on this machine, which keeps every byte that passes either way. */
export class Wiretap {
  /** The tapped URL with the relay's port in place of the server's. */
  readonly url: string;
  readonly #seen: Buffer[];

  private constructor(url: string, seen: Buffer[]) {
    this.url = url;
    this.#seen = seen;
  }

  static async on(tapped: string): Promise<Wiretap> {
    const seen: Buffer[] = [];
    const { hostname, port } = new URL(tapped);
    const server = createServer((client) => {
      const upstream = connect(Number(port), hostname);
      const ends = [client, upstream];
      for (const end of ends) {
        end.on('data', (bytes: Buffer) => seen.push(bytes));
        end.on('error', () => {});
        end.on('close', () => ends.forEach((other) => void other.destroy()));
      }
      client.pipe(upstream).pipe(client);
      onTestFinished(() => void client.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const url = new URL(tapped);
    url.port = String((server.address() as AddressInfo).port);
    return new Wiretap(url.href.replace(/\/$/, ''), seen);
  }

  /** Everything that passed, in the order it was seen. */
  text(): string {
    return Buffer.concat(this.#seen).toString('latin1');
  }
}
