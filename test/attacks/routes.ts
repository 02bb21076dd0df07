import type { IncomingMessage } from 'node:http';
import { readText, sendJson } from '../soak/http-upstream.ts';
import type { Attack } from './attack.ts';
import type { Provider } from './provider.ts';
import { ATTACKER_KEY, keyLine, type Target } from './target.ts';
import { head } from './wire.ts';

const FORM = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } } as const;

/** An OAuth 2.0 server on the host of the API. Its token endpoint issues a token to every client. */
function oauthServer(provider: Provider, name: string, tokenEndpoint: string): void {
  const issuer = `${provider.origin}/${name}`;
  const metadata = { issuer, token_endpoint: tokenEndpoint };
  provider.on(name, (req, res) => {
    if (req.url?.includes('.well-known') === true) sendJson(res, 200, metadata);
    else if (/\/issue|\/%69ssue/.test(req.url ?? '')) provider.issue(name, res);
    else sendJson(res, 200, {});
  });
}

async function expectNoToken(target: Target, path: string): Promise<void> {
  const { status, text } = await target.sendRequest(path, { ...FORM, body: 'grant_type=client_credentials' });
  if (text.includes('access_token')) throw new Error(`${path} got ${status} with a token`);
}

export const discoveredEndpoint: Attack = {
  row: 10,
  promise: 'clients cannot reach a discovered token endpoint on the host of the API',
  prepare: (provider) => {
    const names = ['found-cold', 'found'];
    for (const name of names) oauthServer(provider, name, `${provider.origin}/${name}/issue`);
    // The well-known part comes before the issuer's path (RFC 8414, section 3).
    provider.on('.well-known', (req, res) => {
      const name = names.find((one) => req.url?.endsWith(`/${one}`)) ?? '';
      sendJson(res, 200, {
        issuer: `${provider.origin}/${name}`,
        token_endpoint: `${provider.origin}/${name}/issue`,
      });
    });
    const route = (name: string) => ({
      provider: 'oauth2',
      upstream: `${provider.origin}/${name}`,
      credentials: { client_id: 'an-id', client_secret: 'a-secret' },
      oauth2: { issuer: `${provider.origin}/${name}` },
      token_paths: 'refuse',
    });
    return {
      routes: Object.fromEntries(names.map((name) => [`/${name}/*`, route(name)])),
      run: async (target) => {
        // Before the discovery and after it.
        await expectNoToken(target, '/found-cold/issue');
        const { status } = await target.sendRequest('/found/x');
        if (status !== 200) throw new Error(`an allowed call got ${status}`);
        for (const path of ['/found/issue', '/found/%69ssue', '/found//issue', '/found/ISSUE', '/found/x/../issue']) {
          await expectNoToken(target, path);
        }
      },
    };
  },
};

export const endpointSpellings: Attack = {
  row: 10,
  promise: 'clients cannot reach a token endpoint on the host of the API, however the configuration spells it',
  prepare: (provider) => {
    const { port } = provider;
    const spellings: Readonly<Record<string, readonly [upstream: string, endpoint: string]>> = {
      'by-name': [`http://127.0.0.1:${port}`, `http://localhost:${port}`],
      'of-name': [`http://localhost:${port}`, `http://127.0.0.1:${port}`],
      short: [`http://127.1:${port}`, `http://127.0.0.1:${port}`],
      'short-endpoint': [`http://127.0.0.1:${port}`, `http://127.1:${port}`],
    };
    for (const name of [...Object.keys(spellings), 'escaped']) oauthServer(provider, name, '');
    const route = (name: string, upstream: string, endpoint: string) => ({
      provider: 'oauth2',
      upstream: `${upstream}/${name}`,
      credentials: { client_id: 'an-id', client_secret: 'a-secret' },
      oauth2: { token_endpoint: endpoint },
      token_paths: 'refuse',
    });
    const routes = Object.fromEntries(
      Object.entries(spellings).map(([name, [upstream, endpoint]]) => [
        `/${name}/*`,
        route(name, upstream, `${endpoint}/${name}/issue`),
      ]),
    );
    return {
      routes: {
        ...routes,
        '/escaped/*': route('escaped', provider.origin, `${provider.origin}/escaped/%69ssue`),
      },
      run: async (target) => {
        for (const name of [...Object.keys(spellings), 'escaped']) {
          const { status } = await target.sendRequest(`/${name}/x`);
          if (status !== 200) throw new Error(`an allowed call by /${name} got ${status}`);
          await expectNoToken(target, `/${name}/issue`);
          await expectNoToken(target, `/${name}/%69ssue`);
        }
      },
    };
  },
};

