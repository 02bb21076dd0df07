import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../src/logger.ts';
import { RedisStores } from '../../../src/tokens/store/redis.ts';
import { slotOf } from '../../../src/tokens/store/redis-connection.ts';
import type { TokenStore } from '../../../src/tokens/store/store.ts';
import { textOf } from '../../docs/documents.ts';
import { RedisCluster, RedisSentinels } from '../../support/redis-topologies.ts';
import { hasTool } from '../../support/tools.ts';
import { HEALED, PATIENT, serversOf } from './provider.ts';

const LONG_MS = 60_000;
/** A lease that a failover leaves behind expires soon. */
const LEASE_MS = 500;
const EVENT = 'encrypted "event"';

async function open(settings: object): Promise<RedisStores> {
  const servers = serversOf(settings);
  const stores = await RedisStores.open({ servers, clock: PATIENT, log: silentLog, random: Math.random });
  onTestFinished(() => stores.close());
  return stores;
}

/** Acquires a lease and stores a token. @returns its generation */
async function store(name: TokenStore): Promise<number> {
  const { fencingNumber } = await name.acquire('one', LEASE_MS, 0);
  if (fencingNumber === undefined) throw new Error('no lease');
  const saved = await name.save('one', { generation: fencingNumber, encrypted: 'text', remainingMs: LONG_MS }, EVENT);
  expect(saved).toBe(true);
  return fencingNumber;
}

const working = (stores: RedisStores) =>
  vi.waitFor(async () => {
    expect(stores.status()).toEqual({ connected: true, failure: undefined });
    return await store(stores.storeOf('a-credential'));
  }, HEALED);

const failing = (stores: RedisStores, failure: string) =>
  vi.waitFor(() => expect(stores.status()).toEqual({ connected: false, failure }), HEALED);

/** The commands with which docs/security.md creates the users of Wakala, with their passwords filled in. */
function userCommands(): string[] {
  const commands = [...textOf('docs/security.md').matchAll(/`(ACL SETUSER [^`]+)`/g)].map(
    ([, command = '']) => command,
  );
  return commands.map((command) => command.replace('PASSWORD', 'made-up-password'));
}

describe.runIf(hasTool('redis-server'))('a store whose master sentinels name', { timeout: 60_000 }, () => {
  it('works with the users of docs/security.md, and says what is wrong without them', async () => {
    const redis = await RedisSentinels.start();
    const [user = '', , watcher = ''] = userCommands();
    for (const server of redis.servers) expect(await server.ask(user)).toBe('+OK\r\n');
    for (const sentinel of redis.sentinels) expect(await sentinel.ask(watcher)).toBe('+OK\r\n');
    const logins = {
      username: 'wakala',
      password: 'made-up-password',
      sentinel_username: 'wakala',
      sentinel_password: 'made-up-password',
    };
    const { sentinel } = redis.settings;
    await working(await open({ sentinel: { ...sentinel, ...logins } }));
    for (const each of [...redis.servers, ...redis.sentinels]) expect(await each.ask('ACL LOG')).toBe('*0\r\n');

    await failing(await open({ sentinel: { ...sentinel, ...logins, password: 'wrong' } }), 'WRONGPASS');
    await failing(await open({ sentinel: { ...sentinel, ...logins, sentinel_password: 'wrong' } }), 'WRONGPASS');
    await failing(await open({ sentinel: { ...sentinel, ...logins, name: 'another' } }), 'UNKNOWN_MASTER');
  });

  it('connects when the sentinels come, and to another master when the first one hangs', async () => {
    const redis = await RedisSentinels.start();
    await Promise.all(redis.sentinels.map((sentinel) => sentinel.kill()));
    const stores = await open(redis.settings);
    await failing(stores, 'ECONNREFUSED');
    await Promise.all(redis.sentinels.map((sentinel) => sentinel.run()));
    const before = await working(stores);

    const events: string[] = [];
    stores.storeOf('a-credential').subscribe((event) => events.push(event));
    const hanging = await redis.master();
    hanging.pause();
    await redis.failedOver(hanging);
    expect(await working(stores)).toBeGreaterThan(before);
    await vi.waitFor(() => expect(events).not.toEqual([]), HEALED);

    // It becomes a replica. A planned failover makes it the master again.
    hanging.resume();
    const [sentinel] = redis.sentinels;
    await vi.waitFor(async () => {
      expect(await sentinel?.ask('SENTINEL FAILOVER the-master')).toBe('+OK\r\n');
    }, HEALED);
    await vi.waitFor(async () => expect(await redis.master()).toBe(hanging), HEALED);
    const number = await working(await open(redis.settings));
    expect(await working(stores)).toBeGreaterThan(number);
  });
});

describe.runIf(hasTool('redis-server'))('a store in a cluster', { timeout: 60_000 }, () => {
  it('follows slots that move, and works in part while a master is away', async () => {
    const redis = await RedisCluster.start();
    const [, user = ''] = userCommands();
    for (const node of redis.nodes) expect(await node.ask(user)).toBe('+OK\r\n');
    const stores = await open({
      cluster: { ...redis.settings.cluster, username: 'wakala', password: 'made-up-password' },
    });
    const numbers = [await working(stores)];
    const events: string[] = [];
    stores.storeOf('a-credential').subscribe((event) => events.push(event));

    const key = 'wakala:{a-credential}:token';
    const slot = slotOf(key);
    expect(await redis.nodes[0]?.ask(`CLUSTER KEYSLOT ${key}`)).toBe(`:${slot}\r\n`);
    const source = await redis.masterOf(key);
    const target = redis.nodes.slice(0, 3).find((node) => node !== source);
    if (target === undefined) throw new Error('no other master');
    const [from, to] = await Promise.all([redis.idOf(source), redis.idOf(target)]);
    await target.ask(`CLUSTER SETSLOT ${slot} IMPORTING ${from}`);
    await source.ask(`CLUSTER SETSLOT ${slot} MIGRATING ${to}`);
    expect(await stores.storeOf('a-credential').read()).toMatchObject({ generation: numbers[0] });
    // Some of the three keys are there, some are not.
    await expect(stores.storeOf('a-credential').acquire('one', LEASE_MS, 0)).rejects.toMatchObject({
      code: 'TRYAGAIN',
    });
    const keys = (await source.ask(`CLUSTER GETKEYSINSLOT ${slot} 9`)).match(/wakala:\S+/g) ?? [];
    await source.ask(`MIGRATE 127.0.0.1 ${target.port} "" 0 5000 KEYS ${keys.join(' ')}`);
    // The source has none of the keys any more, and redirects with ASK.
    expect(await stores.storeOf('a-credential').read()).toMatchObject({ generation: numbers[0] });
    for (const node of [target, source]) await node.ask(`CLUSTER SETSLOT ${slot} NODE ${to}`);
    // MOVED.
    numbers.push(await working(stores));
    await vi.waitFor(() => expect(events).toEqual([EVENT]), HEALED);

    // Its replica takes over only if the cluster agrees that it is away. The others are not disturbed.
    const other = redis.nodes.slice(0, 3).find((node) => node !== source && node !== target);
    other?.pause();
    numbers.push(await vi.waitFor(() => store(stores.storeOf('a-credential')), HEALED));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    for (const node of redis.nodes.filter((each) => each !== other)) expect(await node.ask('ACL LOG')).toBe('*0\r\n');
  });
});
