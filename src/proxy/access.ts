import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Client, Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
import { headerValue } from '../http/header-list.ts';
import { isLoopbackName, isPrivateName } from '../http/ip-address.ts';
import { wakalasIn } from '../http/via.ts';
import { type CallerIdentity, type VerifiedPlaceholder, verifyPlaceholder } from './login.ts';

/** Who sent a request. */
export interface Caller extends CallerIdentity {
  /** The allowed origin of the web page that sent it. Undefined if it has no Origin header. */
  readonly origin: string | undefined;
  /** The method that a CORS preflight asks about. Undefined for any other request. */
  readonly preflight: string | undefined;
}

/**
 * What initiated a request, from the headers of the Fetch Metadata standard (https://www.w3.org/TR/fetch-metadata/).
 * Pages cannot set them. `fetch` of Node.js sends only `sec-fetch-mode: cors`, and its WebSocket only
 * `sec-fetch-mode: websocket`. The WebSocket of a browser always has an Origin header.
 * @returns undefined if the headers do not say
 */
function initiatorOf(raw: readonly string[]): 'cross-origin page' | 'same origin or user' | undefined {
  let isSameOriginOrUser = false;
  let isPage = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (name.length !== 14) continue;
    switch (name.toLowerCase()) {
      case 'sec-fetch-site':
        if (!/^(none|same-origin)$/i.test(raw[i + 1] ?? '')) return 'cross-origin page';
        isSameOriginOrUser = true;
        break;
      case 'sec-fetch-mode':
        isPage ||= !/^(cors|websocket)$/i.test(raw[i + 1] ?? '');
        break;
      case 'sec-fetch-dest':
        isPage ||= raw[i + 1]?.toLowerCase() !== 'empty';
        break;
    }
  }
  if (isSameOriginOrUser) return 'same origin or user';
  return isPage ? 'cross-origin page' : undefined;
}

/**
 * Whether a page may have sent this through a browser without an Origin header: browsers omit it only for GET and HEAD.
 * The User-Agent of every browser starts with `Mozilla/`.
 */
function isBrowserGet(method: string | undefined, raw: readonly string[]): boolean {
  return (method === 'GET' || method === 'HEAD') && /^mozilla\//i.test(headerValue(raw, 'user-agent') ?? '');
}

/** `Bearer` (RFC 6750 2.1) or `Basic` (RFC 7617 2) credentials. */
const AUTHORIZATION = /^(bearer|basic) +(\S+)$/i;

/** What a Host header names. `private`: another machine, by a name that no web page can have (`isPrivateName`). */
type HostKind = 'loopback' | 'allowed' | 'private' | 'public';

/**
 * Decides who may call. On a loopback address: every program on this machine, but no web page. Otherwise: configured
 * `clients`. Host and Origin are checked against DNS rebinding and cross-origin requests.
 */
export class Access {
  readonly #listensOnLoopback: boolean;
  readonly #needsNoKey: boolean;
  readonly #allowedHosts: ReadonlySet<string>;
  readonly #allowedOrigins: ReadonlySet<string>;
  /** By the SHA-256 of the key, so that the time of a lookup reveals nothing about the keys. */
  readonly #byKey: ReadonlyMap<string, Client>;
  readonly #byName: ReadonlyMap<string, Client>;
  readonly #now: () => number;
  /** Cache of the last Host header: most requests repeat it. */
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
   * Identifies the caller. A CORS preflight carries no key: it is admitted without one and must not be forwarded.
   * @param host value of the only Host header
   * @throws ProxyError `host_refused`, `origin_refused` or `client_unauthorized`
   */
  admit(req: IncomingMessage, host: string): Caller {
    const kind = this.#hostKind(host);
    // Over TLS, DNS rebinding fails at the certificate, and browsers send Fetch Metadata.
    const isExposed = this.#needsNoKey && !(req.socket instanceof TLSSocket);
    if (this.#listensOnLoopback ? kind === 'private' || kind === 'public' : isExposed && kind === 'public') {
      throw new ProxyError(
        'host_refused',
        'The Host header does not name this proxy. If the name is yours, add it to `allowed_hosts`. Nothing was sent.',
      );
    }
    const origin = this.#originOf(req, isExposed && kind !== 'loopback');
    const mayBePreflight = origin !== undefined && req.method === 'OPTIONS';
    const preflight = mayBePreflight ? headerValue(req.rawHeaders, 'access-control-request-method') : undefined;
    if (this.#needsNoKey || preflight !== undefined) {
      return { client: undefined, placeholderExpiresAtS: undefined, origin, preflight };
    }
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

  /** The Origin header of a request, if it is one of `allowed_origins`. */
  allowedOrigin(raw: readonly string[]): string | undefined {
    const origin = headerValue(raw, 'origin');
    return origin !== undefined && this.#allowedOrigins.has(origin.toLowerCase()) ? origin : undefined;
  }

  /**
   * The same, but refuses requests of other pages.
   * @param lacksMetadata browsers send no Fetch Metadata on this connection: they do over TLS and to loopback names only
   * @throws ProxyError `origin_refused`
   */
  #originOf({ method, rawHeaders: raw }: IncomingMessage, lacksMetadata: boolean): string | undefined {
    if (headerValue(raw, 'origin') !== undefined) {
      const origin = this.allowedOrigin(raw);
      if (origin === undefined) throw originRefused();
      return origin;
    }
    const initiator = initiatorOf(raw);
    if (initiator === 'cross-origin page') throw originRefused();
    if (initiator === undefined && lacksMetadata && isBrowserGet(method, raw)) {
      throw new ProxyError(
        'origin_refused',
        'A browser sent this request over plain HTTP, where it does not say whether a web page made it. Use `tls` or ' +
          '`clients`, or a client whose User-Agent does not start with Mozilla.',
      );
    }
    return undefined;
  }

  /** A key in either header takes precedence over a placeholder: some libraries send their old token at a new login. */
  #identityOf(req: IncomingMessage): CallerIdentity {
    const raw = req.rawHeaders;
    const client =
      this.#fromCertificate(req) ??
      this.#fromKey(headerValue(raw, 'authorization')) ??
      this.#fromKey(headerValue(raw, 'proxy-authorization'));
    if (client !== undefined) return { client, placeholderExpiresAtS: undefined };
    const placeholder =
      this.#fromPlaceholder(headerValue(raw, 'authorization')) ??
      this.#fromPlaceholder(headerValue(raw, 'proxy-authorization'));
    if (placeholder !== undefined) {
      return { client: placeholder.client, placeholderExpiresAtS: placeholder.expiresAtS };
    }
    throw unauthorized(raw);
  }

  /** The TLS handshake has verified the certificate against `client_ca`. */
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

function unauthorized(raw: readonly string[]): ProxyError {
  const isFromWakala = wakalasIn(headerValue(raw, 'via') ?? '').length > 0;
  const detail = isFromWakala
    ? 'The Wakala in front of this one sent no key of its `clients`. There, use `provider: static` on the route, and set ' +
      'its `token` to the key of one of the `clients` here.'
    : 'Send the key of one of the configured `clients` as `Authorization: Bearer <key>` or `Proxy-Authorization: ' +
      'Bearer <key>`.';
  return new ProxyError('client_unauthorized', detail);
}

function originRefused(): ProxyError {
  return new ProxyError(
    'origin_refused',
    'A web page sent this request. If it is yours, add its origin to `allowed_origins`.',
  );
}

function sha256(value: string): string {
  return createHash('sha256').update(value).digest('base64');
}
