import { formatDuration } from '../format.ts';

import type { CredentialSnapshot, Reloads } from '../telemetry/snapshot.ts';
import type { RouteConfig } from '../config/config.ts';
import type { LastFailure } from '../telemetry/route-stats.ts';
import type { TokenFailure } from '../tokens/exchange-stats.ts';
import type { StoreStatus } from '../tokens/store/store.ts';

/** Something that is wrong, in words for a person who never saw it before. */
interface Advice {
  /** A short lasting name of the case. */
  readonly code: string;
  readonly what: string;
  readonly todo: string;
}

type Words = (host: string) => Omit<Advice, 'code'>;

const NO_NAME: Words = (host) => ({
  what: `No host is named ${host}: DNS does not know it.`,
  todo: `Check how the host is spelled in \`upstream\`, \`auth_server\` and \`oauth2\`. If it is right, ask from this machine with \`nslookup ${host}\`.`,
});

const NO_RESOLVER: Words = (host) => ({
  what: `The DNS resolver of this machine gives no answer, so ${host} cannot be found.`,
  todo: 'Check the network and the resolver of this machine (/etc/resolv.conf; in Kubernetes, the cluster DNS and network policies for port 53).',
});

const REFUSED: Words = (host) => ({
  what: `${host} refuses connections: nothing listens there.`,
  todo: 'The service is down, or the host or port in the configuration is wrong. Compare `upstream`, `auth_server` and `oauth2`, then look at the status page of the provider.',
});

const UNREACHABLE: Words = (host) => ({
  what: `There is no way from this machine to ${host}.`,
  todo: 'Check the network, the VPN and the firewall of this machine: it must be let out to that host.',
});

const TIMEOUT: Words = (host) => ({
  what: `${host} did not answer in time.`,
  todo: 'A firewall that drops connections looks the same as a service that is overloaded. Try it from another network; some providers let in only addresses they were told.',
});

const RESET: Words = (host) => ({
  what: `${host} broke the connection off.`,
  todo: 'If it happens on every try, something between here and the provider cuts it (a firewall, a proxy, a list of allowed addresses). If it happens now and then, the provider restarts or is overloaded.',
});

const EXPIRED: Words = (host) => ({
  what: `The TLS certificate of ${host} has expired, so nothing is sent to it.`,
  todo: 'Check the date and time of this machine first. If they are right, the owner of that host must renew the certificate.',
});

const NOT_YET: Words = (host) => ({
  what: `The TLS certificate of ${host} is not valid yet, so nothing is sent to it.`,
  todo: 'Most often the clock of this machine is behind: turn time synchronisation (NTP) on.',
});

const OTHER_NAME: Words = (host) => ({
  what: `The TLS certificate that answers at ${host} is for another name.`,
  todo: 'Check how the host is spelled in `upstream`, `auth_server` and `oauth2`. If it is right, something answers in its place: a captive portal or a proxy that opens TLS.',
});

const UNTRUSTED: Words = (host) => ({
  what: `The TLS certificate of ${host} is signed by nobody that this machine trusts.`,
  todo: 'A proxy of your company that opens TLS, or a test server with a certificate of its own? Give Node its root: `NODE_EXTRA_CA_CERTS=/path/to/root.pem`. Checking is never turned off.',
});

const NO_TLS: Words = (host) => ({
  what: `${host} and Wakala could not agree on TLS.`,
  todo: 'Check that the port speaks HTTPS, and that nothing between here and there opens TLS.',
});

const LINK_LOCAL: Words = (host) => ({
  what: `DNS leads ${host} to a link-local or cloud metadata address, where no token is sent.`,
  todo: 'Check the DNS of this machine: the name must lead to the provider.',
});

const NO_HTTP: Words = (host) => ({
  what: `${host} answered something that is no valid HTTP.`,
  todo: 'Check the port and the scheme (http or https) in the configuration. If they are right, tell the provider.',
});

