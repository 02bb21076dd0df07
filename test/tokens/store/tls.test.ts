import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { RedisStores } from '../../../src/tokens/store/redis.ts';
import { issue } from '../../config/certificate.ts';
import { freePort } from '../../support/free-port.ts';
import { sendRequest } from '../../support/proxy-client.ts';
import { CliProcess, configFile, temporaryDirectory } from '../../support/proxy-process.ts';
import { routeTo } from '../../support/proxy-server.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { HEALED, PATIENT, serversOf } from './provider.ts';

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

describe.runIf(hasTool('redis-server'))('a store over TLS', { timeout: 60_000 }, () => {
  it.each(['redis', 'sentinel', 'cluster'] as const)(
    'uses a private authority, a client certificate and a server name with `%s`',
    async (kind) => {
      const { settings, files } = await tlsServers(kind);
      const tls = { ca: files.ca, cert: files.cert, key: files.key, server_name: 'redis.internal' };
      expect(await failureOf({ ...settings, tls })).toBeUndefined();
      const other = { ...tls, server_name: 'another.internal' };
      expect(await failureOf({ ...settings, tls: other })).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
      expect(await failureOf({ ...settings, tls: true })).toMatch(/^(UNABLE_TO|SELF_SIGNED)/);
      const { ca, server_name } = tls;
      expect(await failureOf({ ...settings, tls: { ca, server_name } })).toBeDefined();
    },
  );
});

/** One server of this kind that requires client certificates, and how a configuration names it. */
async function tlsServers(kind: 'redis' | 'sentinel' | 'cluster') {
  const directory = temporaryDirectory();
  const authority = issue({ name: 'authority', isCa: true });
  const server = issue({ name: 'redis.internal', issuer: authority, names: ['redis.internal'] });
  const fileOf = (name: string, text: string) => {
    const file = path.join(directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const files = {
    ca: fileOf('ca.pem', authority.cert),
    cert: fileOf('cert.pem', server.cert),
    key: fileOf('key.pem', server.key),
  };
  const [port, sentinelPort] = [await freePort(), await freePort()];
  const pems = { 'tls-ca-cert-file': files.ca, 'tls-cert-file': files.cert, 'tls-key-file': files.key };
  const args = Object.entries({ 'tls-port': String(port), ...pems }).flatMap(([key, value]) => [`--${key}`, value]);
  const redis = await RedisServer.start(
    kind === 'cluster' ? [...args, '--cluster-enabled', 'yes', '--tls-cluster', 'yes'] : args,
  );
  if (kind === 'redis') return { files, settings: { redis: `rediss://127.0.0.1:${port}` } };
  if (kind === 'cluster') {
    await redis.ask('CLUSTER ADDSLOTSRANGE 0 16383');
    return { files, settings: { cluster: { nodes: [`127.0.0.1:${port}`] } } };
  }
  const lines = Object.entries({ 'tls-port': sentinelPort, ...pems, 'tls-replication': 'yes' });
  const monitor = `sentinel monitor the-master 127.0.0.1 ${port} 1`;
  await RedisServer.startSentinel([...lines.map((line) => line.join(' ')), monitor]);
  return { files, settings: { sentinel: { name: 'the-master', nodes: [`127.0.0.1:${sentinelPort}`] } } };
}

/** Opens the store, reads, and closes it. @returns why it is not connected */
async function failureOf(settings: object): Promise<string | undefined> {
  const stores = await RedisStores.open({
    servers: serversOf(settings),
    clock: PATIENT,
    log: silentLog,
    random: Math.random,
  });
  try {
    await vi.waitUntil(() => stores.status().connected || stores.status().failure !== undefined, 10_000);
    if (stores.status().connected) await vi.waitFor(() => stores.storeOf('a-credential').read(), HEALED);
    return stores.status().failure;
  } finally {
    stores.close();
  }
}

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
