import { describe, expect, it } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawUpstream, refusingFirstToken, reply } from '../support/upstream-raw.ts';

const QUERY = { token_query: 'access_token' };

describe('a route with token_query', () => {
  it('sends the token in the query and in no header, in place of what the client sends', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const proxy = await startProxyTo(upstream, QUERY);
    const headers = { authorization: 'Bearer mine' };
    await sendRequest(proxy.port, '/api/p%2Fay?a=%2f&access%5Ftoken=mine', { headers });
    const { target, values } = await upstream.request();
    expect(target).toBe(`/p%2Fay?a=%2f&access_token=${upstream.tokens[0]}`);
    expect(values('authorization')).toEqual([]);
    expect(upstream.received.toString('latin1')).not.toContain('mine');
  });

  it('sends it in a header too if token_header is set', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'paid'));
    const proxy = await startProxyTo(upstream, { ...QUERY, token_header: { name: 'X-Token' } });
    await sendRequest(proxy.port, '/api/pay');
    const { target, values } = await upstream.request();
    expect([target, values('x-token')]).toEqual([`/pay?access_token=${upstream.tokens[0]}`, upstream.tokens]);
    expect(values('authorization')).toEqual([]);
  });

  it('sends the second attempt with the next token', async () => {
    const upstream = await RawUpstream.start((request) =>
      request.target.endsWith(upstream.tokens[0] ?? '') ? reply(401) : reply(200, 'paid'),
    );
    const proxy = await startProxyTo(upstream, QUERY);
    const response = await sendRequest(proxy.port, '/api/pay?b=1');
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'replayed']);
    expect(upstream.requests.map(({ target }) => target)).toEqual(
      upstream.tokens.map((token) => `/pay?b=1&access_token=${token}`),
    );
  });

  it('sends it with a WebSocket handshake', async () => {
    const upstream = await RawUpstream.start(() => reply(403, 'no'));
    const proxy = await startProxyTo(upstream, { ...QUERY, websocket: true });
    const headers = {
      ...{ connection: 'Upgrade', upgrade: 'websocket' },
      ...{ 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==', 'sec-websocket-version': '13' },
    };
    await sendRequest(proxy.port, '/api/feed?access_token=mine', { headers });
    const { target, values } = await upstream.request();
    expect(target).toBe(`/feed?access_token=${upstream.tokens[0]}`);
    expect(values('authorization')).toEqual([]);
  });

  it('passes no response header on that has the token, and logs none', async () => {
    const upstream = await RawUpstream.start(({ target }) =>
      reply(302, '', `location: http://api.example${target}`, `link: <${target}>`, 'x-other: 1'),
    );
    const proxy = await startProxyTo(upstream, { ...QUERY, timeout: '5s' });
    const response = await sendRequest(proxy.port, '/api/pay');
    expect([response.status, response.header('location'), response.header('link')]).toEqual([
      302,
      undefined,
      undefined,
    ]);
    expect(response.header('x-other')).toBe('1');
    upstream.stopListening();
    for (const socket of upstream.sockets) socket.destroy();
    const failure = await sendRequest(proxy.port, '/api/pay', { body: 'x' });
    expect(failure.status).toBe(502);
    const seen = [proxy.logText(), failure.text, String(failure.rawHeaders)].join('\n');
    expect(seen).not.toContain(upstream.tokens[0]);
  });

  it('a route without it keeps the query of the client', async () => {
    const upstream = await RawUpstream.start(refusingFirstToken(() => reply(200, 'paid')));
    const proxy = await startProxyTo(upstream);
    await sendRequest(proxy.port, '/api/pay?access_token=mine');
    expect((await upstream.request()).target).toBe('/pay?access_token=mine');
  });
});