const CASES: readonly (readonly [code: string, of: RegExp, words: Words])[] = [
  ['dns_no_such_name', /^ENOTFOUND$|^ENODATA$/, NO_NAME],
  ['dns_no_answer', /^EAI_/, NO_RESOLVER],
  ['connection_refused', /^ECONNREFUSED$/, REFUSED],
  ['unreachable', /^EHOSTUNREACH$|^ENETUNREACH$|^ENETDOWN$|^EHOSTDOWN$|^EADDRNOTAVAIL$/, UNREACHABLE],
  ['timeout', /^ETIMEDOUT$|_TIMEOUT$/, TIMEOUT],
  ['connection_reset', /^ECONNRESET$|^EPIPE$|^ECONNABORTED$|^UND_ERR_SOCKET$/, RESET],
  ['tls_expired', /^CERT_HAS_EXPIRED$/, EXPIRED],
  ['tls_not_yet_valid', /^CERT_NOT_YET_VALID$/, NOT_YET],
  ['tls_other_name', /^ERR_TLS_CERT_ALTNAME_INVALID$/, OTHER_NAME],
  ['tls_untrusted', /SELF_SIGNED|UNABLE_TO_|^CERT_|^INVALID_CA$|SIGNATURE_FAILURE/, UNTRUSTED],
  ['tls_failed', /^EPROTO$|^ERR_SSL_|^ERR_TLS_/, NO_TLS],
  ['link_local_address', /^LINK_LOCAL_ADDRESS$/, LINK_LOCAL],
  ['no_http', /^HPE_|^HTTPParserError$/, NO_HTTP],
];

/** What a network error's code says of a host; undefined for a code that says nothing. */
function diagnoseNetwork(code: string, host: string): Advice | undefined {
  const found = CASES.find(([, of]) => of.test(code));
  if (found === undefined) return undefined;
  const { what, todo } = found[2](host);
  return { code: found[0], what: `${what.slice(0, -1)} (${code}).`, todo };
}

/** Why a route gets no new token, and what to do about it. */
function diagnoseToken(route: RouteConfig, { code, reason, detail }: TokenFailure): Advice {
  const host = tokenHostOf(route);
  const asked = `The token endpoint at ${host}`;
  const again = `\`wakala doctor '${route.name}'\``;
  if (code === 'token_denied') return deniedAdvice(route);
  switch (reason?.kind) {
    case 'timeout':
      return slowAdvice(reason.host);
    case 'network': {
      const network = diagnoseNetwork(reason.code, reason.host);
      if (network !== undefined) return network;
      break;
    }
    case 'malformed_response':
      return { code: 'no_http', ...NO_HTTP(reason.host ?? host) };
    case 'html_page': {
      const what = `${asked} answered ${reason.status} with a web page in place of a token: a firewall or a maintenance page.`;
      return { code: 'token_endpoint_html', what, todo: REMEDIES.html };
    }
    case 'token_expired_at_once': {
      const what = `${asked} gave a token that has expired already.`;
      return { code: 'token_expired_at_once', what, todo: REMEDIES.expired };
    }
    case 'http_status':
    case 'no_token_endpoint':
    case 'no_usable_token': {
      const { status } = reason;
      if (status === 429) {
        const what = `${asked} says that it is asked too often (429).`;
        return { code: 'token_endpoint_throttles', what, todo: REMEDIES.throttles };
      }
      if (status >= 500) {
        return { code: 'token_endpoint_down', what: `${asked} is down: it answered ${status}.`, todo: REMEDIES.down };
      }
      const what = `${asked} answered ${status}, but gave no token that can be used. ${detail}`;
      const todo = `${REMEDIES.unusable} ${again} shows the exchange step by step.`;
      return { code: 'token_answer_unusable', what, todo };
    }
    default:
      break;
  }
  return { code: 'token_unavailable', what: detail, todo: `${again} tries every step of it, one after another.` };
}

