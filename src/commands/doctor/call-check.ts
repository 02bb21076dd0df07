import type { RouteConfig } from '../../config/config.ts';
import { diagnose } from '../../diagnosis/diagnosis.ts';
import { CERTIFICATE_REFUSED_HINT } from '../../diagnosis/network.ts';
import { CERTIFICATE_PROBLEMS, networkCode, ProxyError, type Reason } from '../../errors.ts';
import type { ClientRequest, Exchange, ResponseHandler } from '../../http/client/http-exchange.ts';
import type { ConnectionPool } from '../../http/client/pool.ts';
import { ContentError, decodedText } from '../../http/content-decoding.ts';
import { headerValue } from '../../http/header-list.ts';
import { asProxyError } from '../../http/problem.ts';
import { locationOf } from '../../http/url-path.ts';
import { Via } from '../../http/via.ts';
import { fill } from '../../providers/template.ts';
import { requestHeaders } from '../../proxy/headers.ts';
import { Route } from '../../proxy/route.ts';
import type { SignedRequest } from '../../proxy/signing.ts';
import { TokenEndpoints, tokenEndpointsOf, TokenPathGuard } from '../../proxy/token-paths.ts';
import type { UpstreamPools } from '../../proxy/upstream-pools.ts';
import { RouteStats } from '../../telemetry/route-stats.ts';
import type { Token, TokenSource } from '../../tokens/token.ts';
import { certificateProblem, redactedBody } from '../../tokens/token-response.ts';
import { type CheckResult, failed, formatSeconds, ok, skipped, warning } from './check-result.ts';
import type { Probes } from './probes.ts';

/** The harmless request of a route: the documented read-only call of the provider, otherwise a GET of the base URL. */
interface Call {
  /** Below the base URL, without the query. Empty for the base URL. */
  readonly path: string;
  readonly query: string;
  /** The public document that describes the call. Undefined for the base URL. */
  readonly source: string | undefined;
  /** For texts: `GET https://api.example.com/balance`. */
  readonly label: string;
}

function callOf({ provider, upstream, credentials }: RouteConfig): Call {
  const { path: template = '', source } = provider.readOnlyCall ?? {};
  const target = fill(template, (name) => credentials.get(name)?.reveal());
  const [path = ''] = target.split('?', 1);
  return { path, query: target.slice(path.length), source, label: `GET ${upstream}${target}` };
}

/** The result of the check `call` if the user did not ask for the call. */
export function untriedCall(config: RouteConfig): CheckResult {
  return skipped(`not tried; \`wakala doctor --call\` sends ${callOf(config).label}`);
}

interface CallContext {
  /** Of all routes: no request is sent to the token endpoint of any of them. */
  readonly routes: readonly RouteConfig[];
  readonly pools: UpstreamPools;
  readonly clock: Probes['clock'];
  /** The source that `token` would come from in the proxy. */
  readonly source: TokenSource;
}

/**
 * Sends the harmless request with a token, as the proxy would: through the same client, with the headers of the route,
 * and only where the proxy forwards requests.
 */
export async function checkCall(config: RouteConfig, token: Token, context: CallContext): Promise<CheckResult> {
  const { routes, pools, clock, source } = context;
  const call = callOf(config);
  const endpoints = [...routes.flatMap(tokenEndpointsOf), ...(token.endpoints ?? []).map(locationOf)];
  const pool = pools.for({ ...config, origin: new URL(config.upstream).origin });
  const guard = new TokenPathGuard(config, new TokenEndpoints(endpoints));
  const route = new Route(config, source, pool, new RouteStats(), new Via(), guard);
  const path = call.path === '' ? '/' : call.path;
  if (!route.allows('GET', path)) return skipped(`\`allow\` of the route does not permit ${call.label}: not sent`);
  if (route.tokenPaths.classify('GET', path) !== 'other') {
    return skipped(`${call.label} is a token endpoint of a route: not sent`);
  }
  const signed = await signedRequest(route, token, call);
  if (signed instanceof ProxyError) {
    return failed('wrong', {
      what: `${call.label} was not sent: ${signed.message}`,
      hint: 'Check `sign` and the credentials of the route. `wakala check --explain` shows what the rules do.',
    });
  }
  const startMs = clock.now();
  const response = await send(pool, signed.request, { timeoutMs: config.timeoutMs, clock });
  const durationMs = clock.now() - startMs;
  if ('error' in response) return judgeFailure(response.error, call, config);
  return judgeResponse({ ...response, durationMs }, { call, route, token, signed });
}

interface Signed extends SignedRequest {
  /** Whether a rule or the value of the token's header applies to the call. */
  readonly isSigned: boolean;
}

