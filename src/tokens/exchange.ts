import type { Clock } from '../clock.ts';
import { networkCode, ProxyError } from '../errors.ts';
import type { Log, LogFields } from '../log.ts';
import type { Exchange, Provider } from '../providers/provider.ts';
import type { Secret } from '../secret.ts';
import { readToken, serverNow, type TokenAnswer, unavailable, wordsOf } from './answer.ts';
import { tokenRequest, type TokenRequest } from './request.ts';
import type { ExchangeTally, Grant } from './tally.ts';
import type { Token } from './token.ts';

/** Sends one token request and reads its answer, up to 64 KiB; never follows a redirect. */
export type TokenTransport = (request: TokenRequest, signal: AbortSignal) => Promise<TokenAnswer>;

/** The base source: asks and remembers nothing. */
export interface TokenAsker {
  /**
   * Asks for a token: with the refresh token where one is given, and from the start if that fails.
   * @param after the last token that was had: another one is wanted
   * @throws ProxyError `token_denied` or `token_unavailable`
   */
  ask(refreshToken: Secret | undefined, after?: Token): Promise<Token>;
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
  readonly tally: ExchangeTally;
}

/** One question may take this long, whatever the deadlines of those who wait for it. */
const EXCHANGE_TIMEOUT_MS = 15_000;

export function tokenAsker(context: ExchangeContext): TokenAsker {
  const { provider, log, tally } = context;
  const tallied = async (grant: Grant, asked: Promise<Token>) => {
    try {
      const token = await asked;
      tally.add(grant, 'ok');
      return token;
    } catch (error) {
      tally.add(grant, error instanceof ProxyError && error.code === 'token_denied' ? 'denied' : 'unavailable');
      throw error;
    }
  };
  return {
    async ask(refreshToken) {
      if (refreshToken !== undefined && provider.refresh !== undefined) {
        const note: Note = (fields) => log.info(fields, 'refresh failed');
        try {
          return await tallied('refresh', exchange(context, provider.refresh, refreshToken, note));
        } catch (error) {
          if (isThrottled(error)) throw error;
          log.info({ provider: provider.name }, 'authorizing afresh');
        }
      }
      const note: Note = (fields) => log.warn(fields, 'token exchange failed');
      return await tallied('credentials', exchange(context, context.token, undefined, note));
    },
  };
}

/** Logs a failure, as grave as it is. */
type Note = (fields: LogFields) => void;

/** A token endpoint that says when to come back means the full exchange as well. */
function isThrottled(error: unknown): boolean {
  return error instanceof ProxyError && error.retryAfterS !== undefined;
}

async function exchange(
  context: ExchangeContext,
  asked: Exchange,
  refreshToken: Secret | undefined,
  note: Note,
): Promise<Token> {
  const { provider, clock } = context;
  const values = new Map([...context.credentials].map(([name, secret]) => [name, secret.reveal()]));
  if (refreshToken !== undefined) values.set('refresh_token', refreshToken.reveal());
  const request = await tokenRequest(asked.request, context.authServer, (name) => values.get(name));
  const place = { provider: provider.name, token_host: new URL(request.url).host };
  const answer = await send(context, request, (fields) => note({ ...place, ...fields }));
  try {
    return readToken(answer, asked.response, provider.defaultLifetimeS, clock.now());
  } catch (error) {
    const failed = answer.status < 200 || answer.status > 299;
    const sent = [...values.values(), ...(request.headers['authorization']?.split(' ').slice(1) ?? [])];
    // A 2xx without a usable token may still hold one under another name.
    const words = failed ? { provider_said: wordsOf(answer, sent) } : {};
    note({ ...place, status: answer.status, error: messageOf(error), ...words });
    throw error;
  }
}

async function send(context: ExchangeContext, request: TokenRequest, note: Note): Promise<TokenAnswer> {
  const { transport, clock } = context;
  const abort = new AbortController();
  const cancel = clock.after(EXCHANGE_TIMEOUT_MS, () => abort.abort());
  try {
    const answer = await transport(request, abort.signal);
    const serverNowMs = serverNow(answer);
    context.tally.clockSkewMs = serverNowMs === undefined ? undefined : serverNowMs - clock.now();
    return answer;
  } catch (cause) {
    const what = abort.signal.aborted
      ? `it did not answer within ${EXCHANGE_TIMEOUT_MS / 1000} s`
      : `it could not be asked (${networkCode(cause)})`;
    note({ error: what });
    // Of its cause the code alone: a parser's error carries the answer it could not read, token and all.
    throw unavailable(what, { code: abort.signal.aborted ? 'ETIMEDOUT' : networkCode(cause) });
  } finally {
    cancel();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
