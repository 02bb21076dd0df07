import { describe, expect, it } from 'vitest';
import type { RouteConfig } from '../../src/config/config.ts';
import { reloadProblem, diagnoseRoute, storeProblem } from '../../src/diagnosis/diagnosis.ts';
import type { ErrorCode, Reason } from '../../src/errors.ts';
import type { LastFailure } from '../../src/telemetry/route-stats.ts';
import type { CredentialSnapshot } from '../../src/telemetry/snapshot.ts';
import type { TokenFailure } from '../../src/tokens/exchange-stats.ts';
import { adminConfig } from '../admin/context.ts';
import { credentialSnapshot, tokenSnapshot } from '../admin/snapshots.ts';

const NOW = Date.UTC(2026, 0, 1, 9);

function routeIn(environment: 'sandbox' | 'production', more: object = {}): RouteConfig {
  const credentials = { consumer_key: 'key-of-mpesa', consumer_secret: 'secret-of-mpesa' };
  const file = { routes: { '/mpesa/*': { provider: 'mpesa', environment, credentials, ...more } } };
  return adminConfig({ file }).routes[0]!;
}

const SANDBOX = routeIn('sandbox');

function adviceFor(changes: Partial<CredentialSnapshot>, route = SANDBOX, failure?: LastFailure) {
  return diagnoseRoute({ route, credential: credentialSnapshot(changes), failure, nowMs: NOW });
}

const TOKEN = tokenSnapshot(NOW);

const unavailable = (reason: Reason | undefined): TokenFailure => ({
  code: 'token_unavailable',
  detail: 'What happened.',
  reason,
  atMs: NOW - 2000,
});
const HOST = 'sandbox.safaricom.co.ke';
const network = (code: string, host = HOST) => unavailable({ kind: 'network', code, host });
const DENIED: TokenFailure = {
  code: 'token_denied',
  detail: 'refused',
  reason: { kind: 'credentials_refused', status: 401 },
  atMs: NOW - 2000,
};

