import type { RouteConfig } from '../config/config.ts';
import type { TokenFailure } from '../tokens/tally.ts';
import { type Advice, networkAdvice } from './network-advice.ts';

/** Why a route gets no new token, and what to do about it. */
export function tokenAdvice(route: RouteConfig, failure: TokenFailure): Advice {
  if (failure.code === 'token_denied') return deniedAdvice(route);
  const host = tokenHostOf(route);
  if (/did not answer within/.test(failure.detail)) return slowAdvice(host);
  const network = failure.cause === undefined ? undefined : networkAdvice(failure.cause, host);
  return network ?? answerAdvice(route, failure.detail, host);
}

/** Host of the token endpoint, with its port if it is unusual. */
export function tokenHostOf({ provider, authServer }: RouteConfig): string {
  const path = 'fixed' in provider.token ? '' : provider.token.request.path;
  const whole = /^https?:\/\//.test(path) && URL.canParse(path) ? path : authServer;
  return new URL(whole).host;
}

function deniedAdvice(route: RouteConfig): Advice {
  const { provider, environment, name } = route;
  const fields = provider.credentials.map((field) => `\`${field.name}\``).join(' and ') || 'the credentials';
  const host = tokenHostOf(route);
  if (environment === 'production') {
    return {
      code: 'denied_in_production',
      what: `${provider.title} refused the credentials of this route on its production host ${host}.`,
      todo: `Two causes look alike from here: ${fields} are wrong, or they are those of the sandbox, which production does not know. \`wakala doctor '${name}'\` tells which.`,
    };
  }
  return {
    code: 'denied_in_sandbox',
    what: `${provider.title} refused the credentials of this route on its sandbox host ${host}: they are wrong.`,
    todo: `Copy ${fields} once more from the app's page at the provider, both of the same app, without quotes or spaces around them. What the provider said is in the log of Wakala.`,
  };
}

function slowAdvice(host: string): Advice {
  return {
    code: 'token_endpoint_slow',
    what: `The token endpoint at ${host} takes the connection but does not answer in time.`,
    todo: 'It is overloaded or half down: nothing on this side is wrong. Wakala goes on trying as calls come; the status page of the provider tells more.',
  };
}

/** Of an answer that came, but gave no token. */
function answerAdvice({ name }: RouteConfig, detail: string, host: string): Advice {
  const asked = `The token endpoint at ${host}`;
  const status = /it answered (\d{3})/.exec(detail)?.[1] ?? '';
  const cases: (readonly [applies: boolean, ...advice: [code: string, what: string, todo: string]])[] = [
    [
      status === '429',
      'token_endpoint_throttles',
      `${asked} says that it is asked too often (429).`,
      REMEDIES.throttles,
    ],
    [
      detail.includes('HTML page'),
      'token_endpoint_html',
      `${asked} answered ${status} with a web page in place of a token: a firewall or a maintenance page.`,
      REMEDIES.html,
    ],
    [status.startsWith('5'), 'token_endpoint_down', `${asked} is down: it answered ${status}.`, REMEDIES.down],
    [
      detail.includes('expired already'),
      'token_expired_at_once',
      `${asked} gave a token that has expired already.`,
      REMEDIES.expired,
    ],
    [
      status !== '',
      'token_answer_unusable',
      `${asked} answered ${status}, but gave no token that can be used. ${detail}`,
      `${REMEDIES.unusable} \`wakala doctor '${name}'\` shows the exchange step by step.`,
    ],
    [true, 'token_unavailable', detail, `\`wakala doctor '${name}'\` tries every step of it, one after another.`],
  ];
  const [, code, what, todo] = cases.find(([applies]) => applies) ?? [true, 'token_unavailable', detail, ''];
  return { code, what, todo };
}

const REMEDIES = {
  throttles:
    'Find who else asks with the same credentials: each app, each copy of Wakala. Copies of Wakala share one token with `token_store`.',
  html: 'Open that host in a browser to read the page. If it is a firewall of the provider, it may have to be told the address of this machine.',
  down: 'Nothing on this side is wrong. Wakala goes on trying as calls come; the status page of the provider tells more.',
  expired:
    'Check the date and time of this machine (NTP), and `token.response` where the configuration spells the exchange out.',
  unusable:
    'Check `auth_server` (under `oauth2`: `issuer` or `token_endpoint`) and, where the route has one, its `token` block: `response.access_token` says where the token is in the answer.',
};
