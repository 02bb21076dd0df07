import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { RedisStores } from '../../../src/tokens/store/redis.ts';
import { freePort } from '../../support/free-port.ts';
import { HEALED, PATIENT, serversOf } from './provider.ts';

/** A node of a cluster, which responds to each command with a text in the protocol of Redis. */
async function clusterNode(port: number, respond: (command: string) => string): Promise<void> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.on('data', (chunk) => {
      // Each command comes in one segment or together with others.
      for (const command of chunk.toString().split(/(?=^\*\d+\r\n)/m)) socket.write(respond(command));
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

const slots = (port: number) => `*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:${port}\r\n`;

it(
  'a cluster is asked again for its slots if the server that it redirects to cannot be reached',
  { timeout: 40_000 },
  async () => {
    const [old, next] = [await freePort(), await freePort()];
    let master = old;
    await clusterNode(old, (command) => {
      if (command.includes('SLOTS')) return slots(master);
      return command.includes('EVAL') ? `-MOVED 1 127.0.0.1:${next}\r\n` : '+OK\r\n';
    });
    const servers = serversOf({ cluster: { nodes: [`127.0.0.1:${old}`] } });
    const stores = await RedisStores.open({ servers, clock: PATIENT, log: silentLog, random: Math.random });
    onTestFinished(() => stores.close());
    const store = stores.storeOf('a-credential');
    await expect(store.read()).rejects.toThrow('ECONNREFUSED');
    master = next;
    await clusterNode(next, (command) => (command.includes('EVAL') ? '*0\r\n' : '+OK\r\n'));
    await vi.waitFor(async () => expect(await store.read()).toBeUndefined(), HEALED);
  },
);
