import type { Environment, HeaderRule, Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import type { RouteSettings } from './schema.ts';
import type { ListenAddress } from './values.ts';

export type { AllowRule, ListenAddress } from './values.ts';

/** What the proxy serves TLS with, as PEM. */
export interface TlsFiles {
  /** The server's own certificate first, then its chain. */
  readonly cert: string;
  readonly key: Secret;
  /** Callers need a certificate that one of these has issued; undefined: they need none. */
  readonly clientCa: string | undefined;
}

/** A caller that may use the proxy where a `clients` list is set. */
export interface Client {
  readonly name: string;
  /** Undefined only where certificates are asked for: the client is then known by the name in its own. */
  readonly key: Secret | undefined;
  /** Route names it may call; undefined: all. */
  readonly routes: readonly string[] | undefined;
}

/** A route, resolved: nothing in it refers to the file, the environment or a default any more. */
export interface RouteConfig extends RouteSettings {
  /** As written in the file: `/mpesa/*`. */
  readonly name: string;
  /** What is cut off: `/mpesa`; empty for `/*`. */
  readonly prefix: string;
  /** The built-in provider with the route's own `token`, `headers` and `encoding` merged in, or one made from them. */
  readonly provider: Provider;
  readonly environment: Environment;
  /** API base URL without a trailing slash. Its origin and path are all that decides where a call goes. */
  readonly upstream: string;
  /** Base URL of the token exchange, without a trailing slash. */
  readonly authServer: string;
  /** Credential values by field name, and those that `headers` and `token` got through `${...}`: `value_1`. */
  readonly credentials: ReadonlyMap<string, Secret>;
  readonly headers: readonly HeaderRule[];
  /** Whether the inspector keeps bodies; never in production. */
  readonly inspectBodies: boolean;
}

type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Where replicas share their tokens. */
export interface TokenStoreConfig {
  /** With its password, if it has one. */
  readonly url: Secret;
  /** The first seals, each opens. */
  readonly keys: readonly [Secret, ...Secret[]];
}

interface LogSettings {
  readonly level: LogLevel;
  readonly format: 'pretty' | 'json' | 'auto';
  /** Whether requests that went well get a line. */
  readonly requests: boolean;
}

export interface Tracing {
  /** Base URL of a collector that takes OTLP over HTTP, without a trailing slash; `/v1/traces` comes behind it. */
  readonly otlp: string;
}

/** A whole configuration, resolved and valid. */
export interface Config {
  /** Where it was read from, as the user gave it. */
  readonly file: string;
  readonly listen: ListenAddress;
  /** Undefined: plain HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly admin: ListenAddress | undefined;
  /** What the admin listener asks for before it shows more than its health. */
  readonly adminToken: Secret | undefined;
  readonly environment: Environment;
  readonly routes: readonly RouteConfig[];
  readonly clients: readonly Client[];
  readonly open: boolean;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  /** Processes that serve; 1 is this one alone. */
  readonly workers: number;
  /** Undefined: each process has its own tokens. */
  readonly tokenStore: TokenStoreConfig | undefined;
  readonly maxConnections: number | undefined;
  readonly drainTimeoutMs: number;
  readonly log: LogSettings;
  /** Undefined: no traces are sent. */
  readonly tracing: Tracing | undefined;
}