/** Headers that make frameworks use another method or path than those of the request line. */
const OVERRIDES = ['X-HTTP-Method-Override', 'X-Method-Override', 'X-HTTP-Method', 'X-Original-URL', 'X-Rewrite-URL'];

export const overrideHeaders: Attack = {
  row: 11,
  promise: 'headers that select another call do not pass an `allow` list',
  prepare: (provider) => {
    let seen: string[] = [];
    provider.on('allowed', (req: IncomingMessage, res) => {
      seen = req.rawHeaders.filter((_, i) => i % 2 === 0);
      sendJson(res, 200, {});
    });
    return {
      routes: { '/allowed/*': provider.route('allowed', { allow: ['POST /pay'] }) },
      run: async (target) => {
        for (const header of OVERRIDES) {
          for (const spelled of [header, header.toLowerCase(), header.replaceAll('-', '_'), header.toUpperCase()]) {
            const headers = { [spelled]: header.includes('URL') ? '/refund' : 'DELETE', 'X-Kept': '1' };
            const { status } = await target.sendRequest('/allowed/pay', { method: 'POST', headers, body: '{}' });
            if (status !== 200 && status < 400) throw new Error(`${spelled} got ${status}`);
            if (seen.some((name) => name.toLowerCase() === spelled.toLowerCase())) {
              throw new Error(`\`${spelled}\` reached the API`);
            }
          }
        }
        const { status } = await target.sendRequest('/allowed/pay', {
          method: 'POST',
          headers: { 'X-Kept': '1' },
          body: '{}',
        });
        if (status !== 200 || !seen.includes('X-Kept')) throw new Error('an allowed call did not arrive completely');
      },
    };
  },
};

export const manyHeaders: Attack = {
  row: 12,
  promise: 'many headers lose no header or body: all arrive, or the request is refused',
  prepare: (provider) => {
    const arrived: { readonly key: string | undefined; readonly body: string; readonly lines: number }[] = [];
    provider.on('lines', async (req, res) => {
      const key = req.headers['idempotency-key'];
      arrived.push({ key: String(key), body: await readText(req), lines: req.rawHeaders.length / 2 });
      sendJson(res, 200, {});
    });
    return {
      routes: { '/lines/*': provider.route('lines') },
      run: async (target) => {
        let most = 0;
        for (const count of [100, 190, 201, 300, 990, 1010, 1030, 2500]) {
          const many = Array.from({ length: count }, () => 'a:');
          const wire = await target.open();
          wire.send(
            head(
              'POST /lines/x HTTP/1.1',
              'Host: localhost',
              keyLine(ATTACKER_KEY),
              ...many,
              'Idempotency-Key: 7',
              'Content-Length: 4',
            ) + 'paid',
          );
          const [, status] = await wire.waitFor(/^HTTP\/1\.1 (\d{3})/);
          wire.close();
          const seen = arrived.pop();
          if (seen === undefined) {
            if (count <= 190) throw new Error(`a request with ${count} lines got ${status}`);
            if (status !== '431') throw new Error(`a request with ${count} lines got ${status}, not 431`);
            continue;
          }
          const { key, body, lines } = seen;
          if (key !== '7' || body !== 'paid' || lines < count) {
            throw new Error(`${lines} of ${count} lines arrived, Idempotency-Key ${key}, body "${body}" (${status})`);
          }
          most = count;
        }
        if (most > 200) throw new Error(`a request with ${most} header lines passed; the limit is 200`);
      },
    };
  },
};