describe('routeAdvice on a route without a token', () => {
  it.each([
    [network('ECONNREFUSED'), 'connection_refused', 'refuses connections'],
    [network('ENOTFOUND'), 'dns_no_such_name', 'No host is named sandbox.safaricom.co.ke'],
    [network('EAI_AGAIN'), 'dns_no_answer', 'The DNS resolver of this machine'],
    [network('ENETUNREACH'), 'unreachable', 'no way from this machine'],
    [network('ETIMEDOUT'), 'timeout', 'did not answer in time'],
    [network('ECONNRESET'), 'connection_reset', 'broke the connection off'],
    [network('CERT_HAS_EXPIRED'), 'tls_expired', 'has expired'],
    [network('CERT_NOT_YET_VALID'), 'tls_not_yet_valid', 'not valid yet'],
    [network('ERR_TLS_CERT_ALTNAME_INVALID'), 'tls_other_name', 'for another name'],
    [network('SELF_SIGNED_CERT_IN_CHAIN'), 'tls_untrusted', 'nobody that this machine trusts'],
    [network('DEPTH_ZERO_SELF_SIGNED_CERT'), 'tls_untrusted', 'nobody that this machine trusts'],
    [network('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'tls_untrusted', 'nobody that this machine trusts'],
    [network('EPROTO'), 'tls_failed', 'could not agree on TLS'],
    [network('ERR_SSL_WRONG_VERSION_NUMBER'), 'tls_failed', 'could not agree on TLS'],
    [network('LINK_LOCAL_ADDRESS'), 'link_local_address', 'metadata address'],
    [unavailable({ kind: 'malformed_response', rule: 'HPE_INVALID_CONSTANT', host: HOST }), 'no_http', 'no valid HTTP'],
    [
      unavailable({ kind: 'timeout', phase: 'token', timeoutMs: 15_000, host: HOST }),
      'token_endpoint_slow',
      'takes the connection but',
    ],
    [unavailable({ kind: 'http_status', status: 500 }), 'token_endpoint_down', 'is down: it answered 500'],
    [unavailable({ kind: 'html_page', status: 503 }), 'token_endpoint_html', 'answered 503 with a web page'],
    [unavailable({ kind: 'html_page', status: 200 }), 'token_endpoint_html', 'answered 200 with a web page'],
    [unavailable({ kind: 'http_status', status: 429 }), 'token_endpoint_throttles', 'asked too often'],
    [unavailable({ kind: 'token_expired_at_once' }), 'token_expired_at_once', 'has expired already'],
    [
      unavailable({ kind: 'no_usable_token', rule: 'field_missing', status: 200 }),
      'token_answer_unusable',
      'gave no token that can be used',
    ],
    [unavailable(undefined), 'token_unavailable', 'What happened.'],
  ])('tells %o apart as %s', (failure, code, words) => {
    const { state, problems } = adviceFor({ failure });
    expect({ state, code: problems[0]?.code }).toEqual({ state: 'failing', code });
    expect(problems[0]?.what).toContain(words);
    expect(problems[0]?.todo).not.toBe('');
    expect(problems).toHaveLength(1);
  });

  it('says in the sandbox that the secret is wrong, and which fields to copy', () => {
    const [problem] = adviceFor({ failure: DENIED }).problems;
    expect(problem).toMatchObject({ code: 'denied_in_sandbox', state: 'failing' });
    expect(problem?.what).toContain('sandbox.safaricom.co.ke: they are wrong');
    expect(problem?.todo).toContain('`consumer_key` and `consumer_secret`');
  });

  it('names both causes in production, and the command that tells which', () => {
    const [problem] = adviceFor({ failure: DENIED }, routeIn('production')).problems;
    expect(problem?.code).toBe('denied_in_production');
    expect(problem?.what).toContain('production host api.safaricom.co.ke');
    expect(problem?.todo).toMatch(/those of the sandbox.*`wakala doctor '\/mpesa\/\*'` tells which/);
  });

  it('says when it was, and when the next try may be', () => {
    expect(adviceFor({ failure: DENIED, retryAtMs: NOW + 8000 }).problems[0]).toMatchObject({
      atMs: NOW - 2000,
      untilMs: NOW + 8000,
    });
    expect(adviceFor({ failure: DENIED, retryAtMs: NOW }).problems[0]?.untilMs).toBeUndefined();
  });

  it('says that all is well where nothing was asked for yet', () => {
    expect(adviceFor({})).toEqual({ state: 'ok', problems: [] });
    const untold = { route: SANDBOX, credential: undefined, failure: undefined, nowMs: NOW };
    expect(diagnoseRoute(untold)).toEqual({ state: 'ok', problems: [] });
  });

  it('names the host that a token request spells out, where it is another one', () => {
    const token = {
      request: { url: 'https://login.example/token', json: { key: '{key}' } },
      response: { access_token: 'token' },
    };
    const file = { routes: { '/x/*': { upstream: 'https://api.example', credentials: { key: 'k' }, token } } };
    const route = adminConfig({ file }).routes[0]!;
    expect(adviceFor({ failure: network('ENOTFOUND', 'login.example') }, route).problems[0]?.what).toContain(
      'login.example',
    );
  });
});

describe('routeAdvice on a route with a token', () => {
  it('warns only, since calls go through until the token runs out', () => {
    const { state, problems } = adviceFor({ token: TOKEN, failure: unavailable({ kind: 'http_status', status: 500 }) });
    expect(state).toBe('warning');
    expect(problems[0]?.what).toContain('Calls still go through');
    const ended = { ...TOKEN, expiresAtMs: NOW };
    expect(adviceFor({ token: ended, failure: unavailable({ kind: 'http_status', status: 500 }) }).state).toBe(
      'failing',
    );
  });

  it.each([
    [30_001, 'clock_off', 'is 30 s behind that of sandbox.safaricom.co.ke'],
    [-125_000, 'clock_off', 'is 2 min 5 s ahead of that of'],
  ])('says of a skew of %i ms whose clock is ahead', (clockSkewMs, code, words) => {
    const { state, problems } = adviceFor({ token: TOKEN, clockSkewMs });
    expect({ state, code: problems[0]?.code }).toEqual({ state: 'warning', code });
    expect(problems[0]?.what).toContain(words);
    expect(problems[0]?.todo).toContain('NTP');
  });

  it.each([30_000, -30_000, 0, undefined])('does not mind a skew of %s ms', (clockSkewMs) => {
    expect(adviceFor({ token: TOKEN, clockSkewMs }).state).toBe('ok');
  });

  it('names the calls that are refused whatever the token is', () => {
    const calls = ['b2c', 'b2b', 'stk', 'c2b', 'x'].map((name, i) => ({
      client: name === 'b2b' ? 'shop' : undefined,
      call: `POST /${name}`,
      untilMs: NOW + i,
    }));
    const { state, problems } = adviceFor({ token: TOKEN, refusedCalls: calls });
    expect({ state, code: problems[0]?.code }).toEqual({ state: 'warning', code: 'token_refused_for_calls' });
    expect(problems[0]?.what).toContain('POST /b2c, POST /b2b by shop, POST /stk and 2 more');
    expect(problems[0]?.todo).toContain('API product');
    expect(problems[0]?.untilMs).toBe(NOW + 4);
  });
});

describe('routeAdvice on a route whose last call failed', () => {
  const failure = (code: ErrorCode, detail: string, reason?: Reason): LastFailure => ({
    ...{ code, detail, reason },
    atMs: NOW,
    requestId: 'r-1',
  });
  const unreachable = (code: string) =>
    failure('upstream_unreachable', 'The provider could not be connected to.', { kind: 'network', code, host: HOST });
  const timeout = (phase: 'connect' | 'response') =>
    failure('upstream_timeout', '', { kind: 'timeout', phase, timeoutMs: 60_000, host: HOST });

  it.each([
    [unreachable('ECONNREFUSED'), 'api_connection_refused', 'refuses connections'],
    [unreachable('ENOTFOUND'), 'api_dns_no_such_name', 'No host is named'],
    [unreachable('EAI_AGAIN'), 'api_dns_no_answer', 'DNS resolver'],
    [unreachable('CERT_HAS_EXPIRED'), 'api_tls_expired', 'certificate'],
    [unreachable('whatever'), 'api_unreachable', 'could not be connected to'],
    [failure('upstream_reset', ''), 'api_reset', 'broke the connection off'],
    [failure('upstream_invalid', ''), 'api_no_http', 'no valid HTTP'],
    [timeout('response'), 'api_slow', 'within 60 s'],
    [timeout('connect'), 'api_timeout', 'Nothing was sent'],
    [failure('loop_detected', ''), 'loop', 'leads here again'],
    [failure('internal_error', 'Wakala failed.'), 'internal_error', 'Wakala failed.'],
  ])('tells %o apart as %s', (last, code, words) => {
    const { state, problems } = adviceFor({ token: TOKEN }, SANDBOX, last);
    expect({ state, code: problems[0]?.code }).toEqual({ state: 'failing', code });
    expect(problems[0]?.what).toContain(words);
    expect(problems[0]?.todo).not.toBe('');
  });

  it('only warns of calls that were turned away', () => {
    const { state, problems } = adviceFor({}, SANDBOX, failure('overloaded', '/mpesa/* has 2 requests under way.'));
    expect({ state, code: problems[0]?.code }).toEqual({ state: 'warning', code: 'overloaded' });
  });

  it('leaves it to the credential to say what is wrong with its token', () => {
    expect(adviceFor({ token: TOKEN }, SANDBOX, failure('token_denied', '')).state).toBe('ok');
    expect(adviceFor({ failure: DENIED }, SANDBOX, failure('token_denied', '')).problems).toHaveLength(1);
  });

  it('puts what fails before what is a warning', () => {
    const { state, problems } = adviceFor({ token: TOKEN, clockSkewMs: 90_000 }, SANDBOX, unreachable('ECONNREFUSED'));
    expect(state).toBe('failing');
    expect(problems.map(({ code }) => code)).toEqual(['api_connection_refused', 'clock_off']);
  });
});

describe('what is said of wakala as a whole', () => {
  it('says why the token store is away, and that each copy asks alone meanwhile', () => {
    expect(storeProblem(undefined)).toBeUndefined();
    expect(storeProblem({ connected: true, failure: undefined })).toBeUndefined();
    const refused = storeProblem({ connected: false, failure: 'ECONNREFUSED' });
    expect(refused?.what).toMatch(/\(ECONNREFUSED\).*each copy of Wakala asks for tokens of its own/);
    expect(storeProblem({ connected: false, failure: 'WRONGPASS' })?.todo).toContain('refuses the login');
  });

  it('says why the configuration on disk is not the one that serves', () => {
    expect(reloadProblem({ taken: 1, refused: 0, failure: undefined })).toBeUndefined();
    const problem = reloadProblem({ taken: 0, refused: 1, failure: 'proxy.config.yaml:3:1: unknown key' });
    expect(problem?.what).toContain('proxy.config.yaml:3:1: unknown key');
    expect(problem?.todo).toContain('wakala check');
  });
});
