import {
  CERTIFICATE_PROBLEMS,
  describeContentProblem,
  MAY_HAVE_ACTED,
  type ProxyError,
  type Reason,
  type TokenRule,
} from '../errors.ts';
import { formatDuration, formatList } from '../format.ts';
import type { Diagnosis, DiagnosisContext } from './diagnosis-context.ts';
import { CERTIFICATE_REFUSED_HINT, connectTimeoutHint, diagnoseNetwork, whereOf } from './network.ts';

type ReasonOf<Kind extends Reason['kind']> = Extract<Reason, { kind: Kind }>;

type Diagnose<Kind extends Reason['kind']> = (reason: ReasonOf<Kind>, context: DiagnosisContext) => Diagnosis;

const PROVIDER_FAILS = "The provider is failing. Wakala keeps retrying. Check the provider's status page.";

const TOKEN_RULES: Readonly<Record<TokenRule, string>> = {
  empty_body: 'with an empty body',
  not_json: 'with something that is not JSON',
  xml: 'with XML, which Wakala does not read',
  wrong_format: 'with a body that does not have the `format` of the configuration',
  field_missing: 'without a token',
  not_sendable: 'with a token that is longer than 8 KiB or has characters that no header can carry',
};

/** Maps each kind of reason to a diagnosis. Used by the dashboard, doctor, the log and problem responses. */
const DIAGNOSES: { readonly [Kind in Reason['kind']]: Diagnose<Kind> } = {
  network: ({ code, host }, context) => apiCode(diagnoseNetwork(code, host, context), context),
  timeout: diagnoseTimeout,
  egress_refused: diagnoseEgressRefusal,
  egress_failed: diagnoseEgressFailure,
  connection_lost: ({ host }) => ({
    code: 'api_reset',
    what: `The connection to ${host} broke before the response was complete.`,
    hint: MAY_HAVE_ACTED,
  }),
  malformed_response: ({ rule, host }, context) =>
    apiCode(
      {
        code: 'no_http',
        what: `The response of ${host ?? hostOf(context)} is not valid HTTP: ${rule}.`,
        hint:
          context.server === 'upstream'
            ? MAY_HAVE_ACTED
            : `Check the port and the scheme (http or https) in ${whereOf(context.key)}. If they are right, tell the provider.`,
      },
      context,
    ),
  http_status: ({ status }, context) => diagnoseStatus(status, hostOf(context), context),
  redirected: diagnoseRedirect,
  html_page: ({ status }, context) => ({
    code: 'token_endpoint_html',
    what: `The token endpoint at ${hostOf(context)} responded with a web page instead of a token (HTTP ${status}): a firewall, a maintenance page or a wrong host.`,
    hint: `Check ${whereOf(context.key)}, and open ${hostOf(context)} in a browser to read the page. If it is a firewall, ask the provider whether it must allow the address of this machine.`,
  }),
  client_certificate: ({ problem, status }, context) => ({
    code: 'token_endpoint_certificate',
    what: `The token endpoint at ${hostOf(context)} ${CERTIFICATE_PROBLEMS[problem]} (HTTP ${status}).`,
    hint:
      problem === 'missing'
        ? 'Set `tls.cert` and `tls.key`, and if the endpoint is on another host than `upstream`, `tls.token_endpoint: true`.'
        : CERTIFICATE_REFUSED_HINT,
  }),
  credentials_refused: diagnoseRefusal,
  no_usable_token: ({ rule, status }, context) => ({
    code: 'token_answer_unusable',
    what: `The token endpoint at ${hostOf(context)} responded with HTTP ${status}, but ${TOKEN_RULES[rule]}.`,
    hint: `Check ${whereOf(context.key)}. If it is right, compare \`token.response\` of the route with what the provider documents: \`access_token\` names the field of the token, and \`format\` the form of the body.`,
  }),
  undecodable_body: ({ problem, coding, status }, context) => ({
    code: 'token_answer_unusable',
    what: `The token endpoint at ${hostOf(context)} responded with HTTP ${status}, but its body ${describeContentProblem({ kind: problem, coding })}.`,
    hint: 'Ask the provider for token responses without compression. Wakala asks for none, and reads gzip, deflate, br and zstd.',
  }),
  no_token_endpoint: ({ problem, status, host }, context) => {
    if (status === 429 || status >= 500) return diagnoseStatus(status, host, context);
    return {
      code: 'token_answer_unusable',
      what: `The metadata of the issuer ${host} names no token endpoint that Wakala can use: ${problem}.`,
      hint: 'Write `issuer` exactly as the metadata of the server has it. For a server without metadata, set `token_endpoint` instead.',
    };
  },
  refresh_token_unavailable: ({ code }) => ({
    code: 'refresh_token_unavailable',
    what: `The newest refresh token is in the token store (Redis), which cannot be used (${code}). Wakala requests no token without it: with an older one, the provider might revoke them all.`,
    hint: storeHint(code),
  }),
  value_impossible: ({ problem, credentials }) => ({
    code: 'token_value_impossible',
    what: `Wakala could not compute a value of the token request: ${problem}.`,
    hint: `Check ${formatList(credentials.map((name) => `\`${name}\``)) || '`values` of the token request'}. Nothing was sent to the token endpoint.`,
  }),
  limit: ({ key }) => ({
    code: 'overloaded',
    what: `Wakala rejected requests because \`${key}\` was reached.`,
    hint: `Raise \`${key}\` if the provider takes more at once, or let the app send fewer requests at the same time.`,
  }),
  loop: () => ({
    code: 'loop',
    what: 'A request came back to Wakala: `upstream` of this route leads to this proxy.',
    hint: 'Set `upstream` to the address of the provider.',
  }),
  shutdown: ({ host }) => ({
    code: 'shutdown',
    what: `Wakala was closing its connections to ${host}, because it stopped or its configuration changed.`,
    hint: 'Send the request again.',
  }),
  internal: (_, { server }) => ({
    code: server === 'upstream' ? 'internal_error' : 'token_unavailable',
    what: `An internal error in Wakala ended a ${server === 'upstream' ? 'request' : 'token request'}.`,
    hint: 'The log has the error. Please report it.',
  }),
};

