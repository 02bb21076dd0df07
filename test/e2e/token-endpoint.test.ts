import { describe, expect, it } from 'vitest';
import { sampleBody } from '../../src/providers/provider.ts';
import { expectProblem, sendJson } from '../support/proxy-client.ts';
import { ShiftedClock } from '../support/proxy-clock.ts';
import { startProxyToEmulator } from '../support/proxy-server.ts';

async function start(settings: Record<string, unknown> = {}, name = 'mpesa') {
  const clock = new ShiftedClock();
  const { emulator, proxy } = await startProxyToEmulator(name, settings, clock);
  const { samples } = emulator.provider;
  const [path, json] = [samples.call.path, sampleBody({ samples })];
  return { clock, emulator, proxy, call: () => sendJson(proxy.port, `/${name}${path}`, json) };
}

const BROKEN = ['down', '429', '500', 'html', 'truncated', 'empty'];

describe.each(BROKEN)('a token endpoint that is %s', (mode) => {
  it('gives a cold route a 503 before anything is sent to the API', async () => {
    const { emulator, call } = await start();
    emulator.control({ token_endpoint: mode });
    const response = await call();
    expectProblem(response, { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
    expect(Number(response.header('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(response.header('wakala-token')).toBeUndefined();
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 0 });
  });

  it('is not called again before the backoff ends, and then serves', async () => {
    const { clock, emulator, call } = await start();
    emulator.control({ token_endpoint: mode });
    await call();
    emulator.control({ token_endpoint: 'ok' });
    expectProblem(await call(), { status: 503, code: 'token_unavailable' });
    expect(emulator.stats().token_requests).toBe(1);
    clock.shiftMs += 1000;
    expect((await call()).status).toBe(200);
  });

  it('has no effect on a warm route', async () => {
    const { emulator, call } = await start();
    await call();
    emulator.control({ token_endpoint: mode });
    const response = await call();
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'cached']);
  });

  it('has no effect while a token that is due for renewal is still valid', async () => {
    // A truncated response of M-Pesa would have invalidated the token.
    const { clock, emulator, call } = await start({}, 'jeel');
    await call();
    emulator.control({ token_endpoint: mode });
    clock.shiftMs += (emulator.provider.samples.accessLifetimeS - 10) * 1000;
    expect((await call()).status).toBe(200);
    expect((await call()).status).toBe(200);
  });

  it('leaves a call with a dead token the response of the provider', async () => {
    const { emulator, call } = await start();
    await call();
    emulator.control({ token_endpoint: mode, expire_tokens: true });
    const response = await call();
    expect([response.status, response.json()['errorCode']]).toEqual([404, '404.001.03']);
    expect(response.header('wakala-token')).toBe('not-replayed');
    expect(emulator.stats()).toMatchObject({ api_calls: 2, refused: 1 });
  });
});

describe.each(['denied', 'denied-empty'])('credentials that are %s', (mode) => {
  it('give a cold route a 502 with a message of Wakala, before anything is sent', async () => {
    const { emulator, proxy, call } = await start();
    emulator.control({ token_endpoint: mode });
    const response = await call();
    expectProblem(response, { status: 502, code: 'token_denied', outcome: 'not_sent' });
    expect(response.header('proxy-status')).toContain('proxy_configuration_error');
    expect(response.text).not.toContain('Invalid Authentication passed');
    expect(proxy.logText().includes('Invalid Authentication passed')).toBe(mode === 'denied');
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 0 });
  });

  it('are not tried again before the backoff ends', async () => {
    const { clock, emulator, call } = await start();
    emulator.control({ token_endpoint: mode });
    for (let i = 0; i < 5; i++) expectProblem(await call(), { status: 502, code: 'token_denied' });
    expect(emulator.stats().token_requests).toBe(1);
    clock.shiftMs += 1000;
    expectProblem(await call(), { status: 502, code: 'token_denied' });
    expect(emulator.stats().token_requests).toBe(2);
  });

  it('have no effect on a warm route', async () => {
    const { emulator, call } = await start();
    await call();
    emulator.control({ token_endpoint: mode });
    expect((await call()).status).toBe(200);
  });
});

describe('Retry-After of a token endpoint', () => {
  it.each(['429', '500'])('on a %s is passed on and respected', async (mode) => {
    const { clock, emulator, call } = await start();
    emulator.control({ token_endpoint: mode, retry_after: 120 });
    expect((await call()).header('retry-after')).toBe('120');
    emulator.control({ token_endpoint: 'ok' });
    clock.shiftMs += 100_000;
    const later = await call();
    expect(later.status).toBe(503);
    expect(Number(later.header('retry-after'))).toBeLessThanOrEqual(20);
    expect(emulator.stats().token_requests).toBe(1);
    clock.shiftMs += 20_000;
    expect((await call()).status).toBe(200);
  });
});

describe('a token endpoint that is slow', () => {
  it('gives a cold route a 503 at its deadline, before anything is sent', async () => {
    const { emulator, call } = await start({ timeout: '200ms' });
    emulator.control({ token_delay_ms: 60_000 });
    expectProblem(await call(), { status: 503, code: 'token_unavailable', outcome: 'not_sent' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, api_calls: 0 });
  });

  it('is awaited within the deadline', async () => {
    const { emulator, call } = await start();
    emulator.control({ token_delay_ms: 200 });
    expect((await call()).status).toBe(200);
  });

  it('still provides the next call with a token when the first client has disconnected', async () => {
    const { emulator, call } = await start({ timeout: '200ms' });
    emulator.control({ token_delay_ms: 500 });
    const responses = [await call(), await call(), await call(), await call()];
    expect(responses[0]?.status).toBe(503);
    expect(responses.at(-1)?.status).toBe(200);
    expect(emulator.stats().token_requests).toBe(1);
  });
});
