import type { RouteConfig } from '../../config/config.ts';
import { ProxyError } from '../../errors.ts';
import { type Exchange, isFixed } from '../../providers/provider.ts';
import { type Attempt, attemptExchange } from './exchange.ts';
import { failed, type Finding, ok, skipped } from './finding.ts';
import { checkLifetime } from './lifetime.ts';
import { type Origins, sentCredentials } from './origins.ts';
import { checkClock } from './skew.ts';
import { formatSeconds, formatList } from './spoken.ts';
import { sandboxFor, tokenUrl } from './token-url.ts';
import type { Probes } from './world.ts';

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
