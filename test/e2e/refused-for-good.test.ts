import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { ShiftedClock } from '../support/proxy-clock.ts';
import { routeTo, startProxy, startProxyTo } from '../support/proxy-server.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';

/** What the app may not call is refused whatever the token; everything else is served. */
async function start() {
  const clock = new ShiftedClock();
  const refusal = '{ "errorCode" : "401.x" ,\n "odd spacing":"\u00e9" }';
  const upstream = await RawUpstream.start((request) =>
    request.target.startsWith('/forbidden') ? reply(401, refusal, 'x-own: word') : reply(200, 'fine'),
  );
  const proxy = await startProxyTo(upstream, {}, clock);
  const call = (path: string, method = 'GET') => sendRequest(proxy.port, `/api${path}`, { method });
  return { clock, upstream, refusal, call };
}

describe('a call that is refused with any token', () => {
  it('gets the response of the provider byte for byte after two attempts and one exchange', async () => {
    const { upstream, refusal, call } = await start();
    const response = await call('/forbidden');
    expect([response.status, response.text, response.header('x-own')]).toEqual([401, refusal, 'word']);
    expect(response.header('wakala-token')).toBe('replayed');
    expect([upstream.requests.length, upstream.tokens.length]).toEqual([2, 2]);
  });

  it('costs no exchange and no second attempt for 30 s', async () => {
    const { clock, upstream, refusal, call } = await start();
    await call('/forbidden');
    for (const secondsLater of [0, 10, 10, 9]) {
      clock.shiftMs += secondsLater * 1000;
      const response = await call('/forbidden');
      expect([response.status, response.text, response.header('wakala-token')]).toEqual([401, refusal, 'not-replayed']);
    }
    expect([upstream.requests.length, upstream.tokens.length]).toEqual([6, 2]);
  });

  it('is tried with another token after 30 s', async () => {
    const { clock, upstream, call } = await start();
    await call('/forbidden');
    clock.shiftMs += 31_000;
    expect((await call('/forbidden')).header('wakala-token')).toBe('replayed');
    expect(upstream.tokens).toHaveLength(3);
  });

  it('does not cost other calls their token', async () => {
    const { upstream, call } = await start();
    await call('/forbidden');
    const responses = [await call('/fine'), await call('/forbidden'), await call('/fine')];
    expect(responses.map((response) => [response.status, response.header('wakala-token')])).toEqual([
      [200, 'cached'],
      [401, 'not-replayed'],
      [200, 'cached'],
    ]);
    expect(upstream.tokens).toHaveLength(2);
  });

  it('is tracked per client: the same call of another client forces an exchange', async () => {
    const upstream = await RawUpstream.start(() => reply(401, 'no'));
    const clients = ['shop', 'till'].map((name) => ({ name, key: `key-of-the-${name}-0123456789abcdef` }));
    const proxy = await startProxy({ clients, routes: { '/api/*': routeTo(upstream) } });
    const uses: unknown[] = [];
    for (const { key } of [clients[0]!, clients[0]!, clients[1]!, clients[1]!]) {
      const response = await sendRequest(proxy.port, '/api/forbidden', { headers: { authorization: `Bearer ${key}` } });
      uses.push(response.header('wakala-token'));
    }
    expect(uses).toEqual(['replayed', 'not-replayed', 'replayed', 'not-replayed']);
  });

  it('does not prevent other methods or paths from renewing a token that served and then died', async () => {
    const dead = new Set<string>();
    const upstream = await RawUpstream.start((request) => {
      const [authorization = ''] = request.values('authorization');
      if (request.target === '/forbidden' || dead.has(authorization)) return reply(401, 'no');
      return reply(200, 'fine');
    });
    const proxy = await startProxyTo(upstream);
    const call = (path: string) => sendRequest(proxy.port, `/api${path}`);
    await call('/forbidden');
    for (let time = 0; time < 4; time++) {
      expect((await call('/fine')).status).toBe(200);
      dead.add(`Bearer ${upstream.tokens.at(-1)!}`);
      const response = await call('/fine');
      expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    }
    expect(upstream.tokens).toHaveLength(6);
  });

  it('on many forbidden paths does not use up tokens', async () => {
    const { upstream, call } = await start();
    for (let i = 0; i < 20; i++) expect((await call(`/forbidden/${i}`)).status).toBe(401);
    expect(upstream.tokens.length).toBeLessThanOrEqual(3);
  });
});
