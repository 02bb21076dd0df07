import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { listen } from '../support/listen.ts';
import { keepAlive, type ProxyResponse, sendRequest } from '../support/proxy-client.ts';
import { ShiftedClock } from '../support/proxy-clock.ts';
import { routeTo, type Settings, type StartedProxy, startProxy } from '../support/proxy-server.ts';
import { json, RawUpstream, TOKEN_PATH } from '../support/upstream-raw.ts';

interface ProviderOptions {
  /** Whether a new token kills the one before. */
  readonly kills?: boolean;
  /** How many exchanges succeed before the token endpoint throttles. */
  readonly exchangesBeforeThrottling?: number;
}

/** A provider that refuses every call to a path under `/forbidden`, with any token. */
class Provider {
  exchanges = 0;
  readonly #options: ProviderOptions;
  readonly #live = new Set<string>();
  readonly #server: Server = createServer((req, res) => this.#respond(req, res));

  constructor(options: ProviderOptions) {
    this.#options = options;
  }

  static async start(options: ProviderOptions = {}): Promise<Provider> {
    const provider = new Provider(options);
    const server = provider.#server;
    server.on('upgrade', (_, socket) =>
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
    );
    await listen(server);
    return provider;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  revokeTokens(): void {
    this.#live.clear();
  }

  #respond(req: IncomingMessage, res: ServerResponse): void {
    req.resume();
    if (req.url === TOKEN_PATH) {
      this.#issue(res);
      return;
    }
    const accepted = req.url?.startsWith('/forbidden') === false && this.#live.has(req.headers.authorization ?? '');
    res.writeHead(accepted ? 200 : 401).end(accepted ? 'paid' : 'invalid token');
  }

  #issue(res: ServerResponse): void {
    const { kills = false, exchangesBeforeThrottling = Infinity } = this.#options;
    this.exchanges += 1;
    if (this.exchanges > exchangesBeforeThrottling) {
      res.writeHead(429, { 'retry-after': '600' }).end();
      return;
    }
    const token = `real-token-${this.exchanges}`;
    if (kills) this.#live.clear();
    this.#live.add(`Bearer ${token}`);
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ access_token: token, expires_in: 3600 }));
  }
}

const CLIENTS = [
  { name: 'mallory', key: 'key-of-mallory-0123456789abcdef0' },
  { name: 'shop', key: 'key-of-the-shop-0123456789abcdef' },
];
const NAMED: Settings = { clients: CLIENTS };
const UNNAMED: Settings = {};

/** Both keys are sent in every case: without a `clients` list the header is dropped. */
const [MALLORY, SHOP] = CLIENTS.map(({ key }) => ({ authorization: `Bearer ${key}` }));

function start(
  provider: { readonly origin: string },
  settings: Settings = UNNAMED,
  clock?: ShiftedClock,
  deadToken: readonly object[] = [{ status: 401 }],
): Promise<StartedProxy> {
  const { token } = routeTo(provider) as { token: object };
  const route = routeTo(provider, { websocket: true, token: { ...token, dead_token: deadToken } });
  return startProxy({ ...settings, routes: { '/api/*': route } }, clock);
}

function forbidden(proxy: StartedProxy, number: number): Promise<ProxyResponse> {
  return sendRequest(proxy.port, `/api/forbidden/${number}`, { headers: { ...MALLORY } });
}

function pay(proxy: StartedProxy): Promise<ProxyResponse> {
  return sendRequest(proxy.port, '/api/pay', { body: '{}', headers: { ...SHOP } });
}

/** Pays over five connections, from before the attack until after it. @returns the responses */
async function payDuring(proxy: StartedProxy, attack: () => Promise<void>): Promise<string[]> {
  const agent = keepAlive();
  const results: string[] = [];
  let over = false;
  const payAgain = async () => {
    while (!over) {
      const { status, header } = await sendRequest(proxy.port, '/api/pay', { body: '{}', agent, headers: { ...SHOP } });
      results.push(`${status} ${header('wakala-token')}`);
    }
  };
  await pay(proxy);
  const paying = Promise.all(Array.from({ length: 5 }, payAgain));
  try {
    await attack();
  } finally {
    over = true;
    await paying;
  }
  return results;
}

function count(results: readonly string[], part: string): number {
  return results.filter((result) => result.includes(part)).length;
}

/** @returns the status that the handshake is refused with */
function handshake(proxy: StartedProxy, number: number): Promise<number | undefined> {
  const outgoing = request({
    host: '127.0.0.1',
    port: proxy.port,
    path: `/api/forbidden/${number}`,
    headers: {
      ...MALLORY,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  });
  outgoing.end();
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject).on('response', (res) => resolve(res.resume().statusCode));
  });
}

