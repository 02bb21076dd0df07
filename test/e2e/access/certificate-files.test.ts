import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { issue } from '../../config/certificate.ts';
import { CliProcess, configFile } from '../../support/proxy-process.ts';
import { routeTo } from '../../support/proxy-server.ts';
import { RawUpstream, reply } from '../../support/upstream-raw.ts';
import { makePki, sendTls } from './support.ts';

const pki = makePki();

describe('certificate files that are renewed on disk', { timeout: 60_000 }, () => {
  it('are loaded without a restart, once certificate and key match', async () => {
    const upstream = await RawUpstream.start(() => reply(200, 'fine'));
    const tls = { cert: 'cert.pem', key: 'key.pem' };
    const file = configFile({
      listen: { address: '127.0.0.1:0', tls },
      admin: false,
      routes: { '/api/*': routeTo(upstream) },
    });
    const write = (name: string, text: string) => writeFileSync(join(dirname(file), name), text, { mode: 0o600 });
    write('cert.pem', pki.server.cert);
    write('key.pem', pki.server.key);
    const cli = new CliProcess(['serve', '-c', file]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    const serial = async () => (await sendTls(Number(port), '/api/x', { ca: pki.ca.cert })).serial;
    const first = await serial();
    const renewed = issue({ name: 'localhost', issuer: pki.ca });
    write('cert.pem', renewed.cert);
    await cli.until(/does not belong to the certificate/);
    expect(await serial()).toBe(first);
    write('key.pem', renewed.key);
    await cli.until(/"config_reloaded"/);
    expect(await serial()).not.toBe(first);
    expect(cli.stderr).not.toContain('PRIVATE KEY');
  });
});
