import { describe, expect, it } from 'vitest';
import { diagnose, diagnoseClock, diagnoseStore, hintFor } from '../../src/diagnosis/diagnosis.ts';
import { type DiagnosisContext, tokenContext } from '../../src/diagnosis/diagnosis-context.ts';
import { ProxyError, type Reason, type TokenRule } from '../../src/errors.ts';
import { providerNamed } from '../../src/providers/registry.ts';

const HOST = 'api.example.com';
const UPSTREAM: DiagnosisContext = { server: 'upstream', host: HOST, key: 'upstream' };
const TOKEN: DiagnosisContext = { server: 'token endpoint', host: 'auth.example.com', key: 'auth_server' };
const MPESA: DiagnosisContext = {
  ...TOKEN,
  route: '/mpesa/*',
  provider: 'M-Pesa',
  credentials: ['`consumer_key`', '`consumer_secret`'],
};
const DOCTOR: DiagnosisContext = { ...MPESA, route: undefined, environment: 'sandbox', providerSaid: '{"e":1}' };
const IN_PRODUCTION: DiagnosisContext = { ...MPESA, environment: 'production' };

const network = (code: string, host = HOST): Reason => ({ kind: 'network', code, host });
const timeout = (phase: 'connect' | 'tls' | 'send' | 'request_body' | 'response' | 'token'): Reason => ({
  ...{ kind: 'timeout', phase, host: HOST },
  timeoutMs: 2500,
});
const egressRefused = (status: number): Reason => ({
  ...{ kind: 'egress_refused', status, proxy: 'proxy.example:3128' },
  ...{ setting: 'egress_proxy', host: HOST },
});
const egressFailed = (code: string): Reason => ({
  ...{ kind: 'egress_failed', code, proxy: 'proxy.example:3128' },
  ...{ setting: 'HTTPS_PROXY', host: HOST },
});
const noToken = (rule: TokenRule): Reason => ({
  ...{ kind: 'no_usable_token', rule },
  status: 200,
});

const redirected = (change: 'scheme' | 'path' | 'host'): Reason => ({
  ...{ kind: 'redirected', status: 301, change },
  location: 'https://a.example/token/',
});

type Row = [reason: Reason, context: DiagnosisContext, code: string, what: string, hint: string];

