import type { RouteConfig } from '../../config/config.ts';
import { getAt, parseSource } from '../../config/source.ts';
import { diagnose, diagnoseClock } from '../../diagnosis/diagnosis.ts';
import { isAbsoluteUrl, sentCredentials, tokenContext } from '../../diagnosis/diagnosis-context.ts';
import { ProxyError } from '../../errors.ts';
import { type Log, silentLog } from '../../logger.ts';
import {
  type Environment,
  type Exchange,
  type ExchangeResponse,
  grantedRefreshToken,
  hasToken,
  isRequested,
  type Provider,
} from '../../providers/provider.ts';
import { ProviderTokenFetcher } from '../../tokens/exchange.ts';
import { ExchangeStats } from '../../tokens/exchange-stats.ts';
import type { Token, TokenSource } from '../../tokens/token.ts';
import { tokenUnavailable } from '../../tokens/token-response.ts';
import type { TokenCredential } from '../../tokens/token-sources.ts';
import { type CheckResult, failed, formatSeconds, ok, skipped, warning } from './check-result.ts';
import type { Probes } from './probes.ts';

/**
 * The sandbox where credentials can be tried that the production host refused. Undefined unless the route uses the
 * provider's own production hosts, and the sandbox has other hosts.
 */
function sandboxFor(route: Pick<RouteConfig, 'provider' | 'environment' | 'upstream' | 'authServer'>) {
  const { provider, environment, upstream, authServer } = route;
  const { hosts, token } = provider;
  if (environment !== 'production' || hosts === undefined || !isRequested(token)) return undefined;
  const usesOwnHosts = upstream === hosts.production.api && authServer === authOf(hosts, 'production');
  if (!usesOwnHosts || isAbsoluteUrl(token.request.path)) return undefined;
  const sandbox = authOf(hosts, 'sandbox');
  return sandbox === authServer ? undefined : sandbox;
}

function authOf(hosts: NonNullable<Provider['hosts']>, environment: Environment): string {
  const { api, auth } = hosts[environment];
  return auth ?? api;
}

/** Where the value of a credential comes from, such as `$MPESA_CONSUMER_KEY`; undefined if that is not known. */
export type Origins = (route: string, field: string) => string | undefined;

/** Reads them from the text of a valid configuration file. Never returns a value. */
export function originsIn(file: string, text: string): Origins {
  const { values } = parseSource(file, text);
  return (route, field) => {
    const written = getAt(values, ['routes', route, 'credentials', field]);
    // A value without references may also be written as a number.
    if (typeof written === 'number') return file;
    if (typeof written !== 'string') return undefined;
    const references = [...written.matchAll(/(?<!\$)\$\{(?:file:([^}]*)|([A-Za-z_][A-Za-z0-9_]*))/g)];
    const named = references.map(([, path, name]) => (path === undefined ? `$${name ?? ''}` : `the file ${path}`));
    return named.length === 0 ? file : named.join(' and ');
  };
}

/** The credentials that a route's token request sends, each with where its value comes from. */
export function describeSent({ name: route, provider }: Pick<RouteConfig, 'name' | 'provider'>, origins: Origins) {
  return sentCredentials(provider).map(({ name, key = name, description }) => {
    const origin = origins(route, name);
    return origin === undefined ? `\`${key}\` (${description})` : `\`${key}\` (from ${origin})`;
  });
}

/** The result of one token request. */
interface Attempt {
  readonly token: Token | ProxyError;
  readonly hasResponse: boolean;
  /** What the provider said about a refusal, without secrets. */
  readonly providerSaid: string | undefined;
  /** How far the clock of the token endpoint is ahead of this machine's. Milliseconds; undefined if it is not known. */
  readonly skewMs: number | undefined;
  readonly durationMs: number;
}

/** Requests a token with the credentials, as the proxy does, and does not store it. Never throws. */
async function requestToken(use: TokenCredential, exchange: Exchange, probes: Probes): Promise<Attempt> {
  const { clock } = probes;
  const stats = new ExchangeStats();
  const startMs = clock.now();
  let hasResponse = false;
  let providerSaid: string | undefined;
  const transport: Probes['transport'] = async (request, signal) => {
    const response = await probes.transport(request, signal);
    hasResponse = true;
    return response;
  };
  const warn: Log['warn'] = (_event, fields = {}) => {
    const said = fields['provider_said'];
    if (typeof said === 'string' && said.trim() !== '') providerSaid = said;
  };
  const log = { ...silentLog, warn };
  const fetcher = new ProviderTokenFetcher({ ...use, token: exchange, transport, clock, stats, log });
  const token = await fetcher.fetch(undefined).catch(proxyErrorOf);
  return { token, hasResponse, providerSaid, skewMs: stats.clockSkewMs, durationMs: clock.now() - startMs };
}

function proxyErrorOf(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  return tokenUnavailable('Wakala could not send it', { kind: 'internal' }, { cause });
}

/** A shorter lifetime is worth a warning. */
const MIN_LIFETIME_MS = 60_000;