describe.each([
  ['without a list of clients', UNNAMED],
  ['with named clients', NAMED],
])('a client whose calls are refused with any token, each on a new path, %s', (_, settings) => {
  async function attack(options: ProviderOptions = {}, clock?: ShiftedClock) {
    const provider = await Provider.start(options);
    const proxy = await start(provider, settings, clock);
    const calls = async () => {
      for (let number = 0; number < 60; number++) expect((await forbidden(proxy, number)).status).toBe(401);
    };
    return { provider, proxy, calls };
  }

  it('costs a handful of exchanges while others pay', async () => {
    const { provider, proxy, calls } = await attack();
    const results = await payDuring(proxy, calls);
    expect(count(results, '200')).toBe(results.length);
    expect(provider.exchanges).toBeLessThanOrEqual(6);
  });

  it('costs a handful of exchanges if all its calls come at once', async () => {
    const { provider, proxy } = await attack();
    const results = await payDuring(proxy, async () => {
      for (let round = 0; round < 5; round++) {
        await Promise.all(Array.from({ length: 12 }, (_, n) => forbidden(proxy, 12 * round + n)));
      }
    });
    expect(count(results, '200')).toBe(results.length);
    expect(provider.exchanges).toBeLessThanOrEqual(6);
  });

  it('costs a handful of exchanges if the provider refuses with 200 and a body', async () => {
    const upstream = await RawUpstream.start(({ target }) =>
      json(200, target.startsWith('/forbidden') ? { code: 'invalid token' } : { code: 'paid' }),
    );
    const proxy = await start(upstream, settings, undefined, [{ status: 200, body: { code: 'invalid token' } }]);
    const results = await payDuring(proxy, async () => {
      for (let number = 0; number < 60; number++) {
        expect((await forbidden(proxy, number)).json()).toEqual({ code: 'invalid token' });
      }
    });
    expect(count(results, '200')).toBe(results.length);
    expect(upstream.tokens.length).toBeLessThanOrEqual(6);
  });

  it('costs a handful of exchanges if it is the only client', async () => {
    const { provider, calls } = await attack();
    await calls();
    expect(provider.exchanges).toBeLessThanOrEqual(6);
  });

  it('disturbs few calls of others if a new token kills the old one, and loses none', async () => {
    const { provider, proxy, calls } = await attack({ kills: true });
    const results = await payDuring(proxy, calls);
    expect(count(results, '200')).toBe(results.length);
    expect(count(results, 'replayed')).toBeLessThanOrEqual(25);
    expect(provider.exchanges).toBeLessThanOrEqual(6);
  });

  it('does not cost others their token if the token endpoint throttles', async () => {
    const { provider, proxy, calls } = await attack({ exchangesBeforeThrottling: 1 });
    const results = await payDuring(proxy, calls);
    expect(count(results, '200')).toBe(results.length);
    expect(provider.exchanges).toBe(2);
    expect((await pay(proxy)).status).toBe(200);
  });

  it('does not prevent a dead token from being replaced before any call of others is lost', async () => {
    const clock = new ShiftedClock();
    const { provider, proxy } = await attack({ kills: true }, clock);
    let exchangesBefore = 0;
    const results = await payDuring(proxy, async () => {
      for (let number = 0; number < 60; number++) {
        await forbidden(proxy, number);
        if (number !== 20) continue;
        // Past the 5 s between two forced exchanges of a credential.
        clock.shiftMs += 6000;
        exchangesBefore = provider.exchanges;
        provider.revokeTokens();
        expect((await pay(proxy)).status).toBe(200);
      }
    });
    expect(count(results, '200')).toBe(results.length);
    expect(provider.exchanges - exchangesBefore).toBeLessThanOrEqual(6);
  });
});

describe.each([
  ['without a list of clients', UNNAMED],
  ['with named clients', NAMED],
])('30 refused WebSocket handshakes %s', (_, settings) => {
  it('cost a handful of exchanges while others pay', async () => {
    const provider = await Provider.start({ kills: true });
    const proxy = await start(provider, settings);
    const results = await payDuring(proxy, async () => {
      for (let number = 0; number < 30; number++) expect(await handshake(proxy, number)).toBe(401);
    });
    expect(count(results, '200')).toBe(results.length);
    expect(count(results, 'replayed')).toBeLessThanOrEqual(25);
    expect(provider.exchanges).toBeLessThanOrEqual(6);
  });
});

describe("two replicas that do not share tokens and invalidate each other's", () => {
  it('replace the token for every call, even with an attacker on one of them', async () => {
    const clock = new ShiftedClock();
    const provider = await Provider.start({ kills: true });
    const [one, other] = await Promise.all([start(provider, UNNAMED, clock), start(provider, UNNAMED, clock)]);
    for (let round = 0; round < 3; round++) {
      for (let number = 0; number < 3; number++) await forbidden(one, 3 * round + number);
      clock.shiftMs += 6000;
      for (const proxy of [other, one, other, one]) expect((await pay(proxy)).status).toBe(200);
    }
    expect(provider.exchanges).toBeLessThanOrEqual(25);
  });
});
