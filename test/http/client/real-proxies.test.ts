import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectOptions } from '../../../src/http/client/connect-options.ts';
import { Secret } from '../../../src/secret.ts';
import { issue } from '../../config/certificate.ts';
import { freePort, isListening } from '../../support/free-port.ts';
import { listen } from '../../support/listen.ts';
import { network } from '../../support/token-exchange.ts';
import { hasTool } from '../../support/tools.ts';
import { handshake, startWebSockets } from '../../support/websocket.ts';
import { iterations, poolTo, sent, until } from './harness.ts';

const AUTHORITY = issue({ name: 'Test CA', isCa: true });
const SERVER = issue({ name: 'server', issuer: AUTHORITY });
const LOGIN = 'user:pass-word';
const BIG = 'x'.repeat(1024 * 1024);

interface RealProxy {
  readonly name: 'tinyproxy' | 'squid';
  /** Writes the files of the proxy. @returns its arguments */
  configure(folder: string, port: number): readonly string[];
}

const PROXIES: readonly RealProxy[] = [
  {
    name: 'tinyproxy',
    configure: (folder, port) => {
      writeFileSync(path.join(folder, 'filter'), 'refused\\.test\n');
      const lines = [`Port ${port}`, 'Listen 127.0.0.1', `BasicAuth ${LOGIN.replace(':', ' ')}`, 'Timeout 60'];
      lines.push(`Filter "${folder}/filter"`, `LogFile "${folder}/log"`, `PidFile "${folder}/pid"`, 'MaxClients 50');
      writeFileSync(path.join(folder, 'conf'), `${lines.join('\n')}\n`);
      return ['-d', '-c', path.join(folder, 'conf')];
    },
  },
  {
    name: 'squid',
    configure: (folder, port) => {
      const helper = path.join(folder, 'login.sh');
      const reply = `[ "$line" = "${LOGIN.replace(':', ' ')}" ] && echo OK || echo ERR`;
      writeFileSync(helper, `#!/bin/sh\nwhile read -r line; do ${reply}; done\n`);
      chmodSync(helper, 0o755);
      const lines = [
        `http_port 127.0.0.1:${port}`,
        `auth_param basic program ${helper}`,
        'auth_param basic children 1 startup=1',
        'acl refused dstdomain refused.test',
        'acl known proxy_auth REQUIRED',
        'http_access deny refused',
        'http_access allow known',
        'http_access deny all',
        'cache deny all',
        'access_log none',
        `cache_log ${folder}/cache.log`,
        'logfile_rotate 0',
        'pid_filename none',
        'pinger_enable off',
        'shutdown_lifetime 0 seconds',
        'visible_hostname squid.test',
      ];
      writeFileSync(path.join(folder, 'conf'), `${lines.join('\n')}\n`);
      return ['-N', '-f', path.join(folder, 'conf')];
    },
  },
];