/** Host of the token endpoint, with its port if it is unusual. */
function tokenHostOf({ provider, authServer }: RouteConfig): string {
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

const UNSURE = 'The provider may have acted on the call: ask it for the outcome before the app sends it again.';

/** Why the last call of a route failed, and what to do about it; undefined if its token was the reason. */
function diagnoseCall(route: RouteConfig, failure: LastFailure): Advice | undefined {
  const { host } = new URL(route.upstream);
  switch (failure.code) {
    case 'token_denied':
    case 'token_unavailable':
      return undefined;
    case 'upstream_unreachable':
      return unreachableAdvice(failure, host);
    case 'upstream_reset':
      return {
        code: 'api_reset',
        what: `${host} broke the connection off before its answer was whole.`,
        todo: UNSURE,
      };
    case 'upstream_invalid':
      return { code: 'api_no_http', what: `${host} answered something that is no valid HTTP.`, todo: UNSURE };
    case 'upstream_timeout':
      return timeoutAdvice(route, failure, host);
    case 'overloaded':
      return {
        code: 'overloaded',
        what: `Calls were turned away: ${failure.detail}`,
        todo: 'Raise that limit of the route if the provider takes more at once, or have the app call it less.',
      };
    case 'loop_detected':
      return {
        code: 'loop',
        what: 'The call came back to Wakala: the upstream of this route leads here again.',
        todo: 'Set `upstream` to the address of the provider, not to one of Wakala.',
      };
    default:
      return {
        code: failure.code,
        what: failure.detail,
        todo: `Look for request ${failure.requestId} in the log of Wakala.`,
      };
  }
}

function timeoutAdvice({ timeoutMs }: RouteConfig, failure: LastFailure, host: string): Advice {
  const { reason } = failure;
  if (reason?.kind === 'timeout' && reason.phase === 'connect') {
    return apiAdvice(diagnoseNetwork('ETIMEDOUT', host), failure);
  }
  return {
    code: 'api_slow',
    what: `${host} took the call but did not answer within ${timeoutMs / 1000} s.`,
    todo: `${UNSURE} If its answers do take that long, raise \`timeout\` of the route.`,
  };
}

function unreachableAdvice(failure: LastFailure, host: string): Advice {
  const { reason } = failure;
  return apiAdvice(reason?.kind === 'network' ? diagnoseNetwork(reason.code, host) : undefined, failure);
}

function apiAdvice(advice: Advice | undefined, { detail }: LastFailure): Advice {
  if (advice === undefined) {
    return { code: 'api_unreachable', what: detail, todo: 'Check that this machine reaches the API host.' };
  }
  return { ...advice, code: `api_${advice.code}`, what: `${advice.what} Nothing was sent.` };
}

/** `failing`: calls fail. `warning`: calls work, but something wants to be looked at. */
export type State = 'ok' | 'warning' | 'failing';

/** Something that is wrong now, and what to do about it. */
export interface Problem extends Advice {
  readonly state: 'warning' | 'failing';
  /** When it was seen last, epoch milliseconds; undefined: it is so now. */
  readonly atMs?: number | undefined;
  /** When wakala tries again by itself, epoch milliseconds. */
  readonly untilMs?: number | undefined;
}

interface RouteDiagnosis {
  readonly route: RouteConfig;
  readonly credential: CredentialSnapshot | undefined;
  /** The last call that failed, unless the provider answered since. */
  readonly failure: LastFailure | undefined;
  readonly nowMs: number;
}

/** The clock of this machine may be off by so much before it is said. */
const CLOCK_MS = 30_000;

/** Refused calls that are named; more are counted. */
const NAMED_CALLS = 3;

/** How a route is, and all that is wrong with it, the worst first. */
export function diagnoseRoute(judged: RouteDiagnosis): {
  readonly state: State;
  readonly problems: readonly Problem[];
} {
  const found = [...tokenProblems(judged), ...callProblems(judged), ...refusedCalls(judged), ...clockProblems(judged)];
  const problems = [...found.filter(isFailing), ...found.filter((problem) => !isFailing(problem))];
  return { state: problems[0]?.state ?? 'ok', problems };
}

function isFailing({ state }: Problem): boolean {
  return state === 'failing';
}

function tokenProblems({ route, credential, nowMs }: RouteDiagnosis): Problem[] {
  const failure = credential?.failure;
  if (credential === undefined || failure === undefined) return [];
  const advice = diagnoseToken(route, failure);
  const about = {
    ...advice,
    atMs: failure.atMs,
    untilMs: credential.retryAtMs > nowMs ? credential.retryAtMs : undefined,
  };
  if ((credential.token?.expiresAtMs ?? 0) <= nowMs) return [{ ...about, state: 'failing' }];
  const meanwhile = 'Calls still go through, with the token at hand until it runs out.';
  return [{ ...about, state: 'warning', what: `${advice.what} ${meanwhile}` }];
}

function callProblems({ route, failure }: RouteDiagnosis): Problem[] {
  const advice = failure && diagnoseCall(route, failure);
  if (advice === undefined) return [];
  return [{ ...advice, state: failure?.code === 'overloaded' ? 'warning' : 'failing', atMs: failure?.atMs }];
}

function refusedCalls({ route, credential }: RouteDiagnosis): Problem[] {
  const calls = credential?.refusedCalls ?? [];
  const [first] = calls;
  if (first === undefined) return [];
  const named = calls
    .slice(0, NAMED_CALLS)
    .map(({ client, call }) => (client === undefined ? call : `${call} by ${client}`));
  const rest = Math.max(calls.length, credential?.refusedCallCount ?? 0) - named.length;
  const more = rest > 0 ? ` and ${rest} more` : '';
  const which = `${named.join(', ')}${more}`;
  return [
    {
      code: 'token_refused_for_calls',
      state: 'warning',
      what: `${route.provider.title} refuses even a fresh token for ${which}, while the token is good for other calls.`,
      todo: 'Most often the app lacks the API product that this call belongs to, and the provider says "invalid token" for that: add the product to the app on the provider\'s portal.',
      untilMs: Math.max(...calls.map(({ untilMs }) => untilMs)),
    },
  ];
}

function clockProblems({ route, credential }: RouteDiagnosis): Problem[] {
  const skewMs = credential?.clockSkewMs ?? 0;
  if (Math.abs(skewMs) <= CLOCK_MS) return [];
  const side = skewMs > 0 ? 'behind' : 'ahead of';
  return [
    {
      code: 'clock_off',
      state: 'warning',
      what: `The clock of this machine is ${formatDuration(Math.abs(skewMs))} ${side} that of ${tokenHostOf(route)}.`,
      todo: 'Turn time synchronisation (NTP) on for this machine, with `timedatectl set-ntp true` for example. Certificates and tokens are judged by its clock.',
    },
  ];
}

/** What is wrong with the store that copies of wakala share their tokens in. */
export function storeProblem(store: StoreStatus | undefined): Problem | undefined {
  if (store === undefined || store.connected) return undefined;
  const why = store.failure === undefined ? '' : ` (${store.failure})`;
  const login = /WRONGPASS|NOAUTH|NOPERM/.test(store.failure ?? '');
  return {
    code: 'token_store_away',
    state: 'warning',
    what: `The token store (Redis) cannot be reached${why}. Meanwhile each copy of Wakala asks for tokens of its own; calls go on.`,
    todo: login
      ? 'Redis answers, but refuses the login: check user and password in the URL of `token_store`.'
      : 'Check that Redis runs and that this machine reaches it; its URL is under `token_store`. Wakala connects again by itself.',
  };
}

/** Why the configuration on disk is not the one that serves. */
export function reloadProblem({ failure }: Reloads): Problem | undefined {
  if (failure === undefined) return undefined;
  return {
    code: 'reload_refused',
    state: 'warning',
    what: `The configuration on disk was refused, and the one before it serves on: ${failure}`,
    todo: 'Mend the file: `wakala check` shows all that is wrong with it. It is taken over as soon as it is good.',
  };
}
