import { createHash } from 'node:crypto';
import type { Client, Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import { isLoopbackName } from '../loopback.ts';
import { headerOf } from './headers.ts';

/** Who may call: on a loopback address anyone on this machine but a web page, elsewhere only known clients. */
export class Access {
  readonly #loopback: boolean;
  readonly #allowedHosts: ReadonlySet<string>;
  readonly #allowedOrigins: ReadonlySet<string>;
  /** By the SHA-256 of the key, so that looking one up tells nothing about any other. */
  readonly #clients: ReadonlyMap<string, Client>;

  constructor(config: Config) {
    this.#loopback = isLoopbackName(config.listen.host);
    this.#allowedHosts = new Set(config.allowedHosts.map((host) => host.toLowerCase()));
    this.#allowedOrigins = new Set(config.allowedOrigins.map((origin) => origin.toLowerCase()));
    this.#clients = new Map(config.clients.map((client) => [digest(client.key.reveal()), client]));
  }

  /**
   * Lets a request in, or not. `host` is its one Host line.
   * @returns the client, where a `clients` list is set
   * @throws ProxyError `host_refused`, `origin_refused` or `client_unauthorized`
   */
  admit(raw: readonly string[], host: string): Client | undefined {
    if (this.#loopback && !this.#isKnownHost(host)) {
      throw new ProxyError(
        'host_refused',
        'The Host header names neither this machine nor one of `allowed_hosts`: a web page may have sent this.',
      );
    }
    this.#refuseForeignPages(raw);
    return this.#clients.size === 0 ? undefined : this.#clientOf(raw);
  }

  #isKnownHost(host: string): boolean {
    const lower = host.toLowerCase();
    const name = lower.replace(/:\d*$/, '');
    return isLoopbackName(name) || this.#allowedHosts.has(name) || this.#allowedHosts.has(lower);
  }

  #refuseForeignPages(raw: readonly string[]): void {
    const origin = headerOf(raw, 'origin');
    const foreign =
      origin === undefined
        ? headerOf(raw, 'sec-fetch-site')?.toLowerCase() === 'cross-site'
        : !this.#allowedOrigins.has(origin.toLowerCase());
    if (foreign) {
      throw new ProxyError(
        'origin_refused',
        'A web page sent this. If it is yours, name its origin under `allowed_origins`.',
      );
    }
  }

  #clientOf(raw: readonly string[]): Client {
    for (const header of ['authorization', 'proxy-authorization']) {
      const client = this.#clientFrom(headerOf(raw, header));
      if (client !== undefined) return client;
    }
    throw new ProxyError(
      'client_unauthorized',
      'Send the key of one of the configured `clients` as `Authorization: Bearer <key>` or `Proxy-Authorization: ' +
        'Bearer <key>`.',
    );
  }

  #clientFrom(value: string | undefined): Client | undefined {
    const [, scheme = '', credentials = ''] = /^(bearer|basic) +(\S+)$/i.exec(value?.trim() ?? '') ?? [];
    if (scheme.toLowerCase() === 'bearer') return this.#clients.get(digest(credentials));
    const [, name, key = ''] = /^([^:]*):([^]*)$/.exec(Buffer.from(credentials, 'base64').toString('utf8')) ?? [];
    const client = this.#clients.get(digest(key));
    return client?.name === name ? client : undefined;
  }
}

function digest(value: string): string {
  return createHash('sha256').update(value).digest('base64');
}
