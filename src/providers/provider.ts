import type { Algorithm } from '../client-assertion.ts';
import type { JsonObject } from '../json.ts';

export type Environment = 'sandbox' | 'production';

/** Base URLs without a trailing slash. `auth` only where tokens come from another host than the API. */
export interface Hosts {
  readonly api: string;
  readonly auth?: string;
}

/** A value the user must give under `credentials:`. */
export interface CredentialField {
  readonly name: string;
  /** Where the user finds it, in the provider's own words. */
  readonly description: string;
  /** False for what may be shown, such as a merchant code. */
  readonly secret: boolean;
  /** What it is if the user gives none: one value, or one for some of the environments. */
  readonly default?: string | Readonly<Partial<Record<Environment, string>>>;
  /** A value as it may look; the emulator's too. Never of a secret. */
  readonly example?: string;
}

/** What the field is in this environment if the user gives none; undefined if it must be given. */
export function defaultOf(field: CredentialField, environment: Environment): string | undefined {
  return typeof field.default === 'string' ? field.default : field.default?.[environment];
}

/** How the fields of a token request travel. */
export type Encoding = 'json' | 'form' | 'multipart';

/** How a client shows to a token endpoint who it is (RFC 6749 2.3, RFC 7523 2.2, RFC 8705 2). */
export const CLIENT_AUTHS = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
] as const;
export type ClientAuth = (typeof CLIENT_AUTHS)[number];

/** What OAuth 2.0 asks for beyond fields that can be spelled out. Strings of what is sent may hold placeholders. */
export interface OAuth2 {
  /** With `client_secret_basic`, user and password are form-encoded before they become Basic (RFC 6749 2.3.1). */
  readonly clientAuth: ClientAuth;
  /** Whose metadata names the token endpoint (RFC 8414), as it names itself there. The request's `path` is then none. */
  readonly issuer?: string;
  /** Each a `resource` of its own in the body (RFC 8707). */
  readonly resources?: readonly string[];
  /** With `private_key_jwt`. */
  readonly assertion?: {
    readonly clientId: string;
    /** PEM or JWK. */
    readonly key: string;
    readonly algorithm: Algorithm;
    readonly keyId?: string;
    /** Its `aud`; the issuer unless given, or the token endpoint where no issuer is known. */
    readonly audience?: string;
  };
  /** With `tls_client_auth`: PEM texts. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

/**
 * One request to a token endpoint. Strings may hold `{name}` placeholders: a credential field, or
 * `refresh_token`. In a path or query they are percent-encoded.
 */
export interface ExchangeRequest {
  readonly method: 'GET' | 'POST';
  /** Appended to the auth base URL, or an absolute URL. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** User and password of HTTP Basic (RFC 7617). */
  readonly basic?: readonly [user: string, password: string];
  readonly body?: { readonly encoding: Encoding; readonly fields: Readonly<Record<string, string>> };
  readonly oauth2?: OAuth2;
}

/** Where the answer holds what: dotted paths into its JSON. */
export interface ExchangeResponse {
  readonly accessToken: string;
  /** Seconds from now: a number or a numeric string. */
  readonly expiresIn?: string;
  /** A point in time: epoch seconds, epoch milliseconds, or an ISO 8601 string. */
  readonly expiresAt?: string;
  readonly refreshToken?: string;
  /** Headers of API calls whose values the answer gives: paths by header name. Each value is a string, number or boolean. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Exchange {
  readonly request: ExchangeRequest;
  readonly response: ExchangeResponse;
}

/**
 * An answer that means one thing: on an API call "this token is dead", of a token endpoint "these credentials are wrong".
 * Its status, and, where given, fields of its JSON body too.
 */
export interface DeadTokenRule {
  readonly status: number;
  /** Dotted path to the exact value it must have. All must match. */
  readonly body?: Readonly<Record<string, string | number>>;
}

/** Which header carries the token on API calls. */
export interface TokenHeader {
  readonly name: string;
  /** Stands before the token, with a space between; empty: the token alone. */
  readonly scheme: string;
}

export const BEARER: TokenHeader = { name: 'authorization', scheme: 'Bearer' };

/** A header put on API calls. */
export interface HeaderRule {
  readonly name: string;
  /** One value, or one for each environment. May hold `{name}` placeholders of credential fields. */
  readonly value: string | Readonly<Record<Environment, string>>;
  /** `set` replaces the client's; `default` yields to it. */
  readonly mode: 'set' | 'default';
}

/** A login of the provider's that clients may call through a route: answered here, never forwarded. */
export interface TokenPath {
  readonly method: 'GET' | 'POST';
  /** Below the route's prefix. A `{name}` segment matches any one segment. */
  readonly path: string;
}

/** What the provider really sends: the emulator and the placeholder logins answer in its words. */
export interface Samples {
  /** One whole answer of the token endpoint. Token and lifetime fields are filled in, keeping their JSON types. */
  readonly tokenAnswer: JsonObject;
  readonly tokenFormat: 'jwt' | 'opaque';
  readonly accessLifetimeS: number;
  readonly refreshLifetimeS?: number;
  /** What wrong credentials get from the token endpoint. */
  readonly deniedAnswer: { readonly status: number; readonly body: JsonObject };
  /** What an API call with a dead token gets. */
  readonly deadAnswer: { readonly status: number; readonly body: JsonObject };
  /** One API call that works on a fresh account; shown as a curl line by `wakala dev`. */
  readonly call: { readonly method: 'GET' | 'POST'; readonly path: string; readonly json?: JsonObject };
}

/** A payment API as data: how to ask for its token, and what a dead one looks like. */
export interface Provider {
  readonly name: string;
  readonly title: string;
  /** Where the facts come from. */
  readonly sources: readonly string[];
  /** What people trip over; printed by `wakala providers NAME`. */
  readonly traps: readonly string[];
  /** What a route needs beside `upstream` and `credentials`, as its lines stand in a file. */
  readonly settings?: readonly string[];
  /** Absent where the user must name the `upstream`. */
  readonly hosts?: Readonly<Record<Environment, Hosts>>;
  readonly credentials: readonly CredentialField[];
  /** How to ask. A fixed token (`static`) is never asked for: it is a credential. */
  readonly token: Exchange | { readonly fixed: string };
  readonly refresh?: Exchange;
  /** Used when neither the answer nor the token itself says how long it lives. Seconds. */
  readonly defaultLifetimeS: number;
  readonly deadToken: readonly DeadTokenRule[];
  /** Answers of the token endpoint that say that the credentials are wrong, beside a plain 400, 401, 403 or 422. */
  readonly deniedToken?: readonly DeadTokenRule[];
  /** `Authorization: Bearer` unless given. */
  readonly tokenHeader?: TokenHeader;
  readonly headers: readonly HeaderRule[];
  readonly tokenPaths: readonly TokenPath[];
  readonly samples: Samples;
}

export function isFixed(token: Provider['token']): token is { readonly fixed: string } {
  return 'fixed' in token;
}