describe.each(PROXIES.filter(({ name }) => hasTool(name)))('through $name', ({ name, configure }) => {
  let folder = '';
  let port = 0;
  let child: ChildProcess;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'wakala-proxies-'));
    // Both give up root, and write to the folder all the same.
    chmodSync(folder, 0o777);
    port = await freePort();
    child = spawn(name, configure(folder, port), { stdio: 'ignore' });
    while (!(await isListening(port))) {
      if (child.exitCode !== null) throw new Error(`${name} has ended`);
      await delay(20);
    }
  }, 60_000);

  afterAll(async () => {
    if (child.exitCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true });
  });

  const through = (login = LOGIN): ConnectOptions => {
    const authorization = new Secret(`Basic ${Buffer.from(login).toString('base64')}`);
    const proxy = { isTls: false, host: '127.0.0.1', port, authorization, source: 'egress_proxy' };
    return { tls: { ca: [AUTHORITY.cert] }, egress: { http: proxy, https: proxy } };
  };

  /** A server that sends back the body of each request, and the names of its headers. */
  const startServer = async (scheme: string) => {
    const server = scheme === 'https' ? createTlsServer({ cert: SERVER.cert, key: SERVER.key }) : createServer();
    const names = new Set<string>();
    let connections = 0;
    server.on('connection', () => (connections += 1));
    server.on('request', (req, res) => {
      for (const header of Object.keys(req.headers)) names.add(header);
      if (req.headers['content-length'] !== undefined) {
        res.setHeader('content-length', req.headers['content-length']);
      }
      req.pipe(res);
    });
    const origin = `${scheme}://127.0.0.1:${await listen(server)}`;
    return { origin, names, connectionCount: () => connections };
  };

  describe.each(['http', 'https'])('to %s', (scheme) => {
    it('GET, POST and 1 MiB in both directions arrive, without the login', async () => {
      const server = await startServer(scheme);
      const pool = poolTo(server.origin, through());
      for (const text of ['', 'pay', BIG, '']) {
        const body = text === '' ? ({ kind: 'none' } as const) : ({ kind: 'bytes', bytes: Buffer.from(text) } as const);
        const recorder = await sent(pool, { method: text === '' ? 'GET' : 'POST', target: '/a?b=%2F', body });
        expect([recorder.error, recorder.status, recorder.body === text]).toEqual([undefined, 200, true]);
        await until(() => pool.stats().busy === 0);
        await iterations();
      }
      expect([...server.names]).not.toContain('proxy-authorization');
      // Requests in absolute form are distributed by the proxy.
      if (scheme === 'https') expect(server.connectionCount()).toBe(1);
    });

    // tinyproxy responds with 401 to a wrong password. In absolute form, that cannot be told from the server's.
    const status = name === 'squid' ? 407 : 401;
    const isTold = scheme === 'https' || name === 'squid';

    it('a wrong password is upstream_unreachable, not_sent, where it can be told', async () => {
      const server = await startServer(scheme);
      const { summary, error } = await sent(poolTo(server.origin, through('user:wrong')), { method: 'POST' });
      expect(summary).toMatch(isTold ? 'upstream_unreachable not_sent' : /^401 /);
      expect(error?.reason).toEqual(isTold ? expect.objectContaining({ kind: 'egress_refused', status }) : undefined);
      expect(server.connectionCount()).toBe(0);
    });

    it('token requests arrive, and a wrong password is recognized where it can be', async () => {
      const { origin } = await startServer(scheme);
      const body = Buffer.from('{"access_token":"t"}');
      const request = { method: 'POST', url: `${origin}/token`, headers: {}, body };
      const never = new AbortController().signal;
      expect(await network()({ ...request, connection: through() }, never)).toMatchObject({
        status: 200,
        body: body.toString(),
      });
      const refused: unknown = await network()({ ...request, connection: through('user:wrong') }, never).catch(
        (error: unknown) => error,
      );
      expect(refused).toMatchObject(isTold ? { reason: { kind: 'egress_refused', status } } : { status: 401 });
    });
  });

  it.each([
    ['that it refuses', 'https://refused.test', 403],
    ['that does not exist', 'https://gone.invalid', 500],
  ])('a host %s is upstream_unreachable, not_sent, with its status', async (_, origin, status) => {
    const { summary, error } = await sent(poolTo(origin, { ...through(), connectTimeoutMs: 15_000 }), {
      method: 'POST',
    });
    expect(summary).toBe('upstream_unreachable not_sent');
    const { status: received } = error?.reason as { status: number };
    // squid may use 500, 502 or 503 for a name that does not exist.
    expect(Math.floor(received / 100)).toBe(Math.floor(status / 100));
  });

  it('a WebSocket is opened and carries bytes', async () => {
    const settings = { egress_proxy: `http://${LOGIN}@127.0.0.1:${port}` };
    const { client, handshakes } = await startWebSockets(undefined, settings);
    client.send(handshake('/ws/live'));
    expect((await client.nextResponse()).status).toBe(101);
    client.send('ping');
    await client.until('ping');
    expect(handshakes[0]!.headers).not.toHaveProperty('proxy-authorization');
  });
});
