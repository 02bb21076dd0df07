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
