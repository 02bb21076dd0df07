import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { loadConfig, validateConfig } from '../../src/config/load.ts';
import { ProxyError } from '../../src/errors.ts';
import { decodeFully } from '../../src/http/url-path.ts';
import { parseTarget } from '../../src/proxy/target.ts';
import { TokenPathGuard } from '../../src/proxy/token-paths.ts';
import { readToken } from '../../src/tokens/token-response.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { startProxyTo } from '../support/proxy-server.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { possibleReadings } from './path-readings.ts';
import { requestsIn } from './strict.ts';

/** Earlier findings of the fuzzer. Add a case here for each new finding. */

function refusal(target: string): string {
  try {
    parseTarget(target, 'localhost');
    return 'let through';
  } catch (error) {
    return error instanceof ProxyError ? error.code : String(error);
  }
}

describe('a dot segment', () => {
  it.each([
    '/paypack/..%20',
    '/paypack/..%20/x',
    '/paypack/%20../x',
    '/paypack/.%09./x',
    '/paypack/.%0a./x',
    '/paypack/%0d../x',
    '/paypack/..%0a',
    '/paypack/..%2520',
    '/jpay/..%3f',
    '/jpay/..%3fa/b',
    '/jpay/..%253f',
    '/jpay/..%23x',
    '/jpay/.%3f/../x',
  ])('is refused if a server that decodes first would see it: %s', (target) => {
    expect(refusal(target)).toBe('bad_request_target');
  });

  it.each(['/paypack/a%20b', '/paypack/a..%20b', '/paypack/%20a', '/jpay/a%3fb', '/jpay/a..%3fb', '/jpay/%23'])(
    'is not suspected in a harmless path: %s',
    (target) => {
      expect(refusal(target)).toBe('let through');
    },
  );
});

describe('a token path', () => {
  const guardOf = (provider: string, names: readonly string[]) => {
    const route = { provider, credentials: Object.fromEntries(names.map((name) => [name, 'x'])) };
    const readFile = () => JSON.stringify({ routes: { '/p/*': route } });
    return new TokenPathGuard(loadConfig('proxy.config.yaml', { readFile, env: {} }).config.routes[0]!);
  };
  const paypack = guardOf('paypack', ['client_id', 'client_secret']);
  const jeel = guardOf('jeel', ['client_id', 'client_secret']);

  it.each([
    '/auth/refresh/;anything',
    '/auth/refresh/abc%2Fdef',
    '/auth/refresh/abc%252Fdef',
    '/auth/agents/refresh/e%2fb;x',
    '/auth/refresh/%3bx',
    '/auth/refresh/%3fx',
    '/auth/agents/refresh/%23x',
  ])('with a refresh token in any form is not forwarded: %s', (path) => {
    expect(['login', 'refused']).toContain(paypack.classify('GET', path));
  });

  it.each(['/oauth2/%09token', '/oauth2/token%20', '/oauth2%2f%20token', '/oauth2/token%3fa=b', '/oauth2/token%23'])(
    'is recognized with characters that a server may drop: %s',
    (path) => {
      expect(jeel.classify('POST', path)).toBe('refused');
    },
  );
});

describe('nested percent escapes', () => {
  it('are decoded in linear time', () => {
    const nested = `%${'25'.repeat(7900)}41`;
    const startedMs = performance.now();
    expect(decodeFully(nested)).toBe('A');
    expect(performance.now() - startedMs).toBeLessThan(60);
  });
});

describe('a token', () => {
  it.each([1e-9, 5e-324])('with a lifetime of %s seconds counts as expired and gets the default lifetime', (ttl) => {
    const body = JSON.stringify({ t: 'token', ttl });
    const token = readToken({ status: 200, headers: {}, body }, { accessToken: 't', expiresIn: 'ttl' }, 300, 1.7e12);
    expect(token.expiresAtMs).toBe(1.7e12 + 300_000);
  });
});

describe('a missing colon', () => {
  it.each([
    'credentials: { consumer_key: k, consumer_secret canary-0123456789 }',
    'credentials: { consumer_key: k, canary-0123456789 }',
    'headers: { X-Key "canary-0123456789" }',
    'headers: { X-Key=canary-0123456789 }',
  ])('does not reveal the secret in the error message: %s', (line) => {
    const text = `routes:\n  /mpesa/*:\n    provider: mpesa\n    ${line}\n`;
    const { problems } = validateConfig('proxy.config.yaml', { readFile: () => text, env: {} });
    expect(problems).not.toHaveLength(0);
    expect(JSON.stringify(problems)).not.toContain('canary');
  });
});

describe('bytes on a connection', () => {
  it('after a complete request do not replace its response', async () => {
    const upstream = await RawUpstream.start(({ target }) => (target === '/held' ? undefined : reply(200, 'fine')));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    client.send('POST /api/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\npay');
    const held = await upstream.request();
    client.send('\x16\x03\x01\r\n\r\n');
    // When this request gets its response, those bytes have been read.
    await sendRequest(proxy.port, '/api/x');
    held.send(reply(200, 'paid'));
    await client.ending;
    expect(client.received.toString('latin1')).toMatch(/^HTTP\/1\.1 200 [^]*paid$/);
  });

  it('with a broken chunk get one response, and nothing after them is executed', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    const inner = 'GET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';
    client.send(`POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX${inner}`);
    await client.ending;
    expect(client.received.toString('latin1').match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect(upstream.requests).toHaveLength(0);
  });

  it('of a second request in the same packet get their response', async () => {
    const upstream = await RawUpstream.start(({ target }) => reply(200, target));
    const proxy = await startProxyTo(upstream);
    const client = await RawClient.open(proxy.port);
    const get = (path: string, line = '') => `GET /api${path} HTTP/1.1\r\nHost: localhost\r\n${line}\r\n`;
    client.send(get('/one') + get('/two', 'Connection: close\r\n'));
    expect([(await client.nextResponse()).body.toString(), (await client.nextResponse()).body.toString()]).toEqual([
      '/one',
      '/two',
    ]);
    await once(client.socket, 'close').catch(() => {});
    expect(await client.ending).toBe('clean');
  });
});

describe('the fuzzer itself', () => {
  it('finds known attacks', () => {
    expect(possibleReadings('/api/v1/..%2f..%2fadmin')).toContain('/admin');
    expect(possibleReadings('/api/v1/..;/admin')).toContain('/api/admin');
    expect(possibleReadings('/api/v1/%252e%252e/admin')).toContain('/api/admin');
    const smuggled =
      'POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n';
    expect(requestsIn(smuggled)).toEqual([]);
    expect(requestsIn(smuggled.replace('Content-Length: 1\r\n', '')).map(({ target }) => target)).toEqual(['/', '/x']);
  });
});