/** What happened, and what to do about it. */
export function diagnose<Kind extends Reason['kind']>(reason: ReasonOf<Kind>, context: DiagnosisContext): Diagnosis {
  return (DIAGNOSES[reason.kind] as Diagnose<Kind>)(reason, context);
}

/**
 * The hint for the client's problem and for the log. Undefined if the detail of the error already says what to do. This is
 * so for every request that was sent, unless its client was too slow.
 */
export function hintFor({ code, outcome, reason }: ProxyError): string | undefined {
  if (reason === undefined) return undefined;
  if (code === 'upstream_unreachable' || (code === 'upstream_timeout' && outcome === 'not_sent')) {
    return diagnose(reason, { server: 'upstream', key: 'upstream' }).hint;
  }
  if (reason.kind === 'timeout' && reason.phase === 'request_body')
    return diagnose(reason, { server: 'upstream' }).hint;
  return code === 'token_unavailable' ? diagnose(reason, { server: 'token endpoint' }).hint : undefined;
}

function hostOf({ host, server }: DiagnosisContext): string {
  return host ?? (server === 'upstream' ? 'the upstream' : 'the token endpoint');
}

function apiCode(diagnosis: Diagnosis, { server }: DiagnosisContext): Diagnosis {
  return server === 'upstream' ? { ...diagnosis, code: `api_${diagnosis.code}` } : diagnosis;
}

function diagnoseTimeout({ phase, timeoutMs, host }: ReasonOf<'timeout'>, context: DiagnosisContext): Diagnosis {
  const within = `within ${timeoutMs / 1000} s`;
  switch (phase) {
    case 'connect': {
      const what = `${host} did not accept a connection ${within}.`;
      return apiCode({ code: 'timeout', what, hint: connectTimeoutHint(host) }, context);
    }
    case 'tls': {
      const what = `${host} did not finish the TLS handshake ${within}.`;
      const hint = 'A firewall or a proxy on the way may block it: look for one that intercepts TLS.';
      return apiCode({ code: 'timeout', what, hint }, context);
    }
    case 'token':
      return {
        code: 'token_endpoint_slow',
        what: `${host} accepted a token request but did not respond ${within}.`,
        hint: `${PROVIDER_FAILS} If its responses do take that long, raise \`token.timeout\` of the route.`,
      };
    case 'send':
      return { code: 'api_slow', what: `${host} did not take the whole request ${within}.`, hint: MAY_HAVE_ACTED };
    case 'request_body':
      return {
        code: 'client_slow',
        what: `A client was still sending its request body to Wakala ${timeoutMs / 1000} s after the request began. A part of it was sent to ${host}.`,
        hint: 'Raise `timeout` of the route if its clients send bodies for that long. If not, check the network between them and Wakala.',
      };
    case 'response':
      return {
        code: 'api_slow',
        what: `${host} took the request but did not respond ${within}.`,
        hint: `${MAY_HAVE_ACTED} If its responses do take that long, raise \`timeout\` of the route.`,
      };
  }
}