function checkLifetime(token: Token, response: ExchangeResponse, defaultLifetimeS: number): CheckResult {
  const lifetimeMs = token.expiresAtMs - token.issuedAtMs;
  const refreshed = `refreshed ${formatSeconds(token.expiresAtMs - token.refreshAtMs)} before it ends`;
  if (token.lifetimeSource === 'default') {
    return warning({
      what: `The response has no lifetime. Wakala assumes ${formatSeconds(defaultLifetimeS * 1000)}; ${refreshed}.`,
      hint: 'Set `token: {default_lifetime: ...}` on the route to what the provider documents.',
    });
  }
  const lifetime = `${formatSeconds(lifetimeMs)} (from ${lifetimeFieldOf(token, response)}), ${refreshed}`;
  if (token.expiredField !== undefined) {
    const { field, value } = token.expiredField;
    return warning({
      what: `The response says that the token has expired already: \`${field}\` is ${value}. Wakala uses it for ${lifetime}.`,
      hint: 'Compare `token.response` of the route with what the provider documents, and check the clock of this machine. `token: {default_lifetime: ...}` sets the lifetime.',
    });
  }
  if (lifetimeMs >= MIN_LIFETIME_MS) return ok(lifetime);
  const hint = 'Ask the provider whether the number means seconds: so short a lifetime causes many token requests.';
  return warning({ what: `${lifetime}.`, hint });
}

function lifetimeFieldOf({ lifetimeSource }: Token, { expiresIn, expiresAt }: ExchangeResponse): string {
  if (lifetimeSource === 'expires_in') return `\`${expiresIn ?? 'expires_in'}\``;
  if (lifetimeSource === 'expires_at') return `\`${expiresAt ?? 'expires_at'}\`, a point in time`;
  if (lifetimeSource === 'jwt') return '`exp` in the token itself';
  return '`default_lifetime`';
}

/** Above this, tokens and signatures with a time in them are refused. */
const HARMFUL_SKEW_MS = 5 * 60_000;

/** @param skewMs how far the clock at `host` is ahead of this machine's; undefined if the response does not say */
export function checkClock(skewMs: number | undefined, host: string): CheckResult {
  if (skewMs === undefined) return skipped('the response has no `Date`');
  const diagnosis = diagnoseClock(skewMs, host);
  if (diagnosis !== undefined) {
    return Math.abs(skewMs) > HARMFUL_SKEW_MS ? failed('wrong', diagnosis) : warning(diagnosis);
  }
  // `Date` has whole seconds.
  const difference = Math.abs(skewMs) < 2000 ? '' : `, within ${formatSeconds(Math.abs(skewMs))}`;
  return ok(`the clock of this machine agrees with that of ${host}${difference}`);
}

export interface CredentialResults {
  readonly token: CheckResult;
  readonly lifetime: CheckResult;
  readonly clock: CheckResult;
  /** The token that was received, or that is not requested. Undefined if there is none. */
  readonly issued: Token | undefined;
}

/**
 * Requests one token with the credentials of a route.
 * @param source of the route; only a token that is not requested is taken from it
 */
export async function checkCredential(
  route: RouteConfig,
  source: TokenSource,
  { origins, probes }: { readonly origins: Origins; readonly probes: Probes },
): Promise<CredentialResults> {
  const { provider } = route;
  if (!isRequested(provider.token)) {
    const what = hasToken(provider.token) ? 'a fixed key' : '`token: none`';
    const results = skippedCredential(`${what}: there is no token request`);
    return { ...results, issued: source.current() };
  }
  if (provider.refresh && grantedRefreshToken(provider.token.request) !== undefined) {
    return skippedCredential(
      'the credential is a refresh token, which a token request may use up; start Wakala, and look for `token_fetched` in its log',
    );
  }
  const attempt = await requestToken(route, provider.token, probes);
  const { token, hasResponse, skewMs } = attempt;
  return {
    token: await checkToken(route, provider.token, attempt, { origins, probes }),
    lifetime:
      token instanceof ProxyError
        ? skipped('there is no token')
        : checkLifetime(token, provider.token.response, provider.defaultLifetimeS),
    clock: hasResponse
      ? checkClock(skewMs, tokenContext(route).host ?? 'the token endpoint')
      : skipped('there is no response to compare with'),
    issued: token instanceof ProxyError ? undefined : token,
  };
}

/** The checks of a credential if no token is requested. */
export function skippedCredential(why: string): CredentialResults {
  return {
    token: skipped(why),
    lifetime: skipped('there is no token'),
    clock: skipped('there is no response'),
    issued: undefined,
  };
}

async function checkToken(
  route: RouteConfig,
  exchange: Exchange,
  { token, providerSaid, durationMs }: Attempt,
  { origins, probes }: { readonly origins: Origins; readonly probes: Probes },
): Promise<CheckResult> {
  const context = tokenContext(route);
  if (!(token instanceof ProxyError)) {
    return ok(`received token ${token.fingerprint} from ${context.host} in ${formatSeconds(durationMs)}`);
  }
  const { reason, retryAfterS } = token;
  const wait = retryAfterS === undefined ? '' : ` It allows the next request in ${formatSeconds(retryAfterS * 1000)}.`;
  const isDenied = token.code === 'token_denied';
  const { what, hint } = diagnose(reason ?? { kind: 'internal' }, {
    ...context,
    // Doctor does not recommend itself.
    route: undefined,
    credentials: describeSent(route, origins),
    worksInSandbox: isDenied && (await worksInSandbox(route, exchange, probes)),
    providerSaid,
  });
  const { name, traps } = route.provider;
  const more = isDenied && traps.length > 0 ? ` \`wakala providers ${name}\` has more about this provider.` : '';
  return failed(isDenied ? 'denied' : 'unreachable', { what: `${what}${wait}`, hint: `${hint}${more}` });
}

/** Whether the sandbox accepts credentials that the production host refused. It never tries the other way round. */
async function worksInSandbox(route: RouteConfig, exchange: Exchange, probes: Probes): Promise<boolean> {
  const authServer = sandboxFor(route);
  if (authServer === undefined) return false;
  const { token } = await requestToken({ ...route, authServer }, exchange, probes);
  return !(token instanceof ProxyError);
}
