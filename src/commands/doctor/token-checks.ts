import type { RouteConfig } from '../../config/config.ts';
import { getAt, parseSource } from '../../config/source.ts';
import { networkCode, ProxyError } from '../../errors.ts';
import { type Log, silentLog } from '../../logger.ts';
import {
  type Environment,
  type Exchange,
  type ExchangeResponse,
  isFixed,
  type Provider,
} from '../../providers/provider.ts';
import { placeholdersIn } from '../../providers/template.ts';
import { ExchangeStats } from '../../tokens/exchange-stats.ts';
import { tokenFetcher } from '../../tokens/exchange.ts';
import { type TokenResponse, tokenUnavailable } from '../../tokens/token-response.ts';
import type { TokenCredential } from '../../tokens/token-sources.ts';
import type { Token } from '../../tokens/token.ts';
import { failed, type Finding, formatList, formatSeconds, ok, skipped, warning } from './finding.ts';
import type { Probes } from './probes.ts';

/** Where a route's token is asked for, placeholders and all; undefined for a fixed key. */
export function tokenUrl({ provider, authServer }: Pick<RouteConfig, 'provider' | 'authServer'>): string | undefined {
  if (isFixed(provider.token)) return undefined;
  const { path } = provider.token.request;
  return isWholeUrl(path) ? path : authServer + path;
}

/**
 * The sandbox to try credentials at that the production host refused. Undefined unless the route is a production one
 * at the provider's own hosts, and these are others than the sandbox's.
 */
function sandboxFor(route: Pick<RouteConfig, 'provider' | 'environment' | 'upstream' | 'authServer'>) {
  const { provider, environment, upstream, authServer } = route;
  const { hosts, token } = provider;
  if (environment !== 'production' || hosts === undefined || isFixed(token)) return undefined;
  const atOwnHosts = upstream === hosts.production.api && authServer === authOf(hosts, 'production');
  if (!atOwnHosts || isWholeUrl(token.request.path)) return undefined;
  const sandbox = authOf(hosts, 'sandbox');
  return sandbox === authServer ? undefined : sandbox;
}

function authOf(hosts: NonNullable<Provider['hosts']>, environment: Environment): string {
  const { api, auth } = hosts[environment];
  return auth ?? api;
}

function isWholeUrl(path: string): boolean {
  return /^https?:\/\//.test(path);
}

/** Where the value of a credential comes from, `$MPESA_CONSUMER_KEY`; undefined where that is not known. */
export type Origins = (route: string, field: string) => string | undefined;

/** Reads them from the text of a good configuration file. Never shows a value. */
export function originsIn(file: string, text: string): Origins {
  const { values } = parseSource(file, text);
  return (route, field) => {
    const written = getAt(values, ['routes', route, 'credentials', field]);
    // A value without references may be written as a number too.
    if (typeof written === 'number') return file;
    if (typeof written !== 'string') return undefined;
    const references = [...written.matchAll(/(?<!\$)\$\{(?:file:([^}]*)|([A-Za-z_][A-Za-z0-9_]*))/g)];
    const named = references.map(([, path, name]) => (path === undefined ? `$${name ?? ''}` : `the file ${path}`));
    return named.length === 0 ? file : named.join(' and ');
  };
}

/** The credentials that a route's token request sends, each with where its value comes from. */
export function sentCredentials({ name: route, provider }: Pick<RouteConfig, 'name' | 'provider'>, origins: Origins) {
  if (isFixed(provider.token)) return [];
  const sent = new Set(placeholdersIn(JSON.stringify(provider.token.request)));
  return provider.credentials
    .filter(({ name }) => sent.has(name))
    .map(({ name, description }) => {
      const origin = origins(route, name);
      return origin === undefined ? `\`${name}\` (${description})` : `\`${name}\` (from ${origin})`;
    });
}

/** What a token endpoint's answer looked like; nothing of what it held. */
interface AnswerShape {
  readonly status: number;
  readonly isPage: boolean;
}

/** What came of asking for a token once. */
interface Attempt {
  readonly got: Token | ProxyError;
  /** Undefined where there was no whole answer. */
  readonly answer: AnswerShape | undefined;
  /** Method of the request that it answers. */
  readonly asked: string | undefined;
  /** The provider's own words on a refusal, the secrets cut out of them. */
  readonly words: string | undefined;
  /** How far the token endpoint's clock is ahead of ours. Milliseconds; undefined if it did not say. */
  readonly skewMs: number | undefined;
  readonly tookMs: number;
}

