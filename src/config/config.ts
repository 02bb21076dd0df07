import type { ConnectOptions, TlsIdentity } from '../http/client/connect-options.ts';
import type { HostPort } from '../http/host-port.ts';
import type { Environment, HeaderRule, Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import type { RouteSettings } from './schema-route.ts';
import type { ListenAddress } from './values.ts';

export type { AllowRule, ListenAddress } from './values.ts';

/** What the proxy serves TLS with, as PEM. */
export interface TlsFiles {
  /** The certificate of the server, followed by its chain. */
  readonly cert: string;
  readonly key: Secret;
  /** Callers need a certificate issued by one of these. Undefined: they need none. */
  readonly clientCa: string | undefined;
}

/** A client that may use the proxy. */
export interface Client {
  readonly name: string;
  /** Undefined only if certificates are required: the client is then identified by the name in its certificate. */
  readonly key: Secret | undefined;
  /** Names of the routes that it may call. Undefined: all. */
  readonly routes: readonly string[] | undefined;
}

/** A resolved route: every reference is replaced, and every default filled in. RouteSettings are in schema-route.ts. */
export interface RouteConfig extends RouteSettings {
  /** As in the file: `/mpesa/*`. */
  readonly name: string;
  /** Removed from the path of a request: `/mpesa`. Empty for `/*`. */
  readonly prefix: string;
  /** The built-in provider with `token`, `headers` and `encoding` of the route merged in, or one made from them. */
  readonly provider: Provider;
  readonly environment: Environment;
  /** Base URL of the API without a trailing slash. It alone decides where a request goes. */
  readonly upstream: string;
  /** Base URL of the token endpoint without a trailing slash. */
  readonly authServer: string;
  /** How connections to the API are made. */
  readonly connection: ConnectOptions;
  /** How connections to the token endpoint and to the issuer are made. */
  readonly tokenConnection: ConnectOptions;
  /** Time limit of one token exchange. */
  readonly tokenTimeoutMs: number;
  /** Credentials by field name, and the `${...}` values of `headers` and `token` as `value_1`, `value_2`. */
  readonly credentials: ReadonlyMap<string, Secret>;
  readonly headers: readonly HeaderRule[];
  /** Whether the inspector keeps bodies; never in production. */
  readonly inspectBodies: boolean;
}

type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

interface RedisLogin {
  /** Undefined: the user `default`. */
  readonly username?: string | undefined;
  readonly password?: Secret | undefined;
  /** Default: 0. */
  readonly database?: number | undefined;
}

/** Where Redis is: one server, the master that sentinels name, or a cluster. */
export type RedisServers = {
  /** The server, the sentinels, or nodes of the cluster. */
  readonly addresses: readonly [HostPort, ...HostPort[]];
  readonly login: RedisLogin;
  /** Undefined: not encrypted. */
  readonly tls?: TlsIdentity | undefined;
} & (
  | { readonly kind: 'single' | 'cluster' }
  | { readonly kind: 'sentinel'; readonly masterName: string; readonly sentinelLogin: RedisLogin }
);

/** The Redis in which replicas share tokens. */
export interface TokenStoreConfig {
  readonly servers: RedisServers;
  /** The first encrypts, all decrypt. */
  readonly keys: readonly [Secret, ...Secret[]];
}

interface LogSettings {
  readonly level: LogLevel;
  readonly format: 'pretty' | 'json' | 'auto';
  /** Whether successful requests are logged. */
  readonly requests: boolean;
}

export interface Tracing {
  /** Base URL of a collector that accepts OTLP over HTTP, without a trailing slash and without `/v1/traces`. */
  readonly otlp: string;
}

/** A resolved and valid configuration. */
export interface Config {
  /** The path of the file, as the user gave it. */
  readonly file: string;
  readonly listen: ListenAddress;
  /** Undefined: plain HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly admin: ListenAddress | undefined;
  /** The token that the dashboard and its API require. */
  readonly adminToken: Secret | undefined;
  readonly environment: Environment;
  readonly routes: readonly RouteConfig[];
  readonly clients: readonly Client[];
  readonly open: boolean;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  /** Number of processes that serve. 1: only this process. */
  readonly workers: number;
  /** Undefined: each process has its own tokens. */
  readonly tokenStore: TokenStoreConfig | undefined;
  readonly maxConnections: number | undefined;
  /** How long an idle client connection stays open. */
  readonly keepAliveTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly log: LogSettings;
  /** Undefined: no tracing. */
  readonly tracing: Tracing | undefined;
}
