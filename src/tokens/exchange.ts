import type { Clock } from '../clock.ts';
import { diagnose } from '../diagnosis/diagnosis.ts';
import { tokenContext } from '../diagnosis/diagnosis-context.ts';
import { networkCode, networkReason, ProxyError, type Reason } from '../errors.ts';
import type { Log, LogFields } from '../logger.ts';
import type { Exchange, Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { readToken, serverTimeMs, type TokenResponse, tokenUnavailable, redactedBody } from './token-response.ts';
import { Discovery, type Found, type FoundEndpoints } from './discovery.ts';
import { tokenRequest, type TokenRequest } from './token-request.ts';
import type { ExchangeStats, Grant } from './exchange-stats.ts';
import type { Token } from './token.ts';

/** Sends one token request and reads its answer, up to 64 KiB; never follows a redirect. */
export type TokenTransport = (request: TokenRequest, signal: AbortSignal) => Promise<TokenResponse>;

/** The base source: asks and remembers nothing. */
export interface TokenFetcher {
  /**
   * Asks for a token: with the refresh token where one is given, and from the start if that fails.
   * @param after the last token that was had: another one is wanted. What came with it stays with a refreshed one.
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  fetch(refreshToken: Secret | undefined, after?: Token): Promise<Token>;
  /** Calls back with tokens that others got for the same credential. @returns a function that ends it */
  watch?(adopt: (token: Token) => void): () => void;
}

export interface ExchangeContext {
  readonly provider: Provider;
  readonly token: Exchange;
  readonly authServer: string;
  readonly credentials: ReadonlyMap<string, Secret>;
  readonly transport: TokenTransport;
  readonly clock: Clock;
  readonly log: Log;
  readonly stats: ExchangeStats;
  /** Gets every token endpoint that an issuer names, before a token is requested there. */
  readonly foundEndpoints?: FoundEndpoints | undefined;
}

/** One question may take this long, whatever the deadlines of those who wait for it. */
export const EXCHANGE_TIMEOUT_MS = 15_000;

export function tokenFetcher(context: ExchangeContext): TokenFetcher {
  const { provider, token, clock, log, stats: stats } = context;
  const { issuer, clientAuth } = token.request.oauth2 ?? {};
  const discovery = issuer && clientAuth && new Discovery(issuer, clientAuth, clock);
  const asking: FetchContext = { ...context, discovery: discovery || undefined, missed: new Set() };
  const tallied = async (grant: Grant, asked: Promise<Token>) => {
    try {
      const token = await asked;
      stats.add(grant, 'ok');
      return token;
    } catch (error) {
      stats.add(grant, error instanceof ProxyError && error.code === 'token_denied' ? 'denied' : 'unavailable');
      throw error;
    }
  };
  return {
    async fetch(refreshToken, after) {
      if (refreshToken !== undefined && provider.refresh !== undefined) {
        const note: OnFailure = (fields) => log.info('token_refresh_failed', fields);
        try {
          const token = await tallied('refresh', exchange(asking, provider.refresh, refreshToken, note));
          return completed(asking, provider.refresh, token, after);
        } catch (error) {
          if (isThrottled(error)) throw error;
          log.info('token_reauthorizing', { provider: provider.name });
        }
      }
      const note: OnFailure = (fields) => log.warn('token_exchange_failed', fields);
      return completed(asking, token, await tallied('credentials', exchange(asking, token, undefined, note)));
    },
  };
}

/** An fetcher's own: what it was made with, and what it found out since. */
interface FetchContext extends ExchangeContext {
  /** Undefined where it is known from the start whom to ask. */
  readonly discovery: Discovery | undefined;
  /** Headers that an answer had no value for: said once, not for every token. */
  readonly missed: Set<string>;
}

/** The token with the headers that `before` had and its own answer did not give. */
function completed(
  { log, provider, missed }: FetchContext,
  { response }: Exchange,
  token: Token,
  before?: Token,
): Token {
  const has = (name: string) => token.headers.some(([given]) => given === name);
  const kept = (before?.headers ?? []).filter(([name]) => !has(name));
  const headers = [...token.headers, ...kept];
  for (const [name, path] of Object.entries(response.headers ?? {})) {
    if (missed.has(name) || headers.some(([given]) => given === name)) continue;
    missed.add(name);
    const fields = { provider: provider.name, header: name, path };
    log.warn('token_header_missing', fields);
  }
  return kept.length === 0 ? token : { ...token, headers };
}

/** Logs a failure, as grave as it is. */
type OnFailure = (fields: LogFields) => void;

/** A token endpoint that says when to come back means the full exchange as well. */
function isThrottled(error: unknown): boolean {
  return error instanceof ProxyError && error.retryAfterS !== undefined;
}

async function exchange(
  asking: FetchContext,
  asked: Exchange,
  refreshToken: Secret | undefined,
  note: OnFailure,
): Promise<Token> {
  const { clock } = asking;
  const abort = new AbortController();
  const cancel = clock.after(EXCHANGE_TIMEOUT_MS, () => abort.abort());
  try {
    const found = await endpointOf(asking, abort.signal, note);
    const token = await exchangeAt(found?.endpoint, asking, asked, { refreshToken, signal: abort.signal, note });
    return found === undefined ? token : { ...token, endpoints: found.named };
  } finally {
    cancel();
  }
}

/** Undefined where it is known without asking. */
async function endpointOf(asking: FetchContext, signal: AbortSignal, note: OnFailure): Promise<Found | undefined> {
  const { provider, discovery, token, foundEndpoints } = asking;
  if (discovery === undefined) return undefined;
  const place = { provider: provider.name, issuer: token.request.oauth2?.issuer };
  try {
    // What is wrong is said below, once.
    const found = await discovery.find((request) => send(asking, request, signal, () => {}));
    for (const url of found.named) foundEndpoints?.add(url);
    return found;
  } catch (error) {
    note({ ...place, error: messageOf(error), ...hintField(asking, error) });
    throw error;
  }
}

interface ExchangeQuestion {
  readonly refreshToken: Secret | undefined;
  readonly signal: AbortSignal;
  readonly note: OnFailure;
}

async function exchangeAt(
  endpoint: string | undefined,
  asking: FetchContext,
  asked: Exchange,
  { refreshToken, signal, note }: ExchangeQuestion,
): Promise<Token> {
  const { provider, clock, stats: stats, discovery } = asking;
  const values = new Map([...asking.credentials].map(([name, secret]) => [name, secret.reveal()]));
  if (refreshToken !== undefined) values.set('refresh_token', refreshToken.reveal());
  // Its clock decides whether a signature is too old, or not yet good.
  const moment = { endpoint, nowMs: clock.now() + (stats.clockSkewMs ?? 0) };
  const request = await tokenRequest(asked.request, asking.authServer, (name) => values.get(name), moment);
  const place = { provider: provider.name, token_host: new URL(request.url).host };
  const answer = await send(asking, request, signal, (fields) => {
    discovery?.forget();
    note({ ...place, ...fields });
  });
  if (answer.status === 404 || answer.status === 410) discovery?.forget();
  try {
    return readToken(answer, asked.response, provider.defaultLifetimeS, clock.now(), provider.deniedToken);
  } catch (error) {
    const failed = answer.status < 200 || answer.status > 299;
    // A 2xx without a usable token may still hold one under another name.
    const known = new Set(provider.credentials.flatMap(({ name, secret }) => (secret ? [] : [name])));
    const secrets = [...values].flatMap(([name, value]) => (known.has(name) ? [] : [value]));
    const words = failed ? { provider_said: redactedBody(answer, [...secrets, ...proofsIn(request)]) } : {};
    const hint = hintField(asking, error, words.provider_said);
    note({ ...place, status: answer.status, error: messageOf(error), ...words, ...hint });
    throw error;
  }
}

/** What a request shows of the client beside its credentials as they are. */
function proofsIn({ headers, body }: TokenRequest): string[] {
  const assertion = /(?:^|&)client_assertion=([^&]+)/.exec(Buffer.from(body ?? []).toString('latin1'))?.[1];
  return [...(headers['authorization']?.split(' ').slice(1) ?? []), ...(assertion === undefined ? [] : [assertion])];
}

async function send(
  context: FetchContext,
  request: TokenRequest,
  signal: AbortSignal,
  note: OnFailure,
): Promise<TokenResponse> {
  const { transport, clock } = context;
  try {
    const answer = await transport(request, signal);
    const serverNowMs = serverTimeMs(answer);
    context.stats.clockSkewMs = serverNowMs === undefined ? undefined : serverNowMs - clock.now();
    return answer;
  } catch (cause) {
    const { host } = new URL(request.url);
    const code = signal.aborted ? 'ETIMEDOUT' : networkCode(cause);
    const what = signal.aborted
      ? `no response from ${host} within ${EXCHANGE_TIMEOUT_MS / 1000} s`
      : `${code} at ${host}`;
    const reason: Reason = signal.aborted
      ? { kind: 'timeout', phase: 'token', timeoutMs: EXCHANGE_TIMEOUT_MS, host }
      : networkReason(cause, host);
    // Of its cause the code alone: a parser's error carries the answer it could not read, token and all.
    const failure = tokenUnavailable(what, reason, { cause: { code } });
    note({ error: what, ...hintField(context, failure) });
    throw failure;
  }
}

function hintField(context: FetchContext, error: unknown, providerSaid?: string): { readonly hint?: string } {
  if (!(error instanceof ProxyError) || error.reason === undefined) return {};
  return { hint: diagnose(error.reason, { ...tokenContext(context), providerSaid }).hint };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
