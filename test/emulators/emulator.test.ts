import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { emulatorPorts, startEmulator, startEmulators } from '../../src/emulators/emulator.ts';
import { jeel } from '../../src/providers/jeel.ts';
import { jpay } from '../../src/providers/jpay.ts';
import { paypack } from '../../src/providers/paypack.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import { emulate } from './support.ts';

const custom: Provider = { ...jpay, name: 'own' };
const customWithAuth: Provider = { ...jeel, name: 'own' };

async function busyPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

describe('emulator ports', () => {
  it('are fixed for built-in providers and count up for others', () => {
    expect(emulatorPorts([custom, ...providers, customWithAuth, custom])).toEqual([
      { api: 9960, auth: undefined },
      { api: 9911, auth: undefined },
      { api: 9912, auth: undefined },
      { api: 9913, auth: 9923 },
      { api: 9914, auth: undefined },
      { api: 9915, auth: undefined },
      { api: 9910, auth: undefined },
      { api: 9916, auth: undefined },
      { api: 9917, auth: undefined },
      { api: 9918, auth: undefined },
      { api: 9919, auth: 9908 },
      { api: 9920, auth: undefined },
      { api: 9921, auth: undefined },
      { api: 9922, auth: undefined },
      { api: 9924, auth: undefined },
      { api: 9925, auth: undefined },
      { api: 9926, auth: undefined },
      { api: 9927, auth: undefined },
      { api: 9928, auth: 9909 },
      { api: 9929, auth: undefined },
      { api: 9931, auth: undefined },
      { api: 9932, auth: undefined },
      { api: 9961, auth: 9962 },
      { api: 9963, auth: undefined },
    ]);
  });

  it('of built-in providers are unique and differ from the admin port', () => {
    const all = emulatorPorts(providers).flatMap(({ api, auth }) => [api, ...(auth === undefined ? [] : [auth])]);
    expect(new Set(all).size).toBe(all.length);
    expect(all).not.toContain(9901);
    for (const port of all) expect(port).toBeLessThan(9960);
  });

  it('are unique if a provider appears twice', () => {
    expect(emulatorPorts([jpay, jpay]).map(({ api }) => api)).toEqual([9911, 9960]);
  });
});

describe('an emulator', () => {
  it('keeps the base path of the real API', async () => {
    const { emulator: one } = await emulate(jpay);
    const { emulator: other } = await emulate(paypack);
    expect(one.apiUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/api\/v1$/);
    expect(other.apiUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/api$/);
    expect(one.authUrl).toBe(one.apiUrl);
  });

  it('closes idle connections when it closes', async () => {
    const emulator = await startEmulator(jpay, { port: 0 });
    const socket = connect(Number(new URL(emulator.apiUrl).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /_emulator HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    const closed = once(socket, 'close');
    await emulator.close();
    await closed;
    await emulator.close();
  });

  it('releases the API port if the token port is in use', async () => {
    const { emulator } = await emulate(jpay);
    const free = Number(new URL(emulator.apiUrl).port);
    await emulator.close();
    const started = startEmulator(jeel, { port: free, authPort: await busyPort() });
    await expect(started).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const again = await startEmulator(jeel, { port: free, authPort: 0 });
    await again.close();
  });
});

describe('all emulators', () => {
  it('start on free ports and close together', async () => {
    const { emulators, notes, close } = await startEmulators(providers, { ports: 'free' });
    expect(emulators.map(({ provider }) => provider.name)).toEqual(providers.map(({ name }) => name));
    expect(new Set(emulators.map(({ apiUrl }) => new URL(apiUrl).port)).size).toBe(providers.length);
    expect(notes).toEqual([]);
    await close();
    await expect(fetch(emulators[0]!.apiUrl)).rejects.toThrow('fetch failed');
  });

  it('use a free port if a fixed port is in use, and report it', async () => {
    const taken = await startEmulators([custom]).catch(() => undefined);
    onTestFinished(() => taken?.close());
    const { emulators, notes, close } = await startEmulators([custom]);
    onTestFinished(close);
    expect(emulators[0]?.apiUrl).not.toContain(':9960/');
    expect(notes).toEqual([`port 9960 is in use, so own is emulated at ${emulators[0]!.apiUrl}`]);
  });
});
