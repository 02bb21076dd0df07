import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../support/free-port.ts';
import { expectProblem, sendJson, sendRequest } from '../../support/proxy-client.ts';
import { CliProcess, temporaryDirectory } from '../../support/proxy-process.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { hasTool } from '../../support/tools.ts';
import { configIn, ofKind, rendered, secretsIn, wakalaIn } from './manifests.ts';

/** Starts Wakala with the arguments, variables and configuration of a folder, on free ports and with made-up secrets. */
async function start(folder: string, replaced: Readonly<Record<string, string>> = {}) {
  const { container } = wakalaIn(rendered(folder));
  const config = configIn(rendered(folder));
  const directory = temporaryDirectory();
  const secrets = new Map(secretsIn(config).map((name) => [name, `made-up-secret-of-${name}`]));
  for (const [name, secret] of secrets) writeFileSync(path.join(directory, name), secret, { mode: 0o400 });
  const [port, adminPort] = [await freePort(), await freePort()];
  const here = { ':8080': `:${port}`, ':9901': `:${adminPort}`, '/run/secrets/wakala': directory, ...replaced };
  const file = path.join(directory, 'proxy.config.yaml');
  writeFileSync(
    file,
    Object.entries(here).reduce((text, [from, to]) => text.replaceAll(from, to), config),
  );
  const args = container.args?.map((arg) => arg.replace('/etc/wakala/proxy.config.yaml', file)) ?? [];
  const env = Object.fromEntries((container.env ?? []).map(({ name, value = '' }) => [name, value]));
  const cli = new CliProcess(args, { env });
  await cli.until(/"event":"ready"/);
  for (const { httpGet } of [container.startupProbe!, container.livenessProbe!, container.readinessProbe!]) {
    expect((await sendRequest(adminPort, httpGet?.path ?? '')).status, httpGet?.path).toBe(200);
  }
  return { cli, port, adminPort, secret: (name: string) => ({ authorization: `Bearer ${secrets.get(name) ?? ''}` }) };
}

describe.runIf(hasTool('kubectl'))('Wakala as the manifests run it', { timeout: 60_000 }, () => {
  it('as a sidecar: the app needs no key, the dashboard its token', async () => {
    const { cli, port, adminPort, secret } = await start('overlays/sidecar');
    expectProblem(await sendRequest(port, '/nowhere'), { status: 404, code: 'no_route' });
    expect((await sendRequest(adminPort, '/metrics')).status).toBe(200);
    expect((await sendRequest(adminPort, '/')).status).toBe(401);
    expect((await sendRequest(adminPort, '/', { headers: secret('admin_token') })).status).toBe(200);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  it.runIf(hasTool('redis-server'))('as a gateway: clients need a key, and the Redis its password', async () => {
    const maps = ofKind(rendered('overlays/gateway'), 'ConfigMap');
    const conf = maps.flatMap(({ data = {} }) => data['redis.conf'] ?? []).join();
    const folder = temporaryDirectory();
    mkdirSync(path.join(folder, 'secrets'));
    writeFileSync(path.join(folder, 'secrets/auth.conf'), 'requirepass made-up-secret-of-redis_password\n');
    writeFileSync(
      path.join(folder, 'redis.conf'),
      conf.replace('/run/secrets/redis', `${folder}/secrets`).replace('port 6379', ''),
    );
    const redis = await RedisServer.start(['--include', path.join(folder, 'redis.conf')]);
    expect(await redis.ask('PING')).toContain('NOAUTH');

    const { port, adminPort, secret } = await start('overlays/gateway', {
      'wakala-redis:6379': `127.0.0.1:${redis.port}`,
    });
    expect((await sendRequest(adminPort, '/metrics')).text).toMatch(/^wakala_token_store_connected 1$/m);
    expectProblem(await sendRequest(port, '/nowhere'), { status: 401, code: 'client_unauthorized' });
    const strange = await sendRequest(port, '/nowhere', { headers: secret('redis_password') });
    expectProblem(strange, { status: 401, code: 'client_unauthorized' });
    for (const client of ['client_shop', 'client_reports']) {
      expectProblem(await sendRequest(port, '/nowhere', { headers: secret(client) }), {
        status: 404,
        code: 'no_route',
      });
    }
  });

  it('with emulated providers: without any secret, and says so', async () => {
    expect(secretsIn(configIn(rendered('overlays/dev')))).toEqual([]);
    const { cli, port, adminPort } = await start('overlays/dev');
    await cli.until(/\[EMULATED\]/);
    const response = await sendJson(port, '/paypack/transactions/cashin', { amount: 100, number: '0780000001' });
    expect([response.status, response.header('x-emulated-by')]).toEqual([200, 'wakala']);
    const headers = { authorization: 'Bearer emulated-admin-token' };
    expect((await sendRequest(adminPort, '/', { headers })).text).toContain('EMULATED');
    for (const host of ['wakala-emulated:8080', 'wakala-emulated.payments-dev.svc:8080', '10.244.0.7:8080']) {
      expect((await sendRequest(port, '/paypack/transactions/list', { headers: { host } })).status).toBe(200);
    }
  });
});
