import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Client, Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import { headerValue } from '../http/header-list.ts';
import { isLoopbackName, isPrivateName } from '../http/ip-address.ts';
import { type Caller, type VerifiedPlaceholder, verifyPlaceholder } from './login.ts';

/**
 * Where a browser says that a request comes from (https://www.w3.org/TR/fetch-metadata/): a page of another origin, its
 * own user or a page from here, or nothing. Pages cannot set these headers. `fetch` of Node.js sends
 * `sec-fetch-mode: cors` and nothing else of the kind.
 */
function initiatorOf(raw: readonly string[]): 'foreign page' | 'own' | undefined {
  let isOwn = false;
  let isPage = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (name.length !== 14) continue;
    switch (name.toLowerCase()) {
      case 'sec-fetch-site':
        if (!/^(none|same-origin)$/i.test(raw[i + 1] ?? '')) return 'foreign page';
        isOwn = true;
        break;
      case 'sec-fetch-mode':
        isPage ||= raw[i + 1]?.toLowerCase() !== 'cors';
        break;
      case 'sec-fetch-dest':
        isPage ||= raw[i + 1]?.toLowerCase() !== 'empty';
        break;
    }
  }
  if (isOwn) return 'own';
  return isPage ? 'foreign page' : undefined;
}

/**
 * Whether a browser sent this, and a page may be behind it. Every browser calls itself Mozilla. With a GET or HEAD it
 * need not send Origin; with any other method it does.
 */
function isBrowserGet(method: string | undefined, raw: readonly string[]): boolean {
  return (method === 'GET' || method === 'HEAD') && /^mozilla\//i.test(headerValue(raw, 'user-agent') ?? '');
}

const AUTHORIZATION = /^(bearer|basic) +(\S+)$/i;

/** What a Host line names. `private`: another machine, by a name that no web page can have. */
type HostKind = 'loopback' | 'allowed' | 'private' | 'public';

/** Who may call: on a loopback address anyone on this machine but a web page, elsewhere only known clients. */
export class Access {
  readonly #listensOnLoopback: boolean;
  readonly #needsNoKey: boolean;
  readonly #allowedHosts: ReadonlySet<string>;
  readonly #allowedOrigins: ReadonlySet<string>;
  /** By the SHA-256 of the key, so that looking one up tells nothing about any other. */
  readonly #byKey: ReadonlyMap<string, Client>;
  readonly #byName: ReadonlyMap<string, Client>;
  readonly #now: () => number;
  /** The Host line that came last: most come again and again. */
  #lastHost: string | undefined;
  #lastHostKind: HostKind = 'public';

