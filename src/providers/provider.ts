import type { JsonObject, JsonScalar } from '../json.ts';
import type { DerivedValue, DerivedValues, ProviderSignRule } from './sign-rule.ts';

export type Environment = 'sandbox' | 'production';

/** Base URLs without a trailing slash. `auth`: the host of the token endpoint, if it is not that of the API. */
export interface Hosts {
  readonly api: string;
  readonly auth?: string;
}

/** A key under `credentials` of a route. */
export interface CredentialField {
  readonly name: string;
  /** Its key in the configuration, if it is not `name` under `credentials`: `oauth2.key`. */
  readonly key?: string;
  /** Where the user finds it, in the provider's own words. */
  readonly description: string;
  /** False for a value that may be shown, such as a merchant code. */
  readonly secret: boolean;
  /** Without it, the rules that need it are off. A field with a default is never required anyway. */
  readonly optional?: boolean;
  /** What its text holds. `flag`: `true` or `false`. `private_key`, `public_key`: PEM, JWK or base64 DER. Default: `text`. */
  readonly kind?: 'text' | 'flag' | 'private_key' | 'public_key';
  /** The value if the user sets none: one for all environments, or one for some of them. */
  readonly default?: string | Readonly<Partial<Record<Environment, string>>>;
  /** An example, which the emulator uses too. Never for a secret. */
  readonly example?: string;
}

/** The value of the field in this environment if the user sets none. Undefined: the field is required. */
export function credentialDefault(field: CredentialField, environment: Environment): string | undefined {
  return typeof field.default === 'string' ? field.default : field.default?.[environment];
}

/** Encoding of the body of a token request. */
export type Encoding = 'json' | 'form' | 'multipart';

/** Signature algorithms of client assertions (RFC 7518 3.1, RFC 8037 3.1). */
export const ASSERTION_ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const;
export type AssertionAlgorithm = (typeof ASSERTION_ALGORITHMS)[number];

/** Methods of client authentication (RFC 6749 section 2.3, RFC 7523 section 2.2, RFC 8705 section 2). */
export const CLIENT_AUTHS = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
] as const;
export type ClientAuth = (typeof CLIENT_AUTHS)[number];

/** Whether the client certificate of the connection authenticates the client (RFC 8705 section 2). */
export function usesCertificate(auth: ClientAuth): boolean {
  return auth === 'tls_client_auth' || auth === 'self_signed_tls_client_auth';
}

/** Parts of an OAuth 2.0 token request that are not plain fields. Strings that are sent may contain placeholders. */
export interface OAuth2 {
  /** `client_secret_basic` form-encodes user and password before Basic encodes them (RFC 6749 section 2.3.1). */
  readonly clientAuth: ClientAuth;
  /** The issuer whose metadata names the token endpoint (RFC 8414), exactly as in the metadata. It replaces `path`. */
  readonly issuer?: string;
  /** Each becomes one `resource` parameter of the body (RFC 8707). */
  readonly resources?: readonly string[];
  /** For `private_key_jwt`. */
  readonly assertion?: {
    readonly clientId: string;
    /** PEM or JWK. */
    readonly key: string;
    readonly algorithm: AssertionAlgorithm;
    readonly keyId?: string;
    /** `aud` of the assertion. Default: the issuer or, without one, the token endpoint. */
    readonly audience?: string;
  };
}

/**
 * A request to a token endpoint. Strings may contain `{name}` placeholders: a credential field, or `refresh_token`.
 * They are percent-encoded in a path or query.
 */
export interface ExchangeRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Appended to the auth base URL, or an absolute URL. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** User and password of HTTP Basic (RFC 7617). */
  readonly basic?: readonly [user: string, password: string];
  /** A form has only texts, numbers and booleans. Placeholders are replaced in texts at any depth, not in names. */
  readonly body?: { readonly encoding: Encoding; readonly fields: JsonObject };
  readonly oauth2?: OAuth2;
  /** Computed for each token request. The strings of the request can use them as `{name}`. */
  readonly values?: DerivedValues;
}

/** Format of the body of a token response. `text`: the whole body is the token, plain or as a JSON string. */
export const RESPONSE_FORMATS = ['json', 'text', 'form'] as const;
export type ResponseFormat = (typeof RESPONSE_FORMATS)[number];