function diagnoseEgressRefusal({ status, proxy, setting, host }: ReasonOf<'egress_refused'>): Diagnosis {
  // tinyproxy responds with 401 to a wrong password.
  if (status === 407 || status === 401) {
    return {
      code: 'egress_credentials',
      what: `The egress proxy ${proxy} does not accept the login, or requires one (HTTP ${status}).`,
      hint: `Check user and password in \`${setting}\`, as in \`http://user:password@proxy.example:3128\`. Wakala supports Basic authentication only.`,
    };
  }
  const what = `The egress proxy ${proxy} did not connect to ${host} (HTTP ${status}).`;
  const hint =
    status >= 500
      ? `The proxy cannot look up or reach ${host}: its log has the cause.`
      : `Allow CONNECT to ${host} on the proxy. If ${host} is reached without a proxy, correct \`${setting}\` or add the host to NO_PROXY.`;
  return { code: 'egress_refused', what, hint };
}

function diagnoseEgressFailure({ code, proxy, setting }: ReasonOf<'egress_failed'>): Diagnosis {
  const failed = { code: 'egress_unreachable' };
  if (code === 'INVALID_RESPONSE') {
    const what = `The egress proxy ${proxy} responded with something that is not HTTP.`;
    return {
      ...failed,
      what,
      hint: `Check scheme, host and port in \`${setting}\`: they must be those of an HTTP proxy.`,
    };
  }
  if (code === 'ETIMEDOUT') {
    const what = `The egress proxy ${proxy} did not open a connection in time.`;
    const hint = `Check host and port in \`${setting}\`. If they are right, the proxy is overloaded, or a firewall drops the packets to it or from it.`;
    return { ...failed, what, hint };
  }
  const { what, hint } = diagnoseNetwork(code, proxy, { key: setting });
  return { ...failed, what: `The egress proxy cannot be used. ${what}`, hint };
}

/** The token endpoint or the issuer responded with an error status. */
function diagnoseStatus(status: number, host: string, { key, providerSaid }: DiagnosisContext): Diagnosis {
  const said = providerSaid === undefined ? '' : `, which said ${providerSaid}`;
  const what = `The token request failed: HTTP ${status} from ${host}${said}.`;
  if (status === 429) {
    return {
      code: 'token_endpoint_throttles',
      what: `${host} rejects token requests because there are too many (HTTP 429).`,
      hint: 'Find out what else requests tokens with the same credentials: other apps, other copies of Wakala. Copies of Wakala share one token with `token_store`.',
    };
  }
  if (status >= 500) return { code: 'token_endpoint_down', what, hint: PROVIDER_FAILS };
  if (status >= 300 && status < 400) {
    const hint = `Wakala does not follow redirects. Correct ${whereOf(key)}: token requests must go to the server that it redirects to.`;
    return { code: 'token_answer_unusable', what, hint };
  }
  const hint = `Check ${whereOf(key)}. If it is right, compare path and method of the token request with what the provider documents.`;
  return { code: 'token_answer_unusable', what, hint };
}

function diagnoseRedirect({ status, location, change }: ReasonOf<'redirected'>, context: DiagnosisContext): Diagnosis {
  const { key } = context;
  const code = 'token_answer_unusable';
  const what = `The token endpoint at ${hostOf(context)} redirects to ${location} (HTTP ${status}).`;
  const why = 'Wakala does not follow redirects, because it would send the credentials there.';
  // Without a key, the text goes to the client of the proxy, which gets nothing that the provider said.
  if (key === undefined) return { code, what, hint: `${why} The log has the address that the configuration needs.` };
  if (change === 'scheme') return { code, what, hint: `${why} Write \`https:\` in ${whereOf(key)}.` };
  const check = change === 'host' ? ', if that is a server of the provider' : '';
  if (key === 'issuer' || key === 'token_endpoint') {
    const inPlace = key === 'issuer' ? ' in place of `issuer`' : '';
    return { code, what, hint: `${why} Set \`token_endpoint\` to ${location}${inPlace}${check}.` };
  }
  const path = change === 'path' ? ' Or set `path` there to the part of it that follows `auth_server`.' : '';
  return { code, what, hint: `${why} Set \`token.request.url\` to ${location}${check}.${path}` };
}