  constructor(config: Config, now: () => number) {
    this.#listensOnLoopback = isLoopbackName(config.listen.host);
    this.#allowedHosts = new Set(config.allowedHosts.map((host) => host.toLowerCase()));
    this.#allowedOrigins = new Set(config.allowedOrigins.map((origin) => origin.toLowerCase()));
    this.#byKey = new Map(
      config.clients.flatMap((client) => (client.key === undefined ? [] : [[sha256(client.key.reveal()), client]])),
    );
    this.#byName = new Map(config.clients.map((client) => [client.name, client]));
    this.#needsNoKey = this.#byName.size === 0;
    this.#now = now;
  }

  /**
   * Lets a request in, or not. `host` is its one Host line. A browser's preflight carries no key: it is let in, and
   * must not be forwarded.
   * @throws ProxyError `host_refused`, `origin_refused` or `client_unauthorized`
   */
  admit(req: IncomingMessage, host: string): Caller {
    const kind = this.#hostKind(host);
    // Over TLS, a page under another name would have to show a certificate, and browsers say where requests come from.
    const isExposed = this.#needsNoKey && !(req.socket instanceof TLSSocket);
    if (this.#listensOnLoopback ? kind === 'private' || kind === 'public' : isExposed && kind === 'public') {
      throw new ProxyError(
        'host_refused',
        'The name in the Host header is not one of this proxy. If it is yours, add it to `allowed_hosts`. Nothing was sent.',
      );
    }
    const origin = this.#originOf(req, isExposed && kind !== 'loopback');
    const asks = origin !== undefined && req.method === 'OPTIONS';
    const preflight = asks ? headerValue(req.rawHeaders, 'access-control-request-method') : undefined;
    if (this.#needsNoKey || preflight !== undefined)
      return { client: undefined, placeholderExpiresAtS: undefined, origin, preflight };
    return { ...this.#identityOf(req), origin, preflight };
  }

  #hostKind(host: string): HostKind {
    if (host !== this.#lastHost) {
      this.#lastHost = host;
      this.#lastHostKind = this.#kindOf(host.toLowerCase());
    }
    return this.#lastHostKind;
  }

  #kindOf(host: string): HostKind {
    const name = host.replace(/:\d*$/, '');
    if (isLoopbackName(name)) return 'loopback';
    if (this.#allowedHosts.has(name) || this.#allowedHosts.has(host)) return 'allowed';
    return isPrivateName(name) ? 'private' : 'public';
  }

  /** The origin of the web page that sent a request, if it is one of `allowed_origins`. */
  allowedOrigin(raw: readonly string[]): string | undefined {
    const origin = headerValue(raw, 'origin');
    return origin !== undefined && this.#allowedOrigins.has(origin.toLowerCase()) ? origin : undefined;
  }

  /**
   * The same, for a request that is to be let in.
   * @param saysNothing browsers do not say where this request comes from: they do over TLS and to loopback names only
   * @throws ProxyError `origin_refused`
   */
  #originOf({ method, rawHeaders: raw }: IncomingMessage, saysNothing: boolean): string | undefined {
    if (headerValue(raw, 'origin') !== undefined) {
      const origin = this.allowedOrigin(raw);
      if (origin === undefined) throw originRefused();
      return origin;
    }
    const source = initiatorOf(raw);
    if (source === 'foreign page') throw originRefused();
    if (source === undefined && saysNothing && isBrowserGet(method, raw)) {
      throw new ProxyError(
        'origin_refused',
        'A browser sent this, and over plain HTTP it does not say whether a web page asked for it. Use `tls` or ' +
          '`clients`, or a client whose User-Agent does not begin with Mozilla.',
      );
    }
    return undefined;
  }

  /** A key counts before a placeholder, in either header: some libraries send their old token when they log in again. */
  #identityOf(req: IncomingMessage): Pick<Caller, 'client' | 'placeholderExpiresAtS'> {
    const raw = req.rawHeaders;
    const client =
      this.#fromCertificate(req) ??
      this.#fromKey(headerValue(raw, 'authorization')) ??
      this.#fromKey(headerValue(raw, 'proxy-authorization'));
    if (client !== undefined) return { client, placeholderExpiresAtS: undefined };
    const use =
      this.#fromPlaceholder(headerValue(raw, 'authorization')) ??
      this.#fromPlaceholder(headerValue(raw, 'proxy-authorization'));
    if (use !== undefined) return { client: use.client, placeholderExpiresAtS: use.expiresAtS };
    throw new ProxyError(
      'client_unauthorized',
      'Send the key of one of the configured `clients` as `Authorization: Bearer <key>` or `Proxy-Authorization: ' +
        'Bearer <key>`.',
    );
  }

  /** The certificate was verified against `client_ca` before any request was read. */
  #fromCertificate({ socket }: IncomingMessage): Client | undefined {
    if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
    const name = socket.getPeerX509Certificate()?.toLegacyObject().subject.CN;
    return typeof name === 'string' ? this.#byName.get(name) : undefined;
  }

  #fromKey(header: string | undefined): Client | undefined {
    const [, scheme = '', credentials = ''] = AUTHORIZATION.exec(header?.trim() ?? '') ?? [];
    if (scheme.toLowerCase() === 'bearer') return this.#byKey.get(sha256(credentials));
    const [, name, key = ''] = /^([^:]*):([^]*)$/.exec(Buffer.from(credentials, 'base64').toString('utf8')) ?? [];
    const client = this.#byKey.get(sha256(key));
    return client?.name === name ? client : undefined;
  }

  #fromPlaceholder(header: string | undefined): VerifiedPlaceholder | undefined {
    const [, scheme = '', token = ''] = AUTHORIZATION.exec(header?.trim() ?? '') ?? [];
    if (scheme.toLowerCase() !== 'bearer') return undefined;
    return verifyPlaceholder(token, (name) => this.#byName.get(name), this.#now());
  }
}

function originRefused(): ProxyError {
  return new ProxyError(
    'origin_refused',
    'A web page sent this. If it is yours, name its origin under `allowed_origins`.',
  );
}

function sha256(value: string): string {
  return createHash('sha256').update(value).digest('base64');
}