/** How to read a token response: dotted paths into its JSON, or names of form fields. */
export interface ExchangeResponse {
  /** Default: JSON, or a form if the response says that it is one. */
  readonly format?: ResponseFormat;
  readonly accessToken: string;
  /** Seconds from now: a number or a numeric string. */
  readonly expiresIn?: string;
  /** A point in time: epoch seconds, epoch milliseconds, or an ISO 8601 string. */
  readonly expiresAt?: string;
  readonly refreshToken?: string;
  /** API request headers from the response: paths by header name. Each value is a string, a number or a boolean. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Exchange {
  readonly request: ExchangeRequest;
  readonly response: ExchangeResponse;
}

/**
 * Matches a response by its status and by fields of its JSON body: an API response to a token that is no longer valid,
 * or a token response to wrong credentials.
 */
export interface ResponseRule {
  readonly status: number;
  /** Values by dotted path, compared with `hasValues`. All must match. */
  readonly body?: Readonly<Record<string, JsonScalar>>;
}

/** The header that carries the token on API requests. */
export interface TokenHeader {
  readonly name: string;
  /** The word before the token, separated by a space. Empty: the token alone. */
  readonly scheme: string;
  /** What follows the scheme, computed for each call from `{access_token}`. Default: the token. */
  readonly value?: DerivedValue;
}

export const DEFAULT_TOKEN_HEADER: TokenHeader = { name: 'authorization', scheme: 'Bearer' };

/** The query parameter that carries the token on API requests. */
export interface TokenQueryParameter {
  readonly name: string;
  /** Whether a header carries the token too. */
  readonly withHeader: boolean;
}

/** A header that is set on API requests. */
export interface HeaderRule {
  readonly name: string;
  /** One value, or one per environment. May contain `{name}` placeholders of credential fields. */
  readonly value: string | Readonly<Record<Environment, string>>;
  /** `set` replaces the header of the client. `default` is used only if the client sends none. */
  readonly mode: 'set' | 'default';
}

/** A path of the token endpoint. Wakala responds to requests for it on a route and never forwards them. */
export interface TokenPath {
  readonly method: ExchangeRequest['method'];
  /** Below the prefix of the route. A `{name}` segment matches any segment. */
  readonly path: string;
}

/** A documented GET that changes nothing and needs only the token and the headers of the route. */
interface ReadOnlyCall {
  /** Below the base URL, with a query if it needs one. May contain `{name}` placeholders of fields that are not secret. */
  readonly path: string;
  /** The public document that describes it. */
  readonly source: string;
}

/** Responses of the real provider, for its emulator and for placeholder token responses. */
export interface Samples {
  /** A complete token response. Token and lifetime fields are filled in and keep their JSON types. */
  readonly tokenResponse: JsonObject;
  readonly tokenFormat: 'jwt' | 'opaque';
  readonly accessLifetimeS: number;
  readonly refreshLifetimeS?: number;
  /** The token response to wrong credentials. */
  readonly deniedResponse: { readonly status: number; readonly body: JsonObject };
  /** The API response to a token that is no longer valid. */
  readonly deadTokenResponse: { readonly status: number; readonly body: JsonObject };
  /** An API request that works on a new account. `wakala dev` prints it as a curl command. */
  readonly call: {
    readonly method: 'GET' | 'POST';
    readonly path: string;
    /** Headers that the app sends. */
    readonly headers?: Readonly<Record<string, string>>;
    readonly json?: JsonObject;
    /** Members of the body that the app sends itself if no rule of the route fills them in. The emulator accepts them. */
    readonly unsigned?: JsonObject;
  };
}

/** The body that an app sends in the sample call, through a route with these rules. */
export function sampleBody({
  samples: { call },
  sign = [],
}: Pick<Provider, 'samples' | 'sign'>): JsonObject | undefined {
  const rules = sign.filter(({ calls }) => calls.includes(`${call.method} ${call.path}`));
  const filledIn = new Set(rules.flatMap(({ json }) => Object.keys(json ?? {})));
  const own = Object.entries(call.unsigned ?? {}).filter(([name]) => !filledIn.has(name));
  return call.json && { ...call.json, ...Object.fromEntries(own) };
}

/** A payment API as data: how to request its token, and how to recognise one that is no longer valid. */
export interface Provider {
  readonly name: string;
  readonly title: string;
  /** The sources of the facts. */
  readonly sources: readonly string[];
  /** Common mistakes, printed by `wakala providers NAME`. */
  readonly traps: readonly string[];
  /** Lines that a route needs in the file, in addition to `upstream` and `credentials`. */
  readonly settings?: readonly string[];
  /** Without hosts the user must set `upstream`. */
  readonly hosts?: Readonly<Record<Environment, Hosts>>;
  readonly credentials: readonly CredentialField[];
  readonly token: TokenMethod;
  readonly refresh?: Exchange;
  /** Lifetime in seconds, if neither the response nor the token itself says it. */
  readonly defaultLifetimeS: number;
  readonly deadToken: readonly ResponseRule[];
  /** Token responses to wrong credentials, in addition to 400, 401, 403 and 422. */
  readonly deniedToken?: readonly ResponseRule[];
  /** Default: `Authorization: Bearer`. */
  readonly tokenHeader?: TokenHeader;
  /** Default: none. */
  readonly tokenQuery?: TokenQueryParameter;
  readonly headers: readonly HeaderRule[];
  /** What Wakala computes on API calls besides the token. */
  readonly sign?: readonly ProviderSignRule[];
  readonly tokenPaths: readonly TokenPath[];
  /** What `wakala doctor --call` sends. Default: a GET of the base URL. */
  readonly readOnlyCall?: ReadOnlyCall;
  readonly samples: Samples;
}

/** How a route gets its token: by an exchange, or from a credential (`static`), or not at all (`token: none`). */
export type TokenMethod = Exchange | { readonly fixed: string } | typeof NO_TOKEN;

/** API calls carry no token. A rule may sign them. */
export const NO_TOKEN = { none: true } as const;

/** Whether API calls carry a token: not with `token: none`. */
export function hasToken(token: TokenMethod): token is Exchange | { readonly fixed: string } {
  return !('none' in token);
}

/** Whether tokens are requested from a token endpoint. */
export function isRequested(token: TokenMethod): token is Exchange {
  return 'request' in token;
}

/** The refresh token that a token request exchanges (RFC 6749 section 6), as it is written. Undefined for other grants. */
export function grantedRefreshToken({ query, body }: ExchangeRequest): string | undefined {
  const { grant_type: grant, refresh_token: refreshToken } = { ...query, ...body?.fields };
  return grant === 'refresh_token' && typeof refreshToken === 'string' ? refreshToken : undefined;
}