/** The request as the proxy would send it, or why it cannot be signed. */
async function signedRequest(route: Route, token: Token, { path, query }: Call): Promise<Signed | ProxyError> {
  const sentPath = route.basePath + path || '/';
  const headers = requestHeaders(CLIENT_HEADERS, route.headers, route.authorization(token), route.tokenHeaders(token));
  const target = sentPath + route.query(token, query);
  const request: ClientRequest = { method: 'GET', target, headers, body: { kind: 'none' } };
  const signing = route.signing?.for('GET', sentPath);
  if (signing === undefined) return { request, secrets: [], isSigned: false };
  try {
    return { ...(await signing.sign(request, token)), isSigned: true };
  } catch (error) {
    return asProxyError(error);
  }
}

/** What a client sends. Some providers refuse requests without a `User-Agent`. */
const CLIENT_HEADERS: readonly string[] = ['accept', 'application/json', 'user-agent', 'wakala-doctor'];

/** The rest of a longer body is not read. */
const MAX_BODY_BYTES = 64 * 1024;

interface CallResponse {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** `undefined` as the error means that the route's `timeout` ended the request. */
type Sent = CallResponse | { readonly error: ProxyError | undefined };

function send(
  pool: ConnectionPool,
  request: ClientRequest,
  { timeoutMs, clock }: { readonly timeoutMs: number; readonly clock: Probes['clock'] },
): Promise<Sent> {
  return new Promise((resolve) => {
    let status = 0;
    let headers: readonly string[] = [];
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (sent: Sent) => {
      cancelTimeout();
      resolve(sent);
    };
    const end = () => settle({ status, headers, body: Buffer.concat(chunks) });
    let exchange: Exchange | undefined;
    const cancelTimeout = clock.after(timeoutMs, () => {
      exchange?.abort();
      resolve({ error: undefined });
    });
    const handler: ResponseHandler = {
      onSending: () => {},
      onSent: () => {},
      onHead: (code, _reason, rawHeaders) => {
        status = code;
        headers = rawHeaders;
      },
      onData: (chunk) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length <= MAX_BODY_BYTES) return;
        exchange?.abort();
        end();
      },
      onEnd: end,
      onError: (error) => settle({ error }),
    };
    try {
      exchange = pool.send(request, handler);
    } catch (error) {
      settle({ error: asProxyError(error) });
    }
  });
}

function judgeFailure(error: ProxyError | undefined, { label }: Call, config: RouteConfig): CheckResult {
  const { host } = new URL(config.upstream);
  const context = { server: 'upstream', host, key: 'upstream' } as const;
  if (error === undefined) {
    const { what } = diagnose({ kind: 'timeout', phase: 'response', timeoutMs: config.timeoutMs, host }, context);
    return failed('unreachable', {
      what: `${label}: ${what}`,
      hint: 'If its responses do take that long, raise `timeout` of the route.',
    });
  }
  const { what, hint } = diagnose(reasonOf(error, host), context);
  // The hint of the table is about payments.
  const isInvalid = error.reason?.kind === 'malformed_response';
  const ownHint = 'Check the port and the scheme (http or https) in `upstream`. If they are right, tell the provider.';
  return failed('unreachable', { what: `${label}: ${what}`, hint: isInvalid ? ownHint : hint });
}

/** For a connection that broke, the code of the network: a TLS alert says more than that the connection is lost. */
function reasonOf({ reason = { kind: 'internal' }, cause }: ProxyError, host: string): Reason {
  if (reason.kind !== 'connection_lost') return reason;
  const code = networkCode(cause);
  return { kind: 'network', code: /ALERT/.test(code) ? code : 'ECONNRESET', host };
}

interface Judged {
  readonly call: Call;
  readonly route: Route;
  readonly token: Token;
  readonly signed: Signed;
}

/** A text of the provider on one line, without secrets. */
type Clean = (text: string) => string;

function cleanerOf({ provider, credentials }: RouteConfig, { token, signed }: Judged): Clean {
  const secrets = [token.accessToken, token.refreshToken, ...token.headers.map(([, value]) => value)];
  const fields = provider.credentials.filter(({ secret }) => secret).map(({ name }) => credentials.get(name));
  const values = [...secrets, ...fields].flatMap((secret) => secret?.reveal() ?? []);
  return (body) => redactedBody(body, [...values, ...signed.secrets]);
}

