import { onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulators/emulator.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { freePort } from '../support/free-port.ts';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { routeTo, routeToEmulator, type StartedProxy, startProxy } from '../support/proxy-server.ts';
import { json, RawUpstream, refusingFirstToken, reply } from '../support/upstream-raw.ts';
import { Scrape } from './metrics-text.ts';

/** A token endpoint on the upstream. */
const ELSEWHERE = {
  token: {
    request: { path: '/login', json: { key: '{key}' } },
    response: { access_token: 'access_token', expires_in: 'expires_in' },
  },
};

export async function scrape(proxy: StartedProxy): Promise<Scrape> {
  const { status, text } = await sendRequest(proxy.server.admin?.port ?? 0, '/metrics');
  if (status !== 200) throw new Error(`/metrics responded ${status}: ${text}`);
  return new Scrape(text);
}

/** A proxy with a token store that is away, and some of everything: traffic, errors, refusals, a fixed key. */
export async function startBusyProxy() {
  const upstream = await RawUpstream.start((request) => reply(request.target === '/bad' ? 500 : 200, 'fine'));
  const refusing = await RawUpstream.start(refusingFirstToken(() => reply(200, 'fine')));
  const failing = await RawUpstream.start(() => reply(503, '', 'retry-after: 600'));
  const denying = await RawUpstream.start(() => json(401, { error: 'invalid_client' }));
  const emulator = await startEmulator(mpesa, { port: 0 });
  onTestFinished(() => emulator.close());
  const nothing = { origin: `http://127.0.0.1:${await freePort()}` };
  const proxy = await startProxy({
    admin: '127.0.0.1:0',
    token_store: {
      redis: `redis://127.0.0.1:${await freePort()}`,
      encryption_key: 'canary-encryption-key-of-the-store-0123',
    },
    routes: {
      '/api/*': routeTo(upstream),
      '/refusing/*': routeTo(refusing),
      '/denied/*': routeTo(denying, ELSEWHERE),
      '/failing/*': routeTo(failing, ELSEWHERE),
      '/away/*': routeTo(nothing, { auth_server: upstream.origin }),
      '/fixed/*': {
        provider: 'static',
        upstream: upstream.origin,
        credentials: { token: 'canary-fixed-key-0123456789' },
      },
      '/mpesa/*': routeToEmulator(emulator),
      '/unused/*': routeTo(upstream, { credentials: { key: 'canary-unused-key' } }),
    },
  });
  const { port } = proxy;
  const statuses = [
    (await sendRequest(port, '/api/one')).status,
    (await sendRequest(port, '/api/two?canary-query=canary-value')).status,
    (await sendRequest(port, '/api/bad')).status,
    (await sendJson(port, '/refusing/x', { canary: 'canary-body' })).status,
    (await sendRequest(port, '/denied/x')).status,
    (await sendRequest(port, '/failing/x')).status,
    (await sendRequest(port, '/away/x')).status,
    (await sendRequest(port, '/fixed/x')).status,
    (await sendRequest(port, '/mpesa/none', { headers: { authorization: 'Bearer canary-of-the-client' } })).status,
  ];
  return { proxy, upstream, refusing, emulator, statuses };
}