/** Asks for a token in the way the proxy does, with the credentials, and keeps it from everyone. Never throws. */
async function attemptExchange(use: TokenCredential, token: Exchange, world: Probes): Promise<Attempt> {
  const { clock } = world;
  const stats = new ExchangeStats();
  const startMs = clock.now();
  let answer: AnswerShape | undefined;
  let asked: string | undefined;
  let words: string | undefined;
  const transport: Probes['transport'] = async (request, signal) => {
    const whole = await world.transport(request, signal);
    answer = { status: whole.status, isPage: isPage(whole) };
    asked = request.method;
    return whole;
  };
  const warn: Log['warn'] = (_event, fields) => {
    const said = fields?.['provider_said'];
    if (typeof said === 'string' && said.trim() !== '') words = said;
  };
  const fetcher = tokenFetcher({ ...use, token, transport, clock, stats: stats, log: { ...silentLog, warn } });
  const got = await fetcher.fetch(undefined).catch(proxyErrorOf);
  return { got, answer, asked, words, skewMs: stats.clockSkewMs, tookMs: clock.now() - startMs };
}

function proxyErrorOf(error: unknown): ProxyError {
  return error instanceof ProxyError
    ? error
    : tokenUnavailable(`it could not be asked (${networkCode(error)})`, { kind: 'internal' });
}

function isPage({ body, headers }: TokenResponse): boolean {
  return /^\s*</.test(body) || (headers['content-type'] ?? '').startsWith('text/html');
}

/** A token that lives shorter is worth a warning. */
const SHORT_MS = 60_000;

/** Says how long a token lives, what said so, and when the next one is asked for. */
function checkLifetime(token: Token, response: ExchangeResponse, defaultLifetimeS: number): Finding {
  const lifetimeMs = token.expiresAtMs - token.issuedAtMs;
  const lifetime = formatSeconds(lifetimeMs);
  const ahead = `refreshed ${formatSeconds(token.expiresAtMs - token.refreshAtMs)} before its end`;
  if (token.lifetimeSource === 'default') {
    return warning(
      `the answer says nothing of a lifetime, so ${formatSeconds(defaultLifetimeS * 1000)} is assumed; ${ahead}`,
      'set `token: {default_lifetime: ...}` on the route to what the provider documents',
    );
  }
  const saw = `${lifetime}, as ${sourceOf(token, response)} says; ${ahead}`;
  if (lifetimeMs >= SHORT_MS) return ok(saw);
  const remedy = 'ask the provider whether it means seconds: so short a life costs an exchange every time';
  return warning(saw, remedy);
}

/** The field of the answer that told the lifetime. */
function sourceOf({ lifetimeSource }: Token, { expiresIn, expiresAt }: ExchangeResponse): string {
  if (lifetimeSource === 'expires_in') return `\`${expiresIn ?? 'expires_in'}\``;
  if (lifetimeSource === 'expires_at') return `\`${expiresAt ?? 'expires_at'}\` (a point in time)`;
  return '`exp` in the token itself';
}

/** Above this the two clocks differ more than delay and rounding explain. */
const NOTABLE_MS = 30_000;

/** Above this, tokens and signatures with a time in them are refused. */
const HARMFUL_MS = 5 * 60_000;

/** `skewMs`: how far the token endpoint's clock is ahead of ours; undefined if it did not say. */
export function checkClock(skewMs: number | undefined): Finding {
  if (skewMs === undefined) return skipped("the token endpoint's answer has no `Date`");
  const apart = Math.abs(skewMs);
  const saw = `this machine's clock is ${formatSeconds(apart)} ${skewMs > 0 ? 'behind' : 'ahead of'} the token endpoint's`;
  // The header has whole seconds.
  if (apart <= NOTABLE_MS) return ok(apart < 2000 ? "this machine's clock agrees with the token endpoint's" : saw);
  const remedy = "synchronise this machine's clock with NTP, for example with chrony (`chronyc tracking` shows it)";
  return apart > HARMFUL_MS ? failed('wrong', saw, remedy) : warning(saw, remedy);
}

/** What one credential's token endpoint told. */
export interface CredentialFindings {
  readonly token: Finding;
  readonly lifetime: Finding;
  readonly clock: Finding;
}

