import { describe, expect, it } from 'vitest';
import type { Emulator } from '../../src/emulators/emulator.ts';
import { isRequested, sampleBody } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { ShiftedClock } from '../support/proxy-clock.ts';
import { startProxyToEmulator } from '../support/proxy-server.ts';

/** Providers with hosts and a token endpoint. */
const NAMES = providers.flatMap(({ name, hosts, token }) => (hosts === undefined || !isRequested(token) ? [] : [name]));

/** What the sample call gets, where it is not 200. */
const CREATED = new Map([
  ['paypal', 201],
  ['kopokopo', 201],
  ['vodacom-mpesa', 201],
]);

function sampleCall(port: number, emulator: Emulator, headers: Record<string, string> = {}) {
  const { name, samples } = emulator.provider;
  const path = `/${name}${samples.call.path}`;
  const json = sampleBody({ samples });
  return json === undefined ? sendRequest(port, path, { headers }) : sendJson(port, path, json, headers);
}

describe.each(NAMES)('%s', (name) => {
  const OK = CREATED.get(name) ?? 200;

  it('requests a token on a cold route and keeps it for the next call', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    const cold = await sampleCall(proxy.port, emulator);
    const warm = await sampleCall(proxy.port, emulator);
    expect([cold.status, cold.header('wakala-token')]).toEqual([OK, 'fetched']);
    expect([warm.status, warm.header('wakala-token')]).toEqual([OK, 'cached']);
    expect(cold.header('x-emulated-by')).toBe('wakala');
    if (cold.text !== '') expect(Object.keys(warm.json())).toEqual(Object.keys(cold.json()));
    expect(emulator.stats()).toMatchObject({ token_requests: 1, exchanges: 1, api_calls: 2, refused: 0 });
  });

  it('gets another token if the cached one is dead, and sends the call again', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    await sampleCall(proxy.port, emulator);
    emulator.control({ expire_tokens: true });
    const response = await sampleCall(proxy.port, emulator);
    expect([response.status, response.header('wakala-token')]).toEqual([OK, 'replayed']);
    expect(emulator.stats()).toMatchObject({ token_requests: 2, api_calls: 3, refused: 1 });
    expect((await sampleCall(proxy.port, emulator)).header('wakala-token')).toBe('cached');
  });

  it('gets another token without a refused call if the cached one has expired', async () => {
    const clock = new ShiftedClock();
    const { emulator, proxy } = await startProxyToEmulator(name, {}, clock);
    await sampleCall(proxy.port, emulator);
    // An absolute expiry is relative to the `Date` of the response, which is rounded to a second.
    clock.shiftMs += (emulator.provider.samples.accessLifetimeS + 1) * 1000;
    const response = await sampleCall(proxy.port, emulator);
    expect([response.status, response.header('wakala-token')]).toEqual([OK, 'fetched']);
    expect(emulator.stats()).toMatchObject({ token_requests: 2, api_calls: 2, refused: 0 });
  });

  it('relays the response of the provider if the new token is refused as well', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    await sampleCall(proxy.port, emulator);
    emulator.control({ expire_tokens: true, refuse_next_tokens: 1 });
    const response = await sampleCall(proxy.port, emulator);
    const { status, body } = emulator.provider.samples.deadTokenResponse;
    expect({ status: response.status, body: response.json() }).toEqual({ status, body });
    expect(response.header('wakala-token')).toBe('replayed');
    expect(emulator.stats()).toMatchObject({ token_requests: 2, api_calls: 3, refused: 2 });
  });

  it('sends a call at most twice if it is refused with any token', async () => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    emulator.control({ refuse_path: emulator.provider.samples.call.path });
    const response = await sampleCall(proxy.port, emulator);
    expect(response.status).toBe(emulator.provider.samples.deadTokenResponse.status);
    expect(response.header('wakala-token')).toBe('replayed');
    expect(emulator.stats()).toMatchObject({ token_requests: 2, api_calls: 2, refused: 2 });
  });
});

describe('refresh tokens', () => {
  it.each(['jpay', 'paypack'])('are used by %s instead of the credentials', async (name) => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    await sampleCall(proxy.port, emulator);
    emulator.control({ expire_tokens: true });
    expect((await sampleCall(proxy.port, emulator)).status).toBe(200);
    expect(emulator.stats()).toMatchObject({ exchanges: 1, refreshes: 1 });
  });

  it.each(['jpay', 'paypack'])('that are dead make %s use the credentials again', async (name) => {
    const { emulator, proxy } = await startProxyToEmulator(name);
    await sampleCall(proxy.port, emulator);
    emulator.control({ expire_tokens: true, revoke_refresh_tokens: true });
    const response = await sampleCall(proxy.port, emulator);
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(emulator.stats()).toMatchObject({ exchanges: 2, refreshes: 0, token_requests: 3 });
  });
});

describe('headers of the provider', () => {
  it('from Jeel Pay are relayed, including `tx_id`', async () => {
    const { emulator, proxy } = await startProxyToEmulator('jeel');
    expect((await sampleCall(proxy.port, emulator)).header('tx_id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    ['is put on where the client sends none', {}, 'development'],
    ['yields to the one the client sends', { 'x-webhook-mode': 'production' }, 'production'],
  ])('X-Webhook-Mode of Paypack %s', async (_, headers, mode) => {
    const { emulator, proxy } = await startProxyToEmulator('paypack');
    await sampleCall(proxy.port, emulator, headers);
    const events = await sendRequest(proxy.port, '/paypack/events/transactions');
    expect(events.text).toContain(`"webhook_mode":"${mode}"`);
  });
});

describe('an Idempotency-Key', () => {
  it('makes a payment that is sent again after a dead token one payment', async () => {
    const { emulator, proxy } = await startProxyToEmulator('jeel');
    const first = await sampleCall(proxy.port, emulator, { 'idempotency-key': 'order-7' });
    emulator.control({ expire_tokens: true });
    const again = await sampleCall(proxy.port, emulator, { 'idempotency-key': 'order-7' });
    expect(again.header('wakala-token')).toBe('replayed');
    expect(again.json()).toEqual(first.json());
  });
});
