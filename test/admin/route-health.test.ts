import { describe, expect, it } from 'vitest';
import { reloadHealth, routeHealth, storeHealth } from '../../src/admin/route-health.ts';
import type { RouteConfig } from '../../src/config/config.ts';
import type { ErrorCode, Reason } from '../../src/errors.ts';
import type { LastFailure } from '../../src/telemetry/route-stats.ts';
import type { CredentialSnapshot } from '../../src/telemetry/snapshot.ts';
import type { TokenFailure } from '../../src/tokens/exchange-stats.ts';
import { adminConfig } from './context.ts';
import { credentialSnapshot, tokenSnapshot } from './snapshots.ts';

const NOW = Date.UTC(2026, 0, 1, 9);

function routeIn(environment: 'sandbox' | 'production', more: object = {}): RouteConfig {
  const credentials = { consumer_key: 'key-of-mpesa', consumer_secret: 'secret-of-mpesa' };
  const file = { routes: { '/mpesa/*': { provider: 'mpesa', environment, credentials, ...more } } };
  return adminConfig({ file }).routes[0]!;
}

const SANDBOX = routeIn('sandbox');

function healthAfter(changes: Partial<CredentialSnapshot>, route = SANDBOX, failure?: LastFailure) {
  return routeHealth({ route, credential: credentialSnapshot(changes), failure, nowMs: NOW });
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

describe('the health of a route without a token', () => {
  it.each<[TokenFailure, string, string]>([
    [network('ECONNREFUSED'), 'connection_refused', `${HOST} refuses connections`],
    [unavailable({ kind: 'http_status', status: 500 }), 'token_endpoint_down', `HTTP 500 from ${HOST}`],
    [unavailable(undefined), 'token_unavailable', 'What happened.'],
  ])('is failing after %o, with the diagnosis %s', (failure, code, what) => {
    const { state, diagnostics } = healthAfter({ failure });
    expect({ state, code: diagnostics[0]?.code }).toEqual({ state: 'failing', code });
    expect(diagnostics[0]?.what).toContain(what);
    expect(diagnostics[0]?.hint).not.toBe('');
    expect(diagnostics).toHaveLength(1);
  });

  it('names the credentials that were refused, and the command that tells more', () => {
    const [diagnostic] = healthAfter({ failure: DENIED }, routeIn('production')).diagnostics;
    expect(diagnostic).toMatchObject({ code: 'denied_in_production', state: 'failing' });
    expect(diagnostic?.what).toContain('production host api.safaricom.co.ke');
    expect(diagnostic?.hint).toMatch(/`consumer_key` and `consumer_secret`.*`wakala doctor '\/mpesa\/\*'` tells which/);
  });

  it('has the time of the failure and of the next attempt', () => {
    expect(healthAfter({ failure: DENIED, retryAtMs: NOW + 8000 }).diagnostics[0]).toMatchObject({
      atMs: NOW - 2000,
      untilMs: NOW + 8000,
    });
    expect(healthAfter({ failure: DENIED, retryAtMs: NOW }).diagnostics[0]?.untilMs).toBeUndefined();
  });

  it('is ok before the first token request', () => {
    expect(healthAfter({})).toEqual({ state: 'ok', diagnostics: [] });
    const unknown = { route: SANDBOX, credential: undefined, failure: undefined, nowMs: NOW };
    expect(routeHealth(unknown)).toEqual({ state: 'ok', diagnostics: [] });
  });

  it('names the host of an absolute token URL', () => {
    const token = {
      request: { url: 'https://login.example/token', json: { key: '{key}' } },
      response: { access_token: 'token' },
    };
    const file = { routes: { '/x/*': { upstream: 'https://api.example', credentials: { key: 'k' }, token } } };
    const route = adminConfig({ file }).routes[0]!;
    const { diagnostics } = healthAfter({ failure: unavailable({ kind: 'http_status', status: 500 }) }, route);
    expect(diagnostics[0]?.what).toContain('login.example');
  });
});

describe('the health of a route with a token', () => {
  it('is a warning after a failed refresh, until the token expires', () => {
    const failure = unavailable({ kind: 'http_status', status: 500 });
    const { state, diagnostics } = healthAfter({ token: TOKEN, failure });
    expect(state).toBe('warning');
    expect(diagnostics[0]?.what).toContain('Requests still succeed');
    expect(healthAfter({ token: { ...TOKEN, expiresAtMs: NOW }, failure }).state).toBe('failing');
  });

  it('is a warning if the clock is wrong', () => {
    const { state, diagnostics } = healthAfter({ token: TOKEN, clockSkewMs: 30_001 });
    expect({ state, code: diagnostics[0]?.code }).toEqual({ state: 'warning', code: 'clock_off' });
    expect(diagnostics[0]?.what).toContain(HOST);
    expect(healthAfter({ token: TOKEN, clockSkewMs: 30_000 }).state).toBe('ok');
  });

  it('names the requests that are refused whatever the token is', () => {
    const calls = ['b2c', 'b2b', 'stk', 'c2b', 'x'].map((name, i) => ({
      client: name === 'b2b' ? 'shop' : undefined,
      call: `POST /${name}`,
      untilMs: NOW + i,
    }));
    const { state, diagnostics } = healthAfter({ token: TOKEN, refusedCalls: calls });
    expect({ state, code: diagnostics[0]?.code }).toEqual({ state: 'warning', code: 'token_refused_for_calls' });
    expect(diagnostics[0]?.what).toContain('POST /b2c, POST /b2b by shop, POST /stk and 2 more');
    expect(diagnostics[0]?.hint).toContain('API product');
    expect(diagnostics[0]?.untilMs).toBe(NOW + 4);
  });
});

describe('the health of a route whose last request failed', () => {
  const failure = (code: ErrorCode, detail: string, reason?: Reason): LastFailure => ({
    ...{ code, detail, reason },
    atMs: NOW,
    requestId: 'r-1',
  });
  const unreachable = (code: string) =>
    failure('upstream_unreachable', 'The provider could not be connected to.', { kind: 'network', code, host: HOST });
  const timeout = (phase: 'connect' | 'response') =>
    failure('upstream_timeout', '', { kind: 'timeout', phase, timeoutMs: 60_000, host: HOST });

  it.each<[LastFailure, string, string]>([
    [unreachable('ECONNREFUSED'), 'api_connection_refused', 'The request was not sent.'],
    [timeout('connect'), 'api_timeout', 'The request was not sent.'],
    [timeout('response'), 'api_slow', 'did not respond within 60 s.'],
    [failure('loop_detected', '', { kind: 'loop' }), 'loop', 'leads to this proxy'],
    [failure('internal_error', 'Wakala failed.', { kind: 'internal' }), 'internal_error', 'Wakala failed.'],
    [failure('upgrade_refused', 'It was refused.'), 'upgrade_refused', 'It was refused.'],
  ])('is failing after %o, with the diagnosis %s', (last, code, what) => {
    const { state, diagnostics } = healthAfter({ token: TOKEN }, SANDBOX, last);
    expect({ state, code: diagnostics[0]?.code }).toEqual({ state: 'failing', code });
    expect(diagnostics[0]?.what).toContain(what);
    expect(diagnostics[0]?.hint).not.toBe('');
  });

  it('is a warning if requests were rejected because of a limit', () => {
    const { state, diagnostics } = healthAfter(
      {},
      SANDBOX,
      failure('overloaded', '', { kind: 'limit', key: 'max_concurrency' }),
    );
    expect({ state, code: diagnostics[0]?.code }).toEqual({ state: 'warning', code: 'overloaded' });
  });

  it('takes a token failure from the credential, not from the request', () => {
    expect(healthAfter({ token: TOKEN }, SANDBOX, failure('token_denied', '')).state).toBe('ok');
    expect(healthAfter({ failure: DENIED }, SANDBOX, failure('token_denied', '')).diagnostics).toHaveLength(1);
  });

  it('has failures before warnings', () => {
    const { state, diagnostics } = healthAfter(
      { token: TOKEN, clockSkewMs: 90_000 },
      SANDBOX,
      unreachable('ECONNREFUSED'),
    );
    expect(state).toBe('failing');
    expect(diagnostics.map(({ code }) => code)).toEqual(['api_connection_refused', 'clock_off']);
  });
});

describe('the health of Wakala as a whole', () => {
  it('is a warning while the token store cannot be used', () => {
    expect(storeHealth(undefined)).toBeUndefined();
    expect(storeHealth({ connected: true, failure: undefined })).toBeUndefined();
    const diagnostic = storeHealth({ connected: false, failure: 'WRONGPASS' });
    expect(diagnostic).toMatchObject({ code: 'token_store_away', state: 'warning' });
    expect(diagnostic?.hint).toContain('refuses the login');
  });

  it('is a warning while the configuration on disk is invalid', () => {
    expect(reloadHealth({ taken: 1, refused: 0, failure: undefined })).toBeUndefined();
    const diagnostic = reloadHealth({ taken: 0, refused: 1, failure: 'proxy.config.yaml:3:1: unknown key' });
    expect(diagnostic?.what).toContain('proxy.config.yaml:3:1: unknown key');
    expect(diagnostic?.hint).toContain('wakala check');
  });
});
