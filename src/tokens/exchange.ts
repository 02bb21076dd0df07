import type { Clock } from '../clock.ts';
import { diagnose } from '../diagnosis/diagnosis.ts';
import { tokenContext } from '../diagnosis/diagnosis-context.ts';
import { EgressError, networkCode, networkReason, ProxyError, type Reason } from '../errors.ts';
import type { ConnectOptions } from '../http/client/connect-options.ts';
import type { Log, LogFields } from '../logger.ts';
import { type Exchange, grantedRefreshToken, type Provider } from '../providers/provider.ts';
import type { DerivedValues } from '../providers/sign-rule.ts';
import { fill, placeholdersIn } from '../providers/template.ts';
import { Secret } from '../secret.ts';
import { fromBytes, toBytes } from '../signing/rule-template.ts';
import type { ValueScope } from '../signing/scope.ts';
import { CompiledValues, type ComputedValues } from '../signing/value-list.ts';
import { type DiscoveredEndpoints, Discovery, type IssuerMetadata } from './discovery.ts';
import type { ExchangeStats, Grant } from './exchange-stats.ts';
import type { Token } from './token.ts';
import { type TokenRequest, tokenRequest } from './token-request.ts';
import {
  readToken,
  redactedBody,
  redirectOf,
  serverTimeMs,
  type TokenResponse,
  tokenUnavailable,
} from './token-response.ts';

/** Sends a token request and reads the response, up to 64 KiB. It does not follow redirects. */
export type TokenTransport = (request: TokenRequest, signal: AbortSignal) => Promise<TokenResponse>;

/** Fetches tokens for one credential, and remembers none. */
export interface TokenFetcher {
  /**
   * Uses the refresh token if there is one. If that fails, it uses the credentials.
   * @param after the last token, to be replaced by another. A refreshed token keeps the headers of that one.
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  fetch(refreshToken: Secret | undefined, after?: Token): Promise<Token>;
  /** Calls back with tokens that other processes fetched for this credential. @returns a function that ends it */
  watch?(adopt: (token: Token) => void): () => void;
}

interface FetcherContext {
  readonly provider: Provider;
  /** The exchange of credentials for a token. */
  readonly token: Exchange;
  readonly authServer: string;
  readonly credentials: ReadonlyMap<string, Secret>;
  /** How connections to the token endpoint and to the issuer are made. Default: directly. */
  readonly tokenConnection?: ConnectOptions | undefined;
  readonly tokenTimeoutMs: number;
  readonly transport: TokenTransport;
  readonly clock: Clock;
  readonly log: Log;
  readonly stats: ExchangeStats;
  /** Gets every token endpoint that an issuer names, before a token is requested there. */
  readonly discoveredEndpoints?: DiscoveredEndpoints | undefined;
}

/** A fetcher that sends the token requests itself. */
export type TokenRequester = Pick<ProviderTokenFetcher, 'fetch' | 'timeoutMs' | 'configuredRefreshToken'>;

/** Fetches tokens from the token endpoint of a provider. */
export class ProviderTokenFetcher implements TokenFetcher {
  /** Time limit of one exchange. It does not depend on the deadlines of the requests that wait for the token. */
  timeoutMs: number;
  /** The refresh token among the credentials, if the credential is one. No login can replace it. */
  readonly configuredRefreshToken: Secret | undefined;
  readonly #context: FetcherContext;
  /** Undefined if the configuration names the token endpoint. */
  readonly #discovery: Discovery | undefined;
  /** Headers that were missing in a token response. Each is logged once, not for every token. */
  readonly #missingHeaders = new Set<string>();
  /** Whether `token_lifetime_ignored` was logged. It is logged once, not for every token. */
  #lifetimeLogged = false;
  /** The values of token requests, compiled when they are first needed. */
  readonly #compiledValues = new Map<Exchange, CompiledValues>();
  /** The refresh token that was refused, or that may be used up. It is not sent again. */
  #spentRefreshToken: Secret | undefined;