function judgeResponse(
  { status, headers, body, durationMs }: CallResponse & { readonly durationMs: number },
  judged: Judged,
): CheckResult {
  const { call, route } = judged;
  const responded = `${call.label} got HTTP ${status} in ${formatSeconds(durationMs)}`;
  const isDocumented = call.source !== undefined;
  const clean = cleanerOf(route.config, judged);
  const { isSigned } = judged.signed;
  const subject = route.hasToken ? 'the token' : isSigned ? 'the signature' : 'the request';
  const text = textOf(body, headers);
  const said = quote(text, headers, clean);
  const gateway = judgeGateway(responded, text, clean);
  if (gateway !== undefined) return gateway;
  if (isRefusal(route, { status, headers, body })) {
    const refused = route.hasToken && isSigned ? 'the token or the signature' : subject;
    return failed('denied', {
      what: `${responded}: the provider does not accept ${refused}${said}.`,
      hint: isDocumented
        ? 'Check that the credentials are for this API and this host, and the headers that the route adds. If the app was made just now, the provider may not have activated it yet.'
        : 'Check that the credentials are for this API and this host. The base URL is not a documented API call, so try one with your app too.',
    });
  }
  if (status < 300) {
    const verdict = isDocumented ? `the provider accepts ${subject}` : `the provider does not refuse ${subject}`;
    return ok(`${responded}: ${verdict}`);
  }
  const problem = certificateProblem(text);
  if (problem !== undefined) {
    return failed('unreachable', {
      what: `${responded}: the server ${CERTIFICATE_PROBLEMS[problem]}.`,
      hint: problem === 'missing' ? 'Set `tls.cert` and `tls.key` on the route.' : CERTIFICATE_REFUSED_HINT,
    });
  }
  if (status < 400) {
    const location = clean(headerValue(headers, 'location') ?? 'nowhere');
    return warning({
      what: `${responded}: it redirects to ${location}, so it is not certain whether ${subject} is accepted.`,
      hint: 'Wakala forwards redirects to the app. If API calls are redirected too, set `upstream` to the address that they lead to.',
    });
  }
  if (status >= 500) {
    return warning({
      what: `${responded}: the provider fails, so it is not certain whether ${subject} is accepted.`,
      hint: "Check the provider's status page, and run doctor again later.",
    });
  }
  const accepted = `as far as can be told, ${subject} is accepted`;
  if (!isDocumented && status !== 429) return ok(`${responded}: ${accepted}`);
  return warning({
    what: `${responded}: ${accepted}, but not the call${said}.`,
    hint:
      status === 429
        ? 'The provider limits the number of requests. Find out what else sends requests with the same credentials.'
        : `Check \`upstream\` and the headers of the route, whether the app may use this API, and whether the provider must allow the address of this machine. The call is from: ${call.source}.`,
  });
}

/** Codes of problem responses that mean that this client, or what it may call, is set up wrongly at the gateway. */
const GATEWAY_DENIED = new Set(['client_unauthorized', 'client_forbidden', 'token_denied']);
const GATEWAY_WRONG = new Set(['no_route', 'host_refused', 'loop_detected']);

/** Judges the problem response of another Wakala that is the API of this route. Undefined for any other response. */
function judgeGateway(responded: string, text: string, clean: Clean): CheckResult | undefined {
  const problem = parsedObject(text);
  const { type, code, detail } = problem;
  if (typeof code !== 'string' || type !== `urn:wakala:error:${code}`) return undefined;
  const diagnosis = {
    what: `${responded}: another Wakala responded with \`${clean(code)}\`.`,
    hint: `It says: ${clean(String(detail))}`,
  };
  if (GATEWAY_DENIED.has(code)) return failed('denied', diagnosis);
  if (GATEWAY_WRONG.has(code)) return failed('wrong', diagnosis);
  // Another 4xx is about this call, and the key is accepted.
  return Number(problem['status']) >= 500 ? warning(diagnosis) : undefined;
}

function parsedObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Whether the provider says that it does not accept the token: 401, or a dead-token rule. */
function isRefusal({ deadToken }: Route, { status, headers, body }: CallResponse): boolean {
  if (status === 401) return true;
  const classification = deadToken.classifyStatus(status);
  if (classification !== 'depends_on_body') return classification === 'dead';
  return deadToken.inspectBody(status, body, headers) === true;
}

/** Empty if the body cannot be decoded. */
function textOf(body: Buffer, headers: readonly string[]): string {
  try {
    return decodedText(body, headers, MAX_BODY_BYTES);
  } catch (error) {
    if (error instanceof ContentError) return '';
    throw error;
  }
}

/** The end of a sentence about a refusal. Empty for a web page and without a body. */
function quote(text: string, headers: readonly string[], clean: Clean): string {
  const isPage = /html/i.test(headerValue(headers, 'content-type') ?? '');
  const beginning = clean(text).trim();
  return isPage || beginning === '' ? '' : ` and said ${beginning}`;
}
