import { describe, expect, it } from 'vitest';
import { ControlError } from '../../src/emulators/controls.ts';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { callApi, emulate, refreshTokens, requestToken, sampleCall, send, tokenOf } from './support.ts';

function controlUrl(emulator: Emulator): string {
  return `${new URL(emulator.apiUrl).origin}/_emulator`;
}

function post(emulator: Emulator, body: string, headers: Record<string, string> = {}) {
  return send(controlUrl(emulator), { method: 'POST', body, headers });
}

describe('POST /_emulator', () => {
  it('changes the switches and returns the new state', async () => {
    const { emulator } = await emulate(jpay);
    const { status, json } = await post(emulator, '{"token_endpoint": "429", "retry_after": 7, "lifetime": 20}');
    expect(status).toBe(200);
    expect(json).toMatchObject({
      provider: 'jpay',
      switches: { token_endpoint: '429', retry_after: 7, lifetime: 20 },
      counters: { exchanges: 0, tokens_alive: 0 },
    });
    expect((await send(controlUrl(emulator))).json).toEqual(json);
  });

  it('changes nothing if one key is unknown, and lists the allowed keys', async () => {
    const { emulator } = await emulate(jpay);
    const { status, json } = await post(emulator, '{"token_endpoint": "down", "expire": true}');
    expect(status).toBe(400);
    expect(json['error']).toContain('Unknown key "expire"');
    expect(json['error']).toContain('expire_tokens, revoke_refresh_tokens');
    expect(json['error']).not.toContain('webhook_url');
    expect((await requestToken(emulator)).status).toBe(200);
  });

  it.each([
    '{"token_endpoint": "broken"}',
    '{"lifetime": 0}',
    '{"lifetime": "20"}',
    '{"refuse_next_calls": -1}',
    '{"refuse_path": "mpesa"}',
    '{"expire_tokens": 1}',
    '{"__proto__": 1}',
    '[]',
    'nothing',
  ])('refuses %s', async (body) => {
    const { emulator } = await emulate(jpay);
    expect((await post(emulator, body)).status).toBe(400);
  });

  it('refuses requests from browsers', async () => {
    const { emulator } = await emulate(jpay);
    const guarded = [
      await post(emulator, '{"reset": true}', { origin: 'http://127.0.0.1:3000' }),
      await send(controlUrl(emulator), { headers: { 'sec-fetch-site': 'cross-site' } }),
      await post(emulator, '{"reset": true}', { 'sec-fetch-site': 'same-site' }),
      await send(controlUrl(emulator), { headers: { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' } }),
    ];
    expect(guarded.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
  });

  it('does the same as control()', async () => {
    const { emulator } = await emulate(jpay);
    expect(emulator.control({ lifetime: 5 })).toMatchObject({ switches: { lifetime: 5 } });
    expect(() => emulator.control({ nonsense: true })).toThrow(ControlError);
  });

  it('returns no token', async () => {
    const { emulator } = await emulate(jpay);
    const { json } = await requestToken(emulator);
    const { text } = await send(controlUrl(emulator));
    expect(text).not.toContain(String(json['access']));
  });
});

describe('switches', () => {
  it('expire_tokens invalidates issued tokens but not later ones', async () => {
    const { emulator } = await emulate(jpay);
    const token = await tokenOf(emulator);
    emulator.control({ expire_tokens: true });
    expect((await sampleCall(emulator, token)).status).toBe(401);
    expect((await sampleCall(emulator, await tokenOf(emulator))).status).toBe(200);
  });

  it('revoke_refresh_tokens invalidates refresh tokens but not access tokens', async () => {
    const { emulator } = await emulate(jpay);
    const { json } = await requestToken(emulator);
    emulator.control({ revoke_refresh_tokens: true });
    expect((await refreshTokens(emulator, String(json['refresh']))).status).toBe(401);
    expect((await sampleCall(emulator, String(json['access']))).status).toBe(200);
  });

  it('refuse_next_tokens issues tokens that the API refuses', async () => {
    const { emulator } = await emulate(mpesa);
    emulator.control({ refuse_next_tokens: 1 });
    expect((await sampleCall(emulator, await tokenOf(emulator))).json).toEqual(mpesa.samples.deadTokenResponse.body);
    expect((await sampleCall(emulator, await tokenOf(emulator))).status).toBe(200);
  });

  it('refuse_next_calls refuses that many calls', async () => {
    const { emulator } = await emulate(jpay);
    const token = await tokenOf(emulator);
    emulator.control({ refuse_next_calls: 2 });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await sampleCall(emulator, token)).status);
    expect(statuses).toEqual([401, 401, 200]);
    expect(emulator.stats()).toMatchObject({ api_calls: 3, refused: 2 });
  });

  it('refuse_path refuses calls below that path until it is null', async () => {
    const { emulator } = await emulate(mpesa);
    const token = await tokenOf(emulator);
    emulator.control({ refuse_path: '/mpesa/stkpush/' });
    expect((await sampleCall(emulator, token)).json).toEqual(mpesa.samples.deadTokenResponse.body);
    expect((await callApi(emulator, token, '/mpesa/b2c/v1/paymentrequest', {})).json).toMatchObject({
      errorCode: '400.002.02',
    });
    emulator.control({ refuse_path: null });
    expect((await sampleCall(emulator, token)).status).toBe(200);
  });

  it('lifetime sets the lifetime of new tokens', async () => {
    const { emulator, clock } = await emulate(mpesa);
    emulator.control({ lifetime: 20 });
    const { json } = await requestToken(emulator);
    expect(json['expires_in']).toBe('20');
    await clock.advance(20_000);
    expect((await sampleCall(emulator, String(json['access_token']))).status).toBe(404);
  });

  it('reset clears faults and counters and keeps tokens valid', async () => {
    const { emulator } = await emulate(jpay);
    const token = await tokenOf(emulator);
    emulator.control({ token_endpoint: 'down', refuse_next_calls: 5, lifetime: 3 });
    emulator.control({ reset: true });
    expect(emulator.stats()).toMatchObject({ token_requests: 0, exchanges: 0, tokens_alive: 1 });
    expect((await sampleCall(emulator, token)).status).toBe(200);
    expect((await requestToken(emulator)).status).toBe(200);
  });

  it('reset is applied before the other keys of the request', async () => {
    const { emulator } = await emulate(jpay);
    expect(emulator.control({ lifetime: 3, reset: true })).toMatchObject({ switches: { lifetime: 3 } });
  });
});

describe('token_endpoint', () => {
  it.each([
    ['429', 429, '7'],
    ['500', 500, '7'],
    ['html', 200, null],
    ['empty', 200, null],
    ['denied', 401, null],
    ['denied-empty', 401, null],
  ])('%s responds with %i and issues no token', async (mode, status, retryAfter) => {
    const { emulator } = await emulate(jpay);
    emulator.control({ token_endpoint: mode, retry_after: 7 });
    const reply = await requestToken(emulator);
    expect([reply.status, reply.headers.get('retry-after')]).toEqual([status, retryAfter]);
    expect(reply.headers.get('x-emulated-by')).toBe('wakala');
    expect(emulator.stats()).toMatchObject({ token_requests: 1, exchanges: 0, tokens_alive: 0 });
    emulator.control({ token_endpoint: 'ok' });
    expect((await requestToken(emulator)).status).toBe(200);
  });

  it('html responds with a page, empty and denied-empty with no body, denied with the body of the provider', async () => {
    const { emulator } = await emulate(jpay);
    const replyTo = (mode: string) => {
      emulator.control({ token_endpoint: mode });
      return requestToken(emulator);
    };
    const page = await replyTo('html');
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(page.text).toMatch(/^<!doctype html>/);
    expect((await replyTo('empty')).text).toBe('');
    expect((await replyTo('denied-empty')).text).toBe('');
    expect((await replyTo('denied')).json).toEqual(jpay.samples.deniedResponse.body);
  });

  it('down closes the connection without a response', async () => {
    const { emulator } = await emulate(jpay);
    emulator.control({ token_endpoint: 'down' });
    await expect(requestToken(emulator)).rejects.toThrow('fetch failed');
  });

  it('truncated closes the connection within a token response', async () => {
    const { emulator } = await emulate(mpesa);
    emulator.control({ token_endpoint: 'truncated' });
    await expect(requestToken(emulator)).rejects.toThrow('terminated');
    expect(emulator.stats().exchanges).toBe(1);
  });

  it('responds after token_delay_ms', async () => {
    const { emulator, clock } = await emulate(jpay);
    emulator.control({ token_delay_ms: 1000 });
    const reply = requestToken(emulator);
    await expect.poll(() => clock.timers).toBe(1);
    expect(emulator.stats()).toMatchObject({ token_requests: 1, exchanges: 0 });
    await clock.advance(1000);
    expect((await reply).status).toBe(200);
  });
});