/** Asks for a token with a route's credentials, once. */
export async function checkCredential(
  route: RouteConfig,
  origins: Origins,
  world: Probes,
): Promise<CredentialFindings> {
  const { provider } = route;
  if (isFixed(provider.token)) return notTried('a fixed key is put on calls as it is and never asked for');
  const attempt = await attemptExchange(route, provider.token, world);
  const { got, skewMs, answer } = attempt;
  return {
    token: await judge(route, provider.token, attempt, { origins, world }),
    lifetime:
      got instanceof ProxyError
        ? skipped('there is no token')
        : checkLifetime(got, provider.token.response, provider.defaultLifetimeS),
    clock: answer === undefined ? skipped('there is no answer to compare with') : checkClock(skewMs),
  };
}

/** The findings where no token is asked for. */
export function notTried(why: string): CredentialFindings {
  return { token: skipped(why), lifetime: skipped('no token was asked for'), clock: skipped('no token was asked for') };
}

async function judge(
  route: RouteConfig,
  token: Exchange,
  attempt: Attempt,
  { origins, world }: { readonly origins: Origins; readonly world: Probes },
): Promise<Finding> {
  const { got, tookMs } = attempt;
  const host = new URL(tokenUrl(route) ?? route.upstream).host;
  if (!(got instanceof ProxyError)) {
    return ok(`${host} gave out token ${got.fingerprint} in ${formatSeconds(tookMs)}`);
  }
  if (got.code !== 'token_denied') return failedToFetch(attempt, got, token);
  const sent = sentCredentials(route, origins);
  const check = sent.length === 0 ? 'check the token request of the route' : `check ${formatList(sent)}`;
  const { words, answer } = attempt;
  const refused = `${host} refused the credentials with ${answer?.status ?? 'a refusal'}`;
  const saw = words === undefined ? refused : `${refused} and said ${words}`;
  if (await worksInSandbox(route, token, world)) {
    return failed(
      'denied',
      `${refused}, and the sandbox took them: these are sandbox credentials on the production host`,
      `set \`environment: sandbox\` on the route, or use the production credentials: ${check}`,
    );
  }
  const hint = route.environment === 'sandbox' ? '; production credentials on a sandbox host look just like this' : '';
  const traps = route.provider.traps.length > 0 ? `; \`wakala providers ${route.provider.name}\` tells more` : '';
  return failed('denied', saw, `${check}${hint}${traps}`);
}

/** Whether credentials that the production host refused are good at the sandbox. Never the other way round. */
async function worksInSandbox(route: RouteConfig, token: Exchange, world: Probes): Promise<boolean> {
  const authServer = sandboxFor(route);
  if (authServer === undefined) return false;
  const { provider, credentials } = route;
  const { got } = await attemptExchange({ provider, authServer, credentials }, token, world);
  return !(got instanceof ProxyError);
}

function failedToFetch(attempt: Attempt, error: ProxyError, token: Exchange): Finding {
  const wait = error.retryAfterS === undefined ? '' : ` (come back in ${formatSeconds(error.retryAfterS * 1000)})`;
  const said = attempt.words === undefined || attempt.answer?.isPage === true ? '' : `; it said ${attempt.words}`;
  return failed('unreachable', `${error.message.replace(/\.$/, '')}${wait}${said}`, remedyFor(attempt, token));
}

function remedyFor({ answer, asked }: Attempt, { request }: Exchange): string {
  if (answer === undefined) return 'try again; if it stays so, ask the provider whether its token endpoint is up';
  const { status, isPage } = answer;
  const { oauth2 } = request;
  // The last that was asked was the issuer: it did not say where to ask for tokens.
  if (oauth2?.issuer !== undefined && asked === 'GET' && status < 500 && status !== 429) {
    return 'check `issuer`: it is written as its metadata has it; for a server without metadata set `token_endpoint`';
  }
  const place = oauth2 === undefined ? 'auth_server' : oauth2.issuer === undefined ? 'token_endpoint' : 'issuer';
  if (status === 429) return 'wait, and let one Wakala hold this credential: too many ask for tokens with it';
  if (isPage) {
    return `a firewall or a wrong host answers: check \`${place}\`, and whether the provider must allow this machine's address`;
  }
  if (status >= 500) return "the trouble is the provider's: try again later, and see its status page";
  if (status >= 300 && status < 400) return `redirects are not followed: name the place itself as \`${place}\``;
  if (status < 300) return 'compare `token: {response: ...}` of the route with what the provider documents';
  if (oauth2 !== undefined) return `check \`${place}\` under \`oauth2\` of the route`;
  return 'check `auth_server` of the route, and path and method of its token request';
}
