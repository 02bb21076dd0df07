import { networkCode, ProxyError } from '../../errors.ts';
import { type Log, silentLog } from '../../log.ts';
import type { Exchange } from '../../providers/provider.ts';
import { type TokenResponse, unavailable } from '../../tokens/answer.ts';
import { tokenFetcher } from '../../tokens/exchange.ts';
import type { CredentialUse } from '../../tokens/sources.ts';
import { ExchangeStats } from '../../tokens/tally.ts';
import type { Token } from '../../tokens/token.ts';
import type { Probes } from './world.ts';

/** What a token endpoint's answer looked like; nothing of what it held. */
export interface AnswerShape {
  readonly status: number;
  readonly isPage: boolean;
}

/** What came of asking for a token once. */
export interface Attempt {
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
export async function attemptExchange(use: CredentialUse, token: Exchange, world: Probes): Promise<Attempt> {
  const { clock } = world;
  const tally = new ExchangeStats();
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
  const warn: Log['warn'] = (fields) => {
    const said = fields['provider_said'];
    if (typeof said === 'string' && said.trim() !== '') words = said;
  };
  const asker = tokenFetcher({ ...use, token, transport, clock, tally, log: { ...silentLog, warn } });
  const got = await asker.fetch(undefined).catch(proxyErrorOf);
  return { got, answer, asked, words, skewMs: tally.clockSkewMs, tookMs: clock.now() - startMs };
}

function proxyErrorOf(error: unknown): ProxyError {
  return error instanceof ProxyError ? error : unavailable(`it could not be asked (${networkCode(error)})`);
}

function isPage({ body, headers }: TokenResponse): boolean {
  return /^\s*</.test(body) || (headers['content-type'] ?? '').startsWith('text/html');
}