/** At least one row for each kind: a kind without one is a type error. */
const ROWS: Readonly<Record<Reason['kind'], readonly Row[]>> = {
  network: [
    [network('ENOTFOUND'), TOKEN, 'dns_no_such_name', 'no address for api.example.com (ENOTFOUND).', '`auth_server`'],
    [network('ENOTFOUND', 'a.example:81'), UPSTREAM, 'api_dns_no_such_name', 'a.example:81', '`nslookup a.example`'],
    [network('ENODATA'), TOKEN, 'dns_no_such_name', 'no address', 'is spelled'],
    [network('EAI_AGAIN'), TOKEN, 'dns_no_answer', 'resolver of this machine', '/etc/resolv.conf'],
    [network('ETIMEOUT'), TOKEN, 'dns_no_answer', 'resolver of this machine', '/etc/resolv.conf'],
    [network('ECONNREFUSED'), TOKEN, 'connection_refused', 'refuses connections', 'host and port in `auth_server`'],
    [network('ECONNREFUSED'), UPSTREAM, 'api_connection_refused', 'refuses connections', 'port in `upstream`'],
    [network('EHOSTUNREACH'), TOKEN, 'unreachable', 'no network route', 'VPN'],
    [network('ENETUNREACH'), TOKEN, 'unreachable', 'no network route', 'VPN'],
    [network('ETIMEDOUT'), TOKEN, 'timeout', 'did not accept a connection in time', 'firewall'],
    [network('ECONNRESET'), TOKEN, 'connection_reset', 'closed the connection before it responded', 'every time'],
    [network('EPIPE'), TOKEN, 'connection_reset', 'closed the connection', 'every time'],
    [network('CERT_HAS_EXPIRED'), TOKEN, 'tls_expired', 'has expired', 'date and time of this machine'],
    [network('CERT_NOT_YET_VALID'), TOKEN, 'tls_not_yet_valid', 'is not valid yet', 'NTP'],
    [network('ERR_TLS_CERT_ALTNAME_INVALID'), TOKEN, 'tls_other_name', 'for another name', 'captive portal'],
    [network('DEPTH_ZERO_SELF_SIGNED_CERT'), TOKEN, 'tls_untrusted', 'is self-signed', 'NODE_EXTRA_CA_CERTS'],
    [network('SELF_SIGNED_CERT_IN_CHAIN'), TOKEN, 'tls_untrusted', 'does not trust', 'NODE_EXTRA_CA_CERTS'],
    [network('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), TOKEN, 'tls_untrusted', 'does not trust', 'its chain'],
    [network('ERR_SSL_WRONG_VERSION_NUMBER'), TOKEN, 'tls_failed', 'does not speak TLS', '`http:`'],
    [
      network('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'),
      UPSTREAM,
      'api_tls_client_certificate',
      'api.example.com demands a client certificate (ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED).',
      'Set `tls.cert` and `tls.key`',
    ],
    ...[
      'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
      'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE',
      'ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE',
      'ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED',
      'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
      'ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN',
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    ].map((code): Row => [
      network(code),
      TOKEN,
      'tls_client_certificate',
      'does not accept the client certificate',
      'Check `tls.cert`',
    ]),
    [network('ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'), TOKEN, 'tls_failed', 'TLS handshake', 'intercepts TLS'],
    // OpenSSL 3.5, OpenSSL 3.0
    [network('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'), UPSTREAM, 'api_tls_failed', 'refused', '`tls.cert`'],
    [network('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'), UPSTREAM, 'api_tls_failed', 'refused', '`tls.server_name`'],
    [network('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), TOKEN, 'tls_failed', 'versions of TLS', '`tls.min_version`'],
    [network('ERR_SSL_UNSUPPORTED_PROTOCOL'), TOKEN, 'tls_failed', 'versions of TLS', 'enable TLS 1.2'],
    [network('ERR_SSL_TLSV1_UNRECOGNIZED_NAME'), TOKEN, 'tls_failed', 'does not know the name', '`tls.server_name`'],
    [network('EPROTO'), TOKEN, 'tls_failed', 'TLS handshake with api.example.com failed', 'intercepts TLS'],
    [network('LINK_LOCAL_ADDRESS'), TOKEN, 'link_local_address', 'metadata address', 'DNS entry'],
    [network('RESPONSE_TOO_LONG'), TOKEN, 'response_too_long', 'longer than 64 KiB', 'another server'],
    [network('UNEXPECTED_UPGRADE'), TOKEN, 'no_http', 'switched to another protocol', 'tell the provider'],
    [network('ENEW'), TOKEN, 'unreachable', 'cannot reach api.example.com (ENEW).', 'host and port in `auth_server`'],
    [network('ENEW'), UPSTREAM, 'api_unreachable', 'cannot reach', '`upstream`'],
  ],
  timeout: [
    [timeout('connect'), UPSTREAM, 'api_timeout', 'did not accept a connection within 2.5 s', 'firewall'],
    [timeout('connect'), TOKEN, 'timeout', 'did not accept a connection', 'firewall'],
    [timeout('tls'), UPSTREAM, 'api_timeout', 'did not finish the TLS handshake within 2.5 s', 'intercepts TLS'],
    [
      timeout('request_body'),
      UPSTREAM,
      'client_slow',
      'A client was still sending its request body',
      'Raise `timeout`',
    ],
    [timeout('send'), UPSTREAM, 'api_slow', 'did not take the whole request', 'Check the outcome'],
    [timeout('response'), UPSTREAM, 'api_slow', 'did not respond within 2.5 s', 'raise `timeout`'],
    [timeout('token'), TOKEN, 'token_endpoint_slow', 'accepted a token request but did not respond', 'keeps retrying'],
  ],
  egress_refused: [
    [
      egressRefused(407),
      UPSTREAM,
      'egress_credentials',
      'proxy.example:3128 does not accept the login',
      'in `egress_proxy`',
    ],
    [egressRefused(401), UPSTREAM, 'egress_credentials', '(HTTP 401)', 'user and password'],
    [
      egressRefused(403),
      TOKEN,
      'egress_refused',
      'proxy.example:3128 did not connect to api.example.com (HTTP 403).',
      'Allow CONNECT to api.example.com',
    ],
    [egressRefused(502), UPSTREAM, 'egress_refused', 'did not connect', 'cannot look up or reach api.example.com'],
  ],
  egress_failed: [
    [
      egressFailed('ECONNREFUSED'),
      UPSTREAM,
      'egress_unreachable',
      'proxy.example:3128 refuses',
      'port in `HTTPS_PROXY`',
    ],
    [egressFailed('ETIMEDOUT'), TOKEN, 'egress_unreachable', 'did not open a connection in time', 'is overloaded'],
    [egressFailed('INVALID_RESPONSE'), UPSTREAM, 'egress_unreachable', 'not HTTP', 'those of an HTTP proxy'],
  ],
  connection_lost: [
    [{ kind: 'connection_lost', host: HOST }, UPSTREAM, 'api_reset', 'broke before the response', 'Check the outcome'],
  ],
  malformed_response: [
    [
      { kind: 'malformed_response', rule: 'it has two Content-Length lines', host: HOST },
      UPSTREAM,
      'api_no_http',
      'The response of api.example.com is not valid HTTP: it has two Content-Length lines.',
      'Check the outcome',
    ],
    [
      { kind: 'malformed_response', rule: 'HPE_INVALID_CONSTANT', host: undefined },
      TOKEN,
      'no_http',
      'The response of auth.example.com is not valid HTTP: HPE_INVALID_CONSTANT.',
      'the scheme (http or https) in `auth_server`',
    ],
  ],
  http_status: [
    [{ kind: 'http_status', status: 500 }, TOKEN, 'token_endpoint_down', 'HTTP 500 from auth.example.com', 'failing'],
    [{ kind: 'http_status', status: 429 }, TOKEN, 'token_endpoint_throttles', 'too many (HTTP 429)', '`token_store`'],
    [{ kind: 'http_status', status: 302 }, TOKEN, 'token_answer_unusable', 'HTTP 302', 'does not follow redirects'],
    [{ kind: 'http_status', status: 404 }, TOKEN, 'token_answer_unusable', 'HTTP 404', 'path and method'],
  ],
  redirected: [
    [redirected('path'), TOKEN, 'token_answer_unusable', 'redirects to https://a.example/token/ (HTTP 301)', '`path`'],
    [redirected('host'), TOKEN, 'token_answer_unusable', 'redirects', 'if that is a server of the provider'],
    [redirected('scheme'), TOKEN, 'token_answer_unusable', 'redirects', 'Write `https:` in `auth_server`.'],
    [redirected('path'), { ...TOKEN, key: 'issuer' }, 'token_answer_unusable', '', 'in place of `issuer`'],
    [redirected('path'), { server: 'token endpoint' }, 'token_answer_unusable', '', 'The log has the address'],
  ],
  html_page: [
    [{ kind: 'html_page', status: 503 }, TOKEN, 'token_endpoint_html', 'a web page instead of a token', 'in a browser'],
  ],
  client_certificate: [
    [
      { kind: 'client_certificate', problem: 'missing', status: 400 },
      TOKEN,
      'token_endpoint_certificate',
      'The token endpoint at auth.example.com demands a client certificate (HTTP 400).',
      '`tls.token_endpoint: true`',
    ],
    [
      { kind: 'client_certificate', problem: 'refused', status: 400 },
      TOKEN,
      'token_endpoint_certificate',
      'does not accept the client certificate',
      'must not have expired',
    ],
  ],
  credentials_refused: [
    [
      { kind: 'credentials_refused', status: 401 },
      { ...MPESA, environment: 'sandbox' },
      'denied_in_sandbox',
      'M-Pesa refused the credentials at its sandbox host auth.example.com (HTTP 401).',
      'Check `consumer_key` and `consumer_secret`: copy them again',
    ],
    [
      { kind: 'credentials_refused', status: 400 },
      DOCTOR,
      'denied_in_sandbox',
      'M-Pesa refused the credentials at its sandbox host auth.example.com (HTTP 400) and said {"e":1}.',
      'without quotes or spaces around them. They may also be production credentials.',
    ],
    [
      { kind: 'credentials_refused', status: 401 },
      IN_PRODUCTION,
      'denied_in_production',
      'at its production host auth.example.com',
      "they are wrong, or they are sandbox credentials, which production does not know. `wakala doctor '/mpesa/*'` tells which. The log has what the provider said.",
    ],
    [
      { kind: 'credentials_refused', status: 401 },
      { ...IN_PRODUCTION, worksInSandbox: true },
      'denied_in_production',
      'its sandbox accepts them: they are sandbox credentials.',
      'Set `environment: sandbox`',
    ],
    [
      { kind: 'credentials_refused', status: 401 },
      { server: 'token endpoint' },
      'denied',
      'The provider refused the credentials at the token endpoint (HTTP 401).',
      'Check the credentials of the route',
    ],
  ],
  no_usable_token: [
    [noToken('empty_body'), TOKEN, 'token_answer_unusable', 'HTTP 200, but with an empty body.', '`auth_server`'],
    [noToken('not_json'), TOKEN, 'token_answer_unusable', 'not JSON', '`token.response`'],
    [noToken('xml'), TOKEN, 'token_answer_unusable', 'with XML', '`format`'],
    [noToken('wrong_format'), TOKEN, 'token_answer_unusable', 'does not have the `format`', '`token.response`'],
    [noToken('field_missing'), TOKEN, 'token_answer_unusable', 'without a token', '`access_token`'],
    [noToken('not_sendable'), TOKEN, 'token_answer_unusable', 'longer than 8 KiB', '`token.response`'],
  ],
  undecodable_body: [
    [
      { kind: 'undecodable_body', problem: 'broken', coding: 'gzip', status: 200 },
      ...[TOKEN, 'token_answer_unusable', 'with HTTP 200, but its body is not valid gzip.', 'without compression'],
    ] as Row,
  ],
  refresh_token_unavailable: [
    [
      { kind: 'refresh_token_unavailable', code: 'ECONNREFUSED' },
      TOKEN,
      'refresh_token_unavailable',
      'which cannot be used (ECONNREFUSED). Wakala requests no token without it',
      'under `token_store`',
    ],
    [
      { kind: 'refresh_token_unavailable', code: 'unreadable' },
      TOKEN,
      'refresh_token_unavailable',
      '(unreadable)',
      '`token_store.previous_keys`',
    ],
  ],
  no_token_endpoint: [
    [
      { kind: 'no_token_endpoint', problem: '/x is of another issuer', status: 200, host: 'id.example.com' },
      TOKEN,
      'token_answer_unusable',
      'The metadata of the issuer id.example.com names no token endpoint that Wakala can use: /x is of another issuer.',
      'Write `issuer` exactly',
    ],
    [
      { kind: 'no_token_endpoint', problem: 'x', status: 502, host: 'id.example.com' },
      TOKEN,
      'token_endpoint_down',
      'HTTP 502 from id.example.com',
      'failing',
    ],
    [
      { kind: 'no_token_endpoint', problem: 'x', status: 429, host: 'id.example.com' },
      TOKEN,
      'token_endpoint_throttles',
      'id.example.com',
      '`token_store`',
    ],
  ],
  value_impossible: [
    [
      { kind: 'value_impossible', problem: 'The key is too short', credentials: ['client_id', 'private_key'] },
      TOKEN,
      'token_value_impossible',
      'could not compute a value of the token request: The key is too short.',
      '`client_id` and `private_key`',
    ],
  ],
  limit: [
    [{ kind: 'limit', key: 'max_concurrency' }, UPSTREAM, 'overloaded', '`max_concurrency`', 'Raise `max_concurrency`'],
  ],
  loop: [[{ kind: 'loop' }, UPSTREAM, 'loop', 'came back to Wakala', 'Set `upstream`']],
  shutdown: [[{ kind: 'shutdown', host: HOST }, UPSTREAM, 'shutdown', 'connections to api.example.com', 'again']],
  internal: [
    [{ kind: 'internal' }, UPSTREAM, 'internal_error', 'An internal error in Wakala ended a request.', 'report'],
    [{ kind: 'internal' }, TOKEN, 'token_unavailable', 'ended a token request', 'report'],
  ],
};

describe('the diagnosis', () => {
  it.each(Object.values(ROWS).flat())('of %j at %o is %s', (reason, context, code, what, hint) => {
    const diagnosis = diagnose(reason, context);
    expect(diagnosis.code).toBe(code);
    expect(diagnosis.what).toContain(what);
    expect(diagnosis.hint).toContain(hint);
    for (const text of [diagnosis.what, diagnosis.hint]) expect(text).toMatch(/^\S.*[^.]\.$/);
  });

  it.each<[code: string, what: string]>([
    ['CERT_HAS_EXPIRED', 'expired on 2026-03-01 (CERT_HAS_EXPIRED).'],
    ['CERT_NOT_YET_VALID', 'is not valid before an unknown day (CERT_NOT_YET_VALID).'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'is for a.example, b.example (ERR_TLS_CERT_ALTNAME_INVALID).'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', ', `Example CA` (UNABLE_TO_GET_ISSUER_CERT_LOCALLY).'],
  ])('of %s says what the certificate says, if it was looked at', (code, what) => {
    const certificate = {
      names: 'a.example, b.example',
      issuer: 'Example CA',
      validFromMs: NaN,
      validUntilMs: Date.UTC(2026, 2, 1),
    };
    expect(diagnose(network(code), { ...UPSTREAM, certificate }).what).toContain(what);
  });
});

describe('the context of a token request', () => {
  it('names the token endpoint, its key and the credentials', () => {
    const provider = providerNamed('mpesa')!;
    const route = { name: '/mpesa/*', provider, environment: 'sandbox', authServer: 'https://a.example:444' } as const;
    expect(tokenContext(route)).toEqual({
      server: 'token endpoint',
      host: 'a.example:444',
      key: 'auth_server',
      route: '/mpesa/*',
      provider: provider.title,
      environment: 'sandbox',
      credentials: ['`consumer_key`', '`consumer_secret`'],
    });
  });

  it.each<['issuer' | 'token_endpoint', string | undefined]>([
    ['issuer', 'https://id.example'],
    ['token_endpoint', undefined],
  ])('names `%s` under `oauth2`', (key, issuer) => {
    const provider = providerNamed('mpesa')!;
    if (!('request' in provider.token)) throw new Error('mpesa has an exchange');
    const oauth2 = { clientAuth: 'client_secret_basic', ...(issuer !== undefined && { issuer }) } as const;
    const request = { ...provider.token.request, path: 'https://t.example/token', oauth2 };
    const token = { ...provider.token, request };
    const context = tokenContext({ provider: { ...provider, token }, authServer: 'https://a.example' });
    expect(context).toMatchObject({ key, host: 't.example' });
  });
});

describe('the hint for problems and the log', () => {
  const reason: Reason = { kind: 'network', code: 'ECONNREFUSED', host: HOST };

  it('comes from the same table', () => {
    expect(hintFor(new ProxyError('upstream_unreachable', '', { reason }))).toBe(diagnose(reason, UPSTREAM).hint);
    const { hint } = diagnose(reason, { server: 'token endpoint' });
    expect(hintFor(new ProxyError('token_unavailable', '', { reason }))).toBe(hint);
    expect(hint).toContain('host and port in the configuration');
  });

  it('is there for a request that was not sent because of a timeout', () => {
    const error = (phase: 'connect' | 'response', outcome: 'not_sent' | 'unknown') =>
      new ProxyError('upstream_timeout', '', { reason: timeout(phase), outcome });
    expect(hintFor(error('connect', 'not_sent'))).toContain('firewall');
    expect(hintFor(error('response', 'unknown'))).toBeUndefined();
  });

  it('is left out if the detail says what to do, or there is no reason', () => {
    const lost = new ProxyError('upstream_reset', '', { reason: { kind: 'connection_lost', host: HOST } });
    expect(hintFor(lost)).toBeUndefined();
    const refused = { kind: 'credentials_refused', status: 401 } as const;
    expect(hintFor(new ProxyError('token_denied', '', { reason: refused }))).toBeUndefined();
    expect(hintFor(new ProxyError('token_unavailable', ''))).toBeUndefined();
  });
});

describe('the diagnosis of the clock', () => {
  it.each([
    [30_001, 'is 30 s behind that of auth.example.com.'],
    [-125_000, 'is 2 min 5 s ahead of that of auth.example.com.'],
  ])('of a skew of %i ms says which clock is ahead', (skewMs, what) => {
    const diagnosis = diagnoseClock(skewMs, 'auth.example.com');
    expect(diagnosis?.what).toContain(what);
    expect(diagnosis?.hint).toContain('NTP');
  });

  it.each([30_000, -30_000, 0, undefined])('of a skew of %s ms is that nothing is wrong', (skewMs) => {
    expect(diagnoseClock(skewMs, HOST)).toBeUndefined();
  });
});

describe('the diagnosis of the token store', () => {
  it.each([
    ['WRONGPASS', 'user and password under `token_store`'],
    ['NOAUTH', 'user and password'],
    ['ERR', 'user and password'],
    ['NOPERM', 'EVAL, PUBLISH and SUBSCRIBE'],
    ['timeout', 'within 80 ms'],
    ['paused', 'within 80 ms'],
    ['UNKNOWN_MASTER', '`token_store.sentinel.name`'],
    ['READONLY', '`token_store.sentinel`'],
    ['ECONNREFUSED', 'hosts and ports under `token_store`'],
  ])('by the code %s', (code, hint) => {
    expect(diagnoseStore(code).what).toContain(`cannot be used (${code}).`);
    expect(diagnoseStore(code).hint).toContain(hint);
  });

  it('needs no code', () => {
    expect(diagnoseStore(undefined).what).toMatch(
      /^The token store \(Redis\) cannot be used\. Until it works, each process/,
    );
  });
});
