import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { providers } from '../../../src/providers/registry.ts';
import { startServer } from '../../../src/server/server.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { madeUp } from '../../support/made-up.ts';
import { sendRaw } from '../../support/raw-client.ts';
import { BASE, StrictUpstream } from './strict-upstream.ts';

/** One proxy for a test file, between raw clients and a strict upstream. */
export class Bench {
  readonly port: number;
  readonly upstream: StrictUpstream;
  /** Issued tokens. */
  readonly tokens: readonly string[];
  /** Everything that was logged. */
  readonly log: readonly string[];
  /** Uncaught errors. */
  readonly uncaught: readonly unknown[];
  #goods = 0;

  constructor(made: Pick<Bench, 'port' | 'upstream' | 'tokens' | 'log' | 'uncaught'>) {
    this.port = made.port;
    this.upstream = made.upstream;
    this.tokens = made.tokens;
    this.log = made.log;
    this.uncaught = made.uncaught;
  }

  /** The proxy still runs: a plain request gets its response. */
  async expectAlive(): Promise<void> {
    this.#goods += 1;
    const path = `/good/${this.#goods}`;
    const body = `good ${this.#goods}`;
    this.upstream.responses.set(
      `${BASE}/api${path}`,
      () => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    const response = await sendRaw(this.port, `GET /api${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    expect([response.status, response.body.toString()]).toEqual([200, body]);
  }

  /** Start lines that the upstream received, without those of `expectAlive`. */
  forwarded(): string[] {
    const { requests, cutShort } = this.upstream;
    const whole = requests.map(({ method, target }) => `${method} ${target}`);
    const all = [...whole, ...cutShort.map((start) => `cut short: ${start}`)];
    return all.filter((line) => !line.includes(`${BASE}/api/good/`));
  }

  /** What must hold after every case: a clean upstream, no secret on the wrong side, no uncaught error. */
  expectClean(received: Buffer): void {
    const { faults, received: upstreamReceived } = this.upstream;
    expect(faults).toEqual([]);
    expect(upstreamReceived.toString('latin1').toLowerCase()).not.toContain('canary');
    expect(this.tokens.filter((token) => received.includes(token))).toEqual([]);
    const logged = this.log.join('');
    expect([...this.tokens, 'canary'].filter((secret) => logged.includes(secret))).toEqual([]);
    expect(this.uncaught).toEqual([]);
  }
}

/** Sets a bench up for the file that calls this. `routes` come beside `/api/*` and one route for each provider. */
export function benchForFile(routes: (hosts: Hosts) => Record<string, object> = () => ({})): () => Bench {
  const closing: (() => unknown)[] = [];
  let bench: Bench | undefined;
  beforeAll(async () => {
    const uncaught: unknown[] = [];
    const onUncaught = (error: unknown) => void uncaught.push(error);
    for (const event of ['uncaughtException', 'unhandledRejection']) {
      process.on(event, onUncaught);
      closing.push(() => process.off(event, onUncaught));
    }
    const tokens: string[] = [];
    const issuer = await tokenIssuer(tokens);
    const upstream = await StrictUpstream.start(tokens);
    closing.push(() => upstream.close(), issuer.close);
    const hosts = { upstream: `http://127.0.0.1:${upstream.port}`, auth_server: issuer.origin };
    const written = {
      listen: '127.0.0.1:0',
      admin: false,
      drain_timeout: '0s',
      routes: { '/api/*': customRoute('api', hosts), ...providerRoutes(hosts), ...routes(hosts) },
    };
    const { config } = loadConfig('proxy.config.yaml', { readFile: () => JSON.stringify(written), env: {} });
    const log: string[] = [];
    const format = { level: 'debug', format: 'json', tty: false, colour: false } as const;
    const server = await startServer(config, { log: createLog(format, (line) => void log.push(line)) });
    closing.unshift(() => server.drain());
    bench = new Bench({ port: server.address.port, upstream, tokens, log, uncaught });
  });
  afterAll(async () => {
    for (const close of closing) await close();
  });
  return () => bench!;
}

export interface Hosts {
  readonly upstream: string;
  readonly auth_server: string;
}

/** A route named `name`, with the token exchange of no known provider. */
export function customRoute(name: string, hosts: Hosts, settings: object = {}): object {
  return {
    upstream: `${hosts.upstream}${BASE}/${name}`,
    auth_server: hosts.auth_server,
    credentials: { key: 'canary-api-key' },
    token: {
      request: { path: '/issue/token', json: { key: '{key}' } },
      response: { access_token: 'access_token', expires_in: 'expires_in' },
    },
    ...settings,
  };
}

/** The providers that have a route on the bench: their logins and headers are simple. */
export const ROUTED = ['jpay', 'mpesa', 'jeel', 'paypack'];

function providerRoutes(hosts: Hosts): Record<string, object> {
  const asked = providers.filter((provider) => provider.hosts !== undefined);
  return Object.fromEntries(
    asked.map(({ name, credentials }) => [
      `/${name}/*`,
      {
        provider: name,
        upstream: `${hosts.upstream}${BASE}/${name}`,
        auth_server: hosts.auth_server,
        credentials: Object.fromEntries(
          credentials
            .filter(({ optional }) => optional !== true)
            .map((field) => [field.name, madeUp(field.name, `canary-${field.name}`)]),
        ),
      },
    ]),
  );
}

/** Issues a token in every field in which a provider returns it. */
async function tokenIssuer(tokens: string[]): Promise<{ origin: string; close: () => void }> {
  const server = createServer((req, res) => {
    const token = `real-token-${tokens.length + 1}-${process.pid}`;
    tokens.push(token);
    req.resume();
    res.setHeader('content-type', 'application/json');
    const expires = Math.floor(Date.now() / 1000) + 3600;
    res.end(JSON.stringify({ access_token: token, access: token, expires_in: 3600, expires }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
