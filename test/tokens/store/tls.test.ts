import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { issue } from '../../config/certificate.ts';
import { freePort } from '../../support/free-port.ts';
import { sendRequest } from '../../support/proxy-client.ts';
import { CliProcess, configFile, temporaryDirectory } from '../../support/proxy-process.ts';
import { routeTo } from '../../support/proxy-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';

const PASSWORD = 'a made-up password of Redis';
const NOT_CONNECTED = /token store is not connected/;

describe.runIf(hasTool('redis-server'))('a Redis over TLS', { timeout: 60_000 }, () => {
  it('lets replicas that trust its authority share tokens, with a password', async () => {
    const { upstream, replica } = await tlsRedis();
    const [one, two] = [replica({ trusted: true }), replica({ trusted: true })];
    for (const cli of [one, two]) {
      expect((await sendRequest(await portOf(cli), '/api/x', { body: '{}' })).status).toBe(200);
    }
    expect(upstream.tokens).toHaveLength(1);
  });

  it('with an untrusted certificate gets no data: the replica fetches its own token', async () => {
    const { upstream, replica } = await tlsRedis();
    const [trusting, distrusting] = [replica({ trusted: true }), replica({ trusted: false })];
    await distrusting.until(NOT_CONNECTED);
    for (const cli of [trusting, distrusting]) {
      expect((await sendRequest(await portOf(cli), '/api/x', { body: '{}' })).status).toBe(200);
    }
    expect(upstream.tokens).toHaveLength(2);
    expect(trusting.stderr).not.toMatch(NOT_CONNECTED);
    expect(distrusting.stderr).not.toContain(PASSWORD);
  });
});

async function portOf(cli: CliProcess): Promise<number> {
  const [, port] = await cli.until(/"listen":"127\.0\.0\.1:(\d+)"/);
  return Number(port);
}

async function tlsRedis() {
  const directory = temporaryDirectory();
  const authority = issue({ name: 'authority', isCa: true });
  const server = issue({ name: 'localhost', issuer: authority });
  const fileOf = (name: string, text: string) => {
    const file = path.join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const ca = fileOf('ca.pem', authority.cert);
  const port = await freePort();
  const tls = ['--tls-cert-file', fileOf('cert.pem', server.cert), '--tls-key-file', fileOf('key.pem', server.key)];
  const args = ['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', ca, ...tls];
  await RedisServer.start([...args, '--requirepass', PASSWORD]);
  const upstream = await RawUpstream.start(() => reply(200, 'fine'));
  const replica = ({ trusted }: { trusted: boolean }) => {
    const file = configFile({
      listen: '127.0.0.1:0',
      admin: false,
      token_store: {
        redis: `rediss://:${encodeURIComponent(PASSWORD)}@localhost:${port}`,
        encryption_key: 'an encryption key for tests, long enough',
      },
      routes: { '/api/*': routeTo(upstream, { credentials: { key: 'made-up-key' } }) },
    });
    return new CliProcess(['serve', '-c', file], trusted ? { env: { NODE_EXTRA_CA_CERTS: ca } } : {});
  };
  return { upstream, replica };
}
