import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { issue } from '../config/certificate.ts';
import { ask } from '../support/proxy-ask.ts';
import { freePort } from '../support/free-port.ts';
import { CliProcess, configFile } from '../support/proxy-process.ts';

const authority = issue({ name: 'authority', isCa: true });
const { cert, key } = issue({ name: 'provider', issuer: authority });

/** A provider that gives out one token and answers only to it. @returns its port */
async function provider(): Promise<number> {
  const server = createServer({ cert, key }, (req, res) => {
    if (req.url === '/token') res.end(JSON.stringify({ access_token: 't-https-1', expires_in: 60 }));
    else res.writeHead(req.headers.authorization === 'Bearer t-https-1' ? 200 : 401).end('paid');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

async function answerOver(env: Record<string, string>) {
  const url = `https://localhost:${await provider()}`;
  const route = {
    environment: 'production',
    upstream: url,
    token: { request: { path: '/token' }, response: { access_token: 'access_token', expires_in: 'expires_in' } },
  };
  const config = configFile({
    listen: '127.0.0.1:0',
    admin: `127.0.0.1:${await freePort()}`,
    routes: { '/api/*': route },
  });
  const cli = new CliProcess(['serve', '-c', config], { env });
  const [, port] = await cli.until(/"listen":"127\.0\.0\.1:(\d+)".*"msg":"ready"/);
  return await ask(Number(port), '/api/pay');
}

it('a provider over HTTPS is asked for its token and called, where its certificate is trusted', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'ca.pem'), authority.cert);
  const answer = await answerOver({ NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') });
  expect([answer.status, answer.body.toString()]).toEqual([200, 'paid']);
}, 60_000);

it('a provider whose certificate is not trusted gets no credentials, whatever the environment says', async () => {
  const answer = await answerOver({ NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  expect(answer.status).toBe(503);
  expect(answer.json()).toMatchObject({ code: 'token_unavailable', outcome: 'not_sent' });
}, 60_000);