  constructor(context: FetcherContext) {
    const { issuer, clientAuth } = context.token.request.oauth2 ?? {};
    this.#context = context;
    this.timeoutMs = context.tokenTimeoutMs;
    this.configuredRefreshToken = configuredRefreshToken(context);
    const { allowAddresses } = context.tokenConnection ?? {};
    this.#discovery =
      issuer && clientAuth ? new Discovery(issuer, clientAuth, context.clock, allowAddresses) : undefined;
  }

  async fetch(refreshToken: Secret | undefined, after?: Token): Promise<Token> {
    const { provider, token: exchange } = this.#context;
    const unusable = [this.#spentRefreshToken, this.configuredRefreshToken];
    const isUsable = refreshToken !== undefined && !unusable.some((each) => each?.equals(refreshToken.reveal()));
    if (isUsable && provider.refresh !== undefined) {
      try {
        const token = await this.#exchange('refresh', provider.refresh, refreshToken);
        // RFC 6749 section 6: without a new refresh token, the old one stays valid.
        return this.#withHeaders(
          { ...token, refreshToken: token.refreshToken ?? refreshToken },
          provider.refresh,
          after,
        );
      } catch (error) {
        this.#onRefreshFailed(error, refreshToken);
      }
    }
    const token = await this.#exchange('credentials', exchange, undefined);
    this.#spentRefreshToken = undefined;
    return this.#withHeaders(token, exchange);
  }

