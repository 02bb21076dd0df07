import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { sendJson } from '../soak/http-upstream.ts';
import type { Attack } from './attack.ts';
import type { Provider } from './provider.ts';
import { handshake } from './resets.ts';
import { PAYER_KEY, type Target } from './target.ts';

/** Hostile calls in one attack. Two payer calls follow each, so that every worker gets both kinds. */
const CALLS = 30;

/** From the third on, forced exchanges of a credential whose new token is refused too are 5 s apart. */
const UNSPACED_EXCHANGES = 2;
const SPACING_MS = 5000;

/** A call of another client with the same credential. @throws Error if it fails */
async function callAsPayer(target: Target, route: string): Promise<void> {
  const { status, text } = await target.sendRequest(`/${route}/good`, { key: PAYER_KEY });
  if (status !== 200) throw new Error(`a payer call with the same credential got ${status} ${text.slice(0, 300)}`);
}

/** Alternates payer calls with calls that get 401 for every token, each with another path. */
async function forceExchanges(target: Target, route: string, provider: Provider): Promise<void> {
  const startedMs = performance.now();
  const good = () => callAsPayer(target, route);
  await good();
  for (let i = 0; i < CALLS; i++) {
    const path = `/${route}/refused/${i}`;
    const { status } = await target.sendRequest(i % 2 === 0 ? path : `${path}/%6f`, {
      method: i % 3 === 0 ? 'PUT' : 'GET',
    });
    if (status !== 401) throw new Error(`a refused call got ${status}, not the provider's own 401`);
    await good();
    await good();
  }
  const elapsed = Math.ceil((performance.now() - startedMs) / SPACING_MS);
  expectRationed(provider.tokensOf(route).length, target, elapsed);
}

/** Each worker counts separately. */
function expectRationed(exchanges: number, { kind: { workers } }: Target, spacings: number): void {
  const max = 1 + workers * (UNSPACED_EXCHANGES + spacings);
  if (exchanges > max) throw new Error(`${exchanges} exchanges for ${CALLS} hostile calls, the limit is ${max}`);
}

/** An API that refuses `/refused/...` for every token, and other paths for tokens that are dead. */
function api(provider: Provider, name: string, isDead: (token: string) => boolean = () => false): void {
  provider.on(name, (req: IncomingMessage, res: ServerResponse) => {
    req.resume();
    const token = (req.headers.authorization ?? '').replace(/^Bearer /, '');
    const refused = req.url?.includes('/refused') === true || isDead(token);
    sendJson(res, refused ? 401 : 200, {});
  });
}

export const refusedForGood: Attack = {
  row: 4,
  promise: 'calls that are refused for every token cause few exchanges, however their paths are spelled',
  prepare: (provider) => {
    api(provider, 'forced');
    return {
      routes: { '/forced/*': provider.route('forced') },
      run: (target) => forceExchanges(target, 'forced', provider),
    };
  },
};

export const tokensThatKill: Attack = {
  row: 4,
  promise: 'if a new token invalidates the previous one, hostile calls do not affect other calls',
  prepare: (provider) => {
    api(provider, 'single', (token) => token !== provider.tokensOf('single').at(-1));
    return {
      routes: { '/single/*': provider.route('single') },
      run: (target) => forceExchanges(target, 'single', provider),
    };
  },
};

export const throttledEndpoint: Attack = {
  row: 4,
  promise: 'if the token endpoint throttles, hostile calls do not discard the valid token',
  prepare: (provider) => {
    api(provider, 'throttled');
    provider.onExchange('throttled', (_, res) => {
      if (provider.tokensOf('throttled').length > 0) {
        res.setHeader('retry-after', '600');
        sendJson(res, 429, { error: 'slow_down' });
      } else provider.issue('throttled', res);
    });
    return {
      routes: { '/throttled/*': provider.route('throttled') },
      run: (target) => forceExchanges(target, 'throttled', provider),
    };
  },
};

export const refusedHandshakes: Attack = {
  row: 4,
  promise: 'WebSocket handshakes that are refused for every token cause few exchanges',
  prepare: (provider) => {
    api(provider, 'ws-forced');
    provider.onUpgrade('ws-forced', (_, socket) => {
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
    return {
      routes: { '/ws-forced/*': provider.route('ws-forced', { websocket: true }) },
      run: async (target) => {
        const startedMs = performance.now();
        for (let i = 0; i < CALLS; i++) {
          const wire = await target.open();
          wire.send(handshake(`/ws-forced/refused/${i}?n=${i}`));
          await wire.waitFor(/^HTTP\/1\.1 401[^]*\r\n\r\n/);
          wire.close();
          await callAsPayer(target, 'ws-forced');
          await callAsPayer(target, 'ws-forced');
        }
        const elapsed = Math.ceil((performance.now() - startedMs) / SPACING_MS);
        expectRationed(provider.tokensOf('ws-forced').length, target, elapsed);
      },
    };
  },
};

export const renewedPlaceholder: Attack = {
  row: 13,
  promise: 'a placeholder token cannot be exchanged for one that expires later',
  prepare: (provider) => ({
    routes: {
      '/login/*': {
        provider: 'mpesa',
        upstream: `${provider.origin}/login`,
        auth_server: provider.origin,
        credentials: { consumer_key: 'a-consumer-key', consumer_secret: 'a-consumer-secret' },
      },
    },
    run: async (target) => {
      let key: string | undefined;
      const expiries: number[] = [];
      for (let i = 0; i < 2; i++) {
        // Expiry times are whole seconds.
        if (i > 0) await delay(1100);
        const login = await target.sendRequest('/login/oauth/v1/generate', key === undefined ? {} : { key });
        if (login.status !== 200 && i > 0) return;
        key = String(login.field('access_token'));
        const [, claims = ''] = key.split('.');
        const { exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { exp: number };
        expiries.push(exp);
      }
      const [first = 0, second = 0] = expiries;
      if (second > first) throw new Error(`a placeholder got one that expires ${second - first} s later`);
    },
  }),
};
