import { createHash } from 'node:crypto';
import type { Secret } from '../../secret.ts';

/** TLS settings of a connection to a server. Certificates and keys are PEM texts. */
export interface TlsIdentity {
  /** Certificate authorities in addition to those that Node trusts. */
  readonly ca?: readonly string[] | undefined;
  /** Client certificate and its chain. */
  readonly cert?: string | undefined;
  readonly key?: Secret | undefined;
  /** In place of `cert` and `key`: a PKCS#12 file, as Base64. */
  readonly pfx?: Secret | undefined;
  /** Decrypts `key` or `pfx`. */
  readonly passphrase?: Secret | undefined;
  /** Name for SNI and for checking the server's certificate. Default: the host of the origin. */
  readonly serverName?: string | undefined;
  /** Default: `TLSv1.2`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
}

/** An HTTP proxy between Wakala and the providers. */
export interface EgressProxy {
  /** Whether the connection to the proxy itself uses TLS. Its certificate may be issued by the `ca` of the servers. */
  readonly isTls: boolean;
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of `Proxy-Authorization`. */
  readonly authorization?: Secret | undefined;
  /** What named it, for texts: `egress_proxy`, `HTTPS_PROXY`. */
  readonly source: string;
}

/** Which requests go through which egress proxy. */
export interface EgressRules {
  /** For `http:` origins. Undefined: direct. */
  readonly http?: EgressProxy | undefined;
  /** For `https:` origins. Undefined: direct. */
  readonly https?: EgressProxy | undefined;
  /** Hosts that are reached directly, in the syntax of `NO_PROXY`. Loopback is not implied. */
  readonly noProxy?: readonly string[] | undefined;
}

/** How connections to a server are made. Without any of these: directly, with the certificate authorities of Node. */
export interface ConnectOptions {
  readonly tls?: TlsIdentity | undefined;
  readonly egress?: EgressRules | undefined;
  /** Link-local addresses that are allowed all the same, in CIDR notation: `169.254.171.0/24`. */
  readonly allowAddresses?: readonly string[] | undefined;
  /** `Host` header of token requests. Default: the host of their URL. */
  readonly tokenHostHeader?: string | undefined;
}

/** The same text for options that make the same connections, empty for `{}`. A hash: it contains no secret. */
export function connectionKey({ tls = {}, egress = {}, allowAddresses = [], tokenHostHeader }: ConnectOptions): string {
  const { key, pfx, passphrase, ...publicTls } = tls;
  const proxies = [egress.http, egress.https].map(
    (proxy) => proxy && [proxy.isTls, proxy.host, proxy.port, proxy.authorization?.reveal()],
  );
  const secrets = [key, pfx, passphrase].map((secret) => secret?.reveal());
  const hosts = tokenHostHeader === undefined ? [] : [tokenHostHeader];
  const text = JSON.stringify([publicTls, secrets, proxies, egress.noProxy ?? [], allowAddresses, ...hosts]);
  return text === NO_OPTIONS ? '' : createHash('sha256').update(text).digest('hex');
}

const NO_OPTIONS = JSON.stringify([{}, [null, null, null], [null, null], [], []]);