  /** @throws the error, if the credentials may not be used now */
  #onRefreshFailed(error: unknown, refreshToken: Secret): void {
    const { provider, log } = this.#context;
    const { code, retryAfterS } = error instanceof ProxyError ? error : {};
    const isDenied = code === 'token_denied';
    // The one in the configuration is older. A server that rotates refresh tokens may revoke all of them when an older one
    // is used (RFC 9700 section 4.14.2), so use it only if the newest one is refused.
    if (this.configuredRefreshToken !== undefined && !isDenied) throw error;
    // A provider may accept a refresh token once, and may have accepted it if no response arrived.
    if (isDenied || retryAfterS === undefined) this.#spentRefreshToken = refreshToken;
    // `Retry-After` applies to the exchange of the credentials too.
    if (retryAfterS !== undefined) throw error;
    if (this.configuredRefreshToken === undefined) log.info('token_reauthorizing', { provider: provider.name });
    else log.warn('refresh_token_refused', { provider: provider.name });
  }

  /** One exchange, with its time limit and statistics. */
  async #exchange(grant: Grant, exchange: Exchange, refreshToken: Secret | undefined): Promise<Token> {
    const { clock, stats } = this.#context;
    const abort = new AbortController();
    const cancelTimeout = clock.after(this.timeoutMs, () => abort.abort());
    try {
      const token = await this.#requestToken(grant, exchange, refreshToken, abort.signal);
      stats.add(grant, 'ok');
      return token;
    } catch (error) {
      stats.add(grant, error instanceof ProxyError && error.code === 'token_denied' ? 'denied' : 'unavailable');
      throw error;
    } finally {
      cancelTimeout();
    }
  }

  async #requestToken(
    grant: Grant,
    exchange: Exchange,
    refreshToken: Secret | undefined,
    signal: AbortSignal,
  ): Promise<Token> {
    const { provider, authServer, credentials, clock, stats } = this.#context;
    const metadata = await this.#findEndpoint(grant, signal);
    const values = new Map([...credentials].map(([name, secret]) => [name, secret.reveal()]));
    if (refreshToken !== undefined) values.set('refresh_token', refreshToken.reveal());
    // The token endpoint checks the times of signatures and client assertions by its own clock.
    const nowMs = clock.now() + (stats.clockSkewMs ?? 0);
    const computed = await this.#computeValues(grant, exchange, values.get('refresh_token'), nowMs);
    for (const [name, value] of computed?.byName ?? []) values.set(name, fromBytes(value));
    const request = await tokenRequest(exchange.request, authServer, (name) => values.get(name), {
      endpoint: metadata?.tokenEndpoint,
      nowMs,
    });
    const secretsInRequest = () => [
      ...this.#secretsIn(request, refreshToken),
      ...(computed?.secrets.map(fromBytes) ?? []),
    ];
    const logFields = { provider: provider.name, token_host: new URL(request.url).host };
    let response: TokenResponse;
    try {
      response = await this.#send(request, signal);
    } catch (error) {
      this.#discovery?.forget();
      this.#logFailure(grant, error, logFields);
      throw error;
    }
    if (response.status === 404 || response.status === 410) this.#discovery?.forget();
    try {
      const token = readToken(
        response,
        exchange.response,
        provider.defaultLifetimeS,
        clock.now(),
        provider.deniedToken,
        redirectOf(response, request.url, secretsInRequest),
      );
      this.#logIgnoredLifetime(token);
      const { clockSkewMs } = stats;
      return { ...token, clockSkewMs, ...(metadata !== undefined && { endpoints: metadata.allEndpoints }) };
    } catch (error) {
      const isSuccess = response.status >= 200 && response.status <= 299;
      // A successful response may hold a token under another name, so it is not quoted.
      const isQuoted = !isSuccess && response.bodyProblem === undefined;
      const providerSaid = isQuoted ? redactedBody(response.body, secretsInRequest()) : undefined;
      this.#logFailure(grant, error, { ...logFields, status: response.status }, providerSaid);
      throw error;
    }
  }

  /**
   * The `values` of the request, which are new for each request. Undefined if it has none.
   * @throws ProxyError `token_unavailable` if one cannot be computed
   */
  async #computeValues(
    grant: Grant,
    exchange: Exchange,
    refreshToken: string | undefined,
    nowMs: number,
  ): Promise<ComputedValues | undefined> {
    if (exchange.request.values === undefined) return undefined;
    try {
      const compiled = this.#compiledValues.get(exchange) ?? this.#compileValues(exchange.request.values);
      this.#compiledValues.set(exchange, compiled);
      const bytes = refreshToken === undefined ? undefined : toBytes(refreshToken);
      return await compiled.compute(() => bytes, nowMs);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      const { provider, credentials: known } = this.#context;
      const names = new Set(placeholdersIn(JSON.stringify(exchange.request.values)));
      const credentials = [...names].filter((name) => known.has(name));
      const problem = error.message.replace(/\.$/, '');
      const failure = tokenUnavailable(problem, { kind: 'value_impossible', problem, credentials });
      this.#logFailure(grant, failure, { provider: provider.name });
      throw failure;
    }
  }

  /** @throws ProxyError `signature_impossible` */
  #compileValues(values: DerivedValues): CompiledValues {
    const { provider, credentials } = this.#context;
    const fields = provider.credentials.map(({ name }) => [name, credentials.get(name)] as const);
    const known = new Map([...fields, ...credentials]);
    // The newest refresh token replaces the one in the configuration.
    known.delete('refresh_token');
    const scope: ValueScope = {
      credentials: known,
      publicCredentials: new Set(provider.credentials.flatMap(({ name, secret }) => (secret ? [] : name))),
      names: ['refresh_token'],
      hasRequest: false,
    };
    return new CompiledValues(values, scope, ({ text }) => {
      throw new ProxyError('signature_impossible', text);
    });
  }

  /** Undefined if the configuration names the token endpoint. */
  async #findEndpoint(grant: Grant, signal: AbortSignal): Promise<IssuerMetadata | undefined> {
    const { provider, token, discoveredEndpoints } = this.#context;
    if (this.#discovery === undefined) return undefined;
    try {
      const metadata = await this.#discovery.find((request) => this.#send(request, signal));
      for (const url of metadata.allEndpoints) discoveredEndpoints?.add(url);
      return metadata;
    } catch (error) {
      this.#logFailure(grant, error, { provider: provider.name, issuer: token.request.oauth2?.issuer });
      throw error;
    }
  }

  /** @throws ProxyError `token_unavailable` if there is no response */
  async #send(request: TokenRequest, signal: AbortSignal): Promise<TokenResponse> {
    const { transport, tokenConnection, clock, stats } = this.#context;
    try {
      const response = await transport({ ...request, connection: tokenConnection }, signal);
      const serverNowMs = serverTimeMs(response);
      stats.clockSkewMs = serverNowMs === undefined ? undefined : serverNowMs - clock.now();
      return response;
    } catch (cause) {
      const { host } = new URL(request.url);
      const { timeoutMs } = this;
      const code = signal.aborted ? 'ETIMEDOUT' : networkCode(cause);
      const failure = cause instanceof EgressError ? cause.message : `${code} at ${host}`;
      const problem = signal.aborted ? `no response from ${host} within ${timeoutMs / 1000} s` : failure;
      const reason: Reason = signal.aborted
        ? { kind: 'timeout', phase: 'token', timeoutMs, host }
        : networkReason(cause, host);
      // Only the code of the cause: the error of a parser holds the response, and maybe a token.
      throw tokenUnavailable(problem, reason, { cause: { code } });
    }
  }

  /** The texts that must not be logged: secret credentials, the Authorization header, and the client assertion. */
  #secretsIn({ headers, body }: TokenRequest, refreshToken: Secret | undefined): string[] {
    const { provider, credentials } = this.#context;
    const publicFields = new Set(provider.credentials.flatMap((field) => (field.secret ? [] : field.name)));
    const secrets = [...credentials].flatMap(([name, value]) => (publicFields.has(name) ? [] : value.reveal()));
    if (refreshToken !== undefined) secrets.push(refreshToken.reveal());
    const assertion = /(?:^|&)client_assertion=([^&]+)/.exec(Buffer.from(body ?? []).toString('latin1'))?.[1];
    const authorization = headers['authorization']?.split(' ').slice(1) ?? [];
    return [...secrets, ...authorization, ...(assertion === undefined ? [] : [assertion])];
  }

  #logFailure(grant: Grant, error: unknown, request: LogFields, providerSaid?: string): void {
    const { log } = this.#context;
    const reason = error instanceof ProxyError ? error.reason : undefined;
    const fields = {
      ...request,
      ...(reason?.kind === 'redirected' && { location: reason.location }),
      error: error instanceof Error ? error.message : String(error),
      ...(providerSaid === undefined ? {} : { provider_said: providerSaid }),
      ...this.#hint(error, providerSaid),
    };
    // After a failed refresh, Wakala uses the credentials. No action is needed yet.
    if (grant === 'refresh') log.info('token_refresh_failed', fields);
    else log.warn('token_exchange_failed', fields);
  }

  #hint(error: unknown, providerSaid: string | undefined): { readonly hint?: string } {
    if (!(error instanceof ProxyError) || error.reason === undefined) return {};
    return { hint: diagnose(error.reason, { ...tokenContext(this.#context), providerSaid }).hint };
  }

  #logIgnoredLifetime({ expiredField, expiresAtMs, issuedAtMs }: Token): void {
    if (expiredField === undefined || this.#lifetimeLogged) return;
    this.#lifetimeLogged = true;
    const { log, provider } = this.#context;
    const lifetime_s = Math.round((expiresAtMs - issuedAtMs) / 1000);
    log.warn('token_lifetime_ignored', { provider: provider.name, ...expiredField, lifetime_s });
  }

  /** Adds the headers of the last token that the response of a refresh did not repeat. */
  #withHeaders(token: Token, exchange: Exchange, after?: Token): Token {
    const { log, provider } = this.#context;
    const names = new Set(token.headers.map(([name]) => name));
    const kept = (after?.headers ?? []).filter(([name]) => !names.has(name));
    const headers = [...token.headers, ...kept];
    for (const [name, path] of Object.entries(exchange.response.headers ?? {})) {
      if (this.#missingHeaders.has(name) || headers.some(([given]) => given === name)) continue;
      this.#missingHeaders.add(name);
      log.warn('token_header_missing', { provider: provider.name, header: name, path });
    }
    return kept.length === 0 ? token : { ...token, headers };
  }
}

function configuredRefreshToken({ provider, token, credentials }: FetcherContext): Secret | undefined {
  const template = provider.refresh && grantedRefreshToken(token.request);
  return template === undefined ? undefined : new Secret(fill(template, (name) => credentials.get(name)?.reveal()));
}