function diagnoseRefusal({ status }: ReasonOf<'credentials_refused'>, context: DiagnosisContext): Diagnosis {
  const { environment, route, providerSaid, worksInSandbox } = context;
  const provider = context.provider ?? 'The provider';
  const credentials = formatList(context.credentials ?? []);
  const names = credentials === '' ? 'the credentials of the route' : credentials;
  const where = environment === undefined ? hostOf(context) : `its ${environment} host ${hostOf(context)}`;
  const refused = `${provider} refused the credentials at ${where} (HTTP ${status})`;
  if (worksInSandbox === true) {
    return {
      code: 'denied_in_production',
      what: `${refused}, and its sandbox accepts them: they are sandbox credentials.`,
      hint: `Set \`environment: sandbox\` on the route, or use the production credentials. Check ${names}.`,
    };
  }
  const what = `${refused}${providerSaid === undefined ? '' : ` and said ${providerSaid}`}.`;
  const log = providerSaid === undefined ? ' The log has what the provider said.' : '';
  if (environment === 'production') {
    const which = route === undefined ? '' : ` \`wakala doctor '${route}'\` tells which.`;
    const hint = `Check ${names}: they are wrong, or they are sandbox credentials, which production does not know.${which}${log}`;
    return { code: 'denied_in_production', what, hint };
  }
  const other = environment === 'sandbox' ? ' They may also be production credentials.' : '';
  const hint = `Check ${names}: copy them again from the provider's portal, all from the same app, without quotes or spaces around them.${other}${log}`;
  return { code: environment === 'sandbox' ? 'denied_in_sandbox' : 'denied', what, hint };
}

/** Network delay and rounding explain a smaller difference. */
const NOTABLE_SKEW_MS = 30_000;

/** @param skewMs how far the clock at `host` is ahead of this machine's; undefined if it is not known */
export function diagnoseClock(skewMs: number | undefined, host: string): Diagnosis | undefined {
  if (skewMs === undefined || Math.abs(skewMs) <= NOTABLE_SKEW_MS) return undefined;
  const side = skewMs > 0 ? 'behind' : 'ahead of';
  return {
    code: 'clock_off',
    what: `The clock of this machine is ${formatDuration(Math.abs(skewMs))} ${side} that of ${host}.`,
    hint: 'Turn on time synchronisation (NTP) on this machine, for example with `timedatectl set-ntp true`. Certificates and tokens are checked against its clock.',
  };
}

/**
 * Why the token store cannot be used.
 * @param failure code of Redis, of the network or of `StoreUnavailable`, such as `WRONGPASS` or `ECONNREFUSED`
 */
export function diagnoseStore(failure: string | undefined, host?: string): Diagnosis {
  const where = host === undefined ? '' : ` at ${host}`;
  const why = failure === undefined ? '' : ` (${failure})`;
  return {
    code: 'token_store_away',
    what: `The token store (Redis)${where} cannot be used${why}. Until it works, each process requests its own tokens. Requests still succeed, unless the provider keeps only one token or refresh token of a credential alive.`,
    hint: storeHint(failure),
  };
}

function storeHint(failure: string | undefined): string {
  switch (failure) {
    case 'WRONGPASS':
    case 'NOAUTH':
    case 'ERR':
      return 'Redis refuses the login: check user and password under `token_store`.';
    case 'NOPERM':
      return 'Allow the Redis user EVAL, PUBLISH and SUBSCRIBE on keys and channels that begin with `wakala:`.';
    case 'UNKNOWN_MASTER':
      return 'No sentinel monitors a master of this name: check `token_store.sentinel.name`.';
    case 'READONLY':
      return 'This server is a replica: name the master, or find it with `token_store.sentinel`.';
    case 'timeout':
    case 'paused':
      return 'Put Redis nearer to Wakala, or find out what keeps it busy: it must respond within 80 ms.';
    case 'unreadable':
      return 'Add the key that encrypted it to `token_store.previous_keys`, or configure a new refresh token.';
    default:
      return 'Check hosts and ports under `token_store`, and that Redis runs and this machine can reach it. Wakala reconnects by itself.';
  }
}
