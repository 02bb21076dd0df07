import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { headerValue } from '../http/header-list.ts';

interface LocationsOptions {
  /** The base URL of the API. */
  readonly upstream: string;
  /** The `host_header` of the route, which the provider may use in its URLs. */
  readonly hostHeader?: string | undefined;
  /** Prefix of the route: `/mpesa`, or empty. */
  readonly prefix: string;
  /** URL of Wakala for its clients. Default: the host that they call, with the scheme of the listener. */
  readonly publicUrl?: string | undefined;
}

const ABSOLUTE = /^(?:(https?):)?\/\/([^/?#\\]*)/i;
/** Browsers read `%2e` as a dot, and `\` as `/`. */
const DOT_SEGMENT = /[/\\](?:\.|%2e){1,2}(?:[/\\?#]|$)/i;
/** The target of a link (RFC 8288 3), or a quoted string, which can contain `<`. Both may be unterminated. */
const LINK_TARGETS = /<([^>]*)>?|"(?:[^"\\]|\\.)*"?/g;
const REFRESH_START = /^\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?["']?/i;

/** Whether the response header contains references that are rewritten. */
export function hasLocations(lowerCaseName: string): boolean {
  return (
    lowerCaseName === 'location' ||
    lowerCaseName === 'content-location' ||
    lowerCaseName === 'link' ||
    lowerCaseName === 'refresh'
  );
}

/**
 * Rewrites references to the provider's API in response headers to the route, so that an app that follows them stays on
 * the route. Other references stay as they are, but a path outside the API becomes a URL at the provider.
 */
export class Locations {
  /** Path at which clients reach the route: that of `publicUrl`, then the prefix. */
  readonly #prefix: string;
  /** Scheme, host and port of `publicUrl`. */
  readonly #publicOrigin: string | undefined;
  readonly #scheme: string;
  readonly #origin: string;
  readonly #basePath: string;
  /** Names of the provider, as `serverOf` writes them. */
  readonly #servers = new Set<string>();

  constructor({ upstream, hostHeader, prefix, publicUrl }: LocationsOptions) {
    const [origin = '', scheme = '', authority = ''] = ABSOLUTE.exec(upstream) ?? [];
    this.#publicOrigin = ABSOLUTE.exec(publicUrl ?? '')?.[0];
    this.#prefix = (publicUrl ?? '').slice(this.#publicOrigin?.length) + prefix;
    this.#origin = origin;
    this.#scheme = scheme.toLowerCase();
    this.#basePath = upstream.slice(origin.length).replace(/\/$/, '');
    for (const name of [authority, hostHeader]) if (name !== undefined) this.#servers.add(this.#serverOf(name, scheme));
  }

  /** @param lowerCaseName a header with locations (`hasLocations`) */
  rewrite(lowerCaseName: string, value: string, req: IncomingMessage): string {
    switch (lowerCaseName) {
      case 'link':
        return value.replace(LINK_TARGETS, (part, target: string | undefined) =>
          target === undefined || !part.endsWith('>') ? part : `<${this.#rewrite(target, req)}>`,
        );
      case 'refresh': {
        const [start] = REFRESH_START.exec(value) ?? [];
        return start === undefined ? value : start + this.#rewrite(value.slice(start.length), req);
      }
      default:
        return this.#rewrite(value, req);
    }
  }

  #rewrite(reference: string, req: IncomingMessage): string {
    if (reference.startsWith('/') && !reference.startsWith('//')) {
      const path = this.#pathOnRoute(reference);
      // `//` would begin with the name of another server. At Wakala's address, a path outside the API would lead to
      // another route or to none.
      if (path === undefined || /^\/[/\\]/.test(path)) return this.#origin + reference;
      return path || '/';
    }
    const [start, scheme, authority = ''] = ABSOLUTE.exec(reference) ?? [];
    if (start === undefined || !this.#servers.has(this.#serverOf(authority, scheme ?? this.#scheme))) return reference;
    const path = this.#pathOnRoute(reference.slice(start.length));
    if (path === undefined) return reference;
    if (this.#publicOrigin !== undefined) return this.#publicOrigin + path;
    const host = headerValue(req.rawHeaders, 'host') ?? '';
    if (host === '') return reference;
    if (scheme === undefined) return `//${host}${path}`;
    return `${req.socket instanceof TLSSocket ? 'https' : 'http'}://${host}${path}`;
  }

  /** The path on the route for a path of the provider, with its query. Undefined if it may be outside the base path. */
  #pathOnRoute(path: string): string | undefined {
    if (!path.startsWith(this.#basePath)) return undefined;
    const rest = path.slice(this.#basePath.length);
    // Browsers drop tabs, so that a path with one could become `//` or a dot segment.
    if (!/^(?:[/?#]|$)/.test(rest) || rest.includes('\t') || DOT_SEGMENT.test(rest.split(/[?#]/, 1)[0] ?? ''))
      return undefined;
    return this.#prefix + rest;
  }

  /** Host and port in lower case. The default ports of `http:` and `https:` are equal: the provider may mix them up. */
  #serverOf(authority: string, scheme: string): string {
    const [, host = '', port = ''] = /^(.*?)\.?(?::(\d*))?$/.exec(authority.toLowerCase()) ?? [];
    return `${host}:${port === (scheme.toLowerCase() === 'http' ? '80' : '443') ? '' : port}`;
  }
}
