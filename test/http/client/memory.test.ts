import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { issue } from '../../config/certificate.ts';

const MIB = 1024 * 1024;
const CERTIFICATE = issue({ name: 'localhost' });

/** By how much the memory of a process grows that reads `/large` of so many bytes, or `/late` all at once. KiB. */
async function growthKiB(scenario: string, count: number, largeBytes: number, tls: boolean): Promise<number> {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  const late: (() => void)[] = [];
  const listener: RequestListener = (req, res) => {
    if (req.url === '/small') res.end('small'.repeat(40));
    if (req.url === '/late') {
      late.push(() => res.end('late'));
      if (late.length === count) for (const respond of late) respond();
    }
    if (req.url !== '/large') return;
    res.setHeader('content-length', 100 * MIB);
    let left = largeBytes;
    const write = () => {
      for (; left > 0; left -= chunk.length) {
        if (res.write(chunk)) continue;
        left -= chunk.length;
        res.once('drain', write);
        return;
      }
    };
    write();
  };
  const server = tls
    ? createTlsServer({ cert: CERTIFICATE.cert, key: CERTIFICATE.key }, listener)
    : createServer(listener);
  server.listen(0, '127.0.0.1', 2000);
  await once(server, 'listening');
  const folder = mkdtempSync(path.join(tmpdir(), 'wakala-memory-'));
  const ca = path.join(folder, 'ca.pem');
  writeFileSync(ca, CERTIFICATE.cert);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const origin = `${tls ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}`;
  const script = path.join(import.meta.dirname, 'memory-child.ts');
  const child = spawn(process.execPath, [
    '--no-warnings',
    script,
    origin,
    scenario,
    String(count),
    ...(tls ? [ca] : []),
  ]);
  let printed = '';
  child.stdout.on('data', (text) => (printed += String(text)));
  child.stderr.on('data', (text) => (printed += String(text)));
  await once(child, 'close');
  if (!/^-?\d+\n$/.test(printed)) throw new Error(printed);
  return Number(printed);
}

it.each([
  ['TCP', 'given back', 'release', false],
  ['TLS', 'given back', 'release', true],
] as const)(
  '100 MiB over %s, %s, use less than 32 MiB',
  async (_, __, scenario, tls) => {
    expect(await growthKiB(scenario, 1, 100 * MIB, tls)).toBeLessThan(32 * 1024);
  },
  60_000,
);

it.each([
  ['TCP', false, 120],
  // OpenSSL keeps what it has read, and chunks that arrive after a pause are kept.
  ['TLS', true, 300],
] as const)(
  '300 paused responses over %s use less memory than allowed',
  async (_, tls, limitKiB) => {
    expect((await growthKiB('pause', 300, MIB / 2, tls)) / 300).toBeLessThan(limitKiB);
  },
  60_000,
);

it.each([
  ['TCP', false, 40],
  ['TLS', true, 120],
] as const)(
  '500 idle connections over %s use less memory than allowed',
  async (_, tls, limitKiB) => {
    expect((await growthKiB('idle', 500, 0, tls)) / 500).toBeLessThan(limitKiB);
  },
  60_000,
);
