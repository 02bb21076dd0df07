import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { clientCertificateOf } from '../../src/config/certificates.ts';
import { Secret } from '../../src/secret.ts';
import { issue, type Issued } from '../config/certificate.ts';
import { PFX } from '../config/pfx.ts';
import { blocksOf } from '../docs/documents.ts';
import { rewrite } from '../server/support.ts';
import { EgressProxyServer } from '../support/egress-proxy.ts';
import { listen } from '../support/listen.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { CliProcess, temporaryDirectory } from '../support/proxy-process.ts';

const authority = issue({ name: 'authority', isCa: true });
const client = issue({ name: 'wakala', issuer: authority });

function thumbprint(raw: Uint8Array): string {
  return createHash('sha256').update(raw).digest('base64url');
}

/**
 * A bank that demands client certificates. It binds its tokens to the certificate (`x5t#S256`, RFC 8705 3.1) and checks
 * that on each API call. A call to `/slow` waits for `finish`.
 */
async function startBank(trusted: readonly string[] = [authority.cert]) {
  const { cert, key } = issue({ name: 'bank', issuer: authority, names: ['api.bank.example', 'login.bank.example'] });
  const seen: string[] = [];
  const slow = Promise.withResolvers<undefined>();
  const arrived = Promise.withResolvers<undefined>();
  const server = createServer({ cert, key, ca: [...trusted], requestCert: true }, (req, res) => {
    const certificate = req.socket instanceof TLSSocket ? req.socket.getPeerX509Certificate() : undefined;
    const own = thumbprint(certificate?.raw ?? new Uint8Array());
    seen.push(`${req.url} by ${certificate?.subject}`);
    if (req.url === '/token') {
      res.end(JSON.stringify({ access_token: `bound-to-${own}`, token_type: 'Bearer', expires_in: 3600 }));
      return;
    }
    res.statusCode = req.headers.authorization === `Bearer bound-to-${own}` ? 200 : 401;
    if (req.url !== '/slow') res.end('paid');
    else {
      arrived.resolve(undefined);
      void slow.promise.then(() => res.end('paid slowly'));
    }
  });
  return { port: await listen(server), seen, slowArrived: arrived.promise, finish: () => slow.resolve(undefined) };
}

function folderWith({ cert, key }: Pick<Issued, 'cert' | 'key'>): string {
  const folder = temporaryDirectory();
  const files = { 'bank-ca.pem': authority.cert, 'wakala.pem': cert, 'wakala.key': key };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  return folder;
}

async function serve(folder: string, text: string, env: Readonly<Record<string, string>> = {}) {
  const config = join(folder, 'proxy.config.yaml');
  writeFileSync(config, text, { mode: 0o600 });
  const cli = new CliProcess(['serve', '-c', config, '--listen', '127.0.0.1:0', '--admin', 'false'], { env });
  const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
  return { cli, config, port: Number(port) };
}

function exampleOf(document: string): string {
  const [example] = blocksOf(document).filter(({ language }) => language === 'yaml');
  return example?.text ?? '';
}

/** A route to the bank on `localhost`. */
function bankRoute(port: number, tls: string, ...lines: string[]): string {
  return [
    'routes:',
    '  /bank/*:',
    '    provider: oauth2',
    `    upstream: https://localhost:${port}`,
    '    credentials: { client_id: c-1 }',
    `    oauth2: { token_endpoint: "https://localhost:${port}/token", client_auth: tls_client_auth }`,
    `    tls: ${tls}`,
    ...lines.map((line) => `    ${line}`),
    '',
  ].join('\n');
}

const PAIR = '{ ca: bank-ca.pem, cert: wakala.pem, key: wakala.key }';

it('the example of docs/networks.md reaches a bank with a client certificate through a proxy with a password', async () => {
  const bank = await startBank();
  const proxy = await EgressProxyServer.start({ login: 'wakala:p@ss' });
  const example = exampleOf('docs/networks.md');
  expect(example.trim().split('\n').length).toBeLessThanOrEqual(12);
  const text = example
    .replace('proxy.internal:3128', `127.0.0.1:${proxy.port}`)
    .replaceAll(/(api|login)\.bank\.example/g, `$&:${bank.port}`);
  const env = { BANK_CLIENT_ID: 'c-1', PROXY_PASSWORD: 'p%40ss' };
  const { port, cli } = await serve(folderWith(client), text, env);
  const response = await sendRequest(port, '/bank/pay', { method: 'POST' });
  expect([response.status, response.body.toString()]).toEqual([200, 'paid']);
  expect(bank.seen).toEqual(['/token by CN=wakala', '/pay by CN=wakala']);
  expect(proxy.requests.toSorted()).toEqual([
    `CONNECT api.bank.example:${bank.port}`,
    `CONNECT login.bank.example:${bank.port}`,
  ]);
  expect(cli.stdout + cli.stderr).not.toMatch(/p@ss|p%40ss|PRIVATE KEY|bound-to/);
}, 60_000);

it('a rotated certificate applies to new connections, with a new token, while requests in flight finish', async () => {
  const bank = await startBank();
  const folder = folderWith(client);
  const { port, cli } = await serve(folder, bankRoute(bank.port, PAIR));
  const slow = sendRequest(port, '/bank/slow', { method: 'POST' });
  await bank.slowArrived;
  const next = issue({ name: 'wakala-2', issuer: authority, keys: client.keys });
  rewrite(join(folder, 'wakala.pem'), next.cert);
  await cli.until(/"event":"config_reloaded"/);
  expect((await sendRequest(port, '/bank/pay', { method: 'POST' })).status).toBe(200);
  bank.finish();
  expect((await slow).status).toBe(200);
  expect(bank.seen).toEqual([
    '/token by CN=wakala',
    '/slow by CN=wakala',
    '/token by CN=wakala-2',
    '/pay by CN=wakala-2',
  ]);
}, 60_000);

it('another egress proxy applies on reload, and the token stays', async () => {
  const bank = await startBank();
  const [first, second] = [await EgressProxyServer.start(), await EgressProxyServer.start()];
  const textWith = (proxy: EgressProxyServer) =>
    bankRoute(bank.port, PAIR, `egress_proxy: http://127.0.0.1:${proxy.port}`);
  const { port, cli, config } = await serve(folderWith(client), textWith(first));
  expect((await sendRequest(port, '/bank/one')).status).toBe(200);
  rewrite(config, textWith(second));
  await cli.until(/"event":"config_reloaded"/);
  expect((await sendRequest(port, '/bank/two')).status).toBe(200);
  expect(bank.seen).toEqual(['/token by CN=wakala', '/one by CN=wakala', '/two by CN=wakala']);
  expect([first.requests.length, second.requests.length]).toEqual([2, 1]);
}, 60_000);

it('workers get the PKCS#12 file that the primary read', async () => {
  const folder = folderWith(client);
  writeFileSync(join(folder, 'client.p12'), Buffer.from(PFX.good, 'base64'), { mode: 0o600 });
  const bank = await startBank([
    authority.cert,
    String(clientCertificateOf({ pfx: new Secret(PFX.good), passphrase: new Secret('pw') })),
  ]);
  const tls = '{ ca: bank-ca.pem, pfx: client.p12, passphrase: pw }';
  const { port } = await serve(folder, `workers: 2\n${bankRoute(bank.port, tls)}`);
  expect((await sendRequest(port, '/bank/pay')).status).toBe(200);
  expect(bank.seen.at(-1)).toBe('/pay by CN=shop');
}, 60_000);
