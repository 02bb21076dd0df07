import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/errors.ts';

const KEY = 'k'.repeat(32);

function load(store: object, options: { readonly emulated?: boolean } = {}) {
  const route = { provider: 'mpesa', credentials: { consumer_key: 'key', consumer_secret: 'secret' } };
  const written = JSON.stringify({ token_store: store, routes: { '/mpesa/*': route } });
  return loadConfig('proxy.config.yaml', { readFile: () => written, env: {}, ...options }).config;
}

function problems(store: object): string[] {
  try {
    load(store);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ message }) => message);
  }
}

describe('token_store', () => {
  it('is undefined by default', () => {
    const route = { provider: 'mpesa', credentials: { consumer_key: 'key', consumer_secret: 'secret' } };
    const written = JSON.stringify({ routes: { '/mpesa/*': route } });
    expect(loadConfig('f', { readFile: () => written, env: {} }).config.tokenStore).toBeUndefined();
  });

  it('has an address and its keys, the current one first', () => {
    const old = 'o'.repeat(32);
    const redis = 'rediss://u%40x:p%3Aq@host:6380/2';
    const store = load({ redis, encryption_key: KEY, previous_keys: [old] }).tokenStore;
    expect(store?.servers).toMatchObject({
      kind: 'single',
      addresses: [{ host: 'host', port: 6380 }],
      login: { username: 'u@x', database: 2 },
      tls: {},
    });
    expect(store?.servers.login.password?.reveal()).toBe('p:q');
    expect(store?.keys.map((key) => key.reveal())).toEqual([KEY, old]);
  });

  it.each(['redis://localhost', 'redis://:p@h:1', 'rediss://h/0', 'redis://[::1]:6379/'])('accepts %s', (redis) => {
    expect(problems({ redis, encryption_key: KEY })).toEqual([]);
  });

  it.each([
    ['redis://127.0.0.1:6379', []],
    ['rediss://redis.example', []],
    ['redis://redis.example', [expect.stringContaining('unencrypted') as string]],
  ])('warns that %s sends the password unencrypted', (redis, warnings) => {
    const route = { provider: 'mpesa', credentials: { consumer_key: 'key', consumer_secret: 'secret' } };
    const written = JSON.stringify({ token_store: { redis, encryption_key: KEY }, routes: { '/mpesa/*': route } });
    const found = loadConfig('f', { readFile: () => written, env: {} }).warnings.map(({ message }) => message);
    expect(found.filter((message) => message.includes('token_store'))).toEqual(warnings);
  });

  it.each([
    ['http://host:6379', 'must be `redis://host:6379` or'],
    ['host:6379', 'must be `redis://host:6379` or'],
    ['redis://', 'must be `redis://host:6379` or'],
    ['redis://host/a/b', 'must have no path, or the number of a database'],
    ['redis://host/0?x=1', 'must not contain a query'],
  ])('rejects %s and shows an example', (redis, why) => {
    expect(problems({ redis, encryption_key: KEY })).toEqual([expect.stringContaining(`token_store.redis: ${why}`)]);
  });

  it('rejects keys that are short, repeated or missing', () => {
    expect(problems({ redis: 'redis://h', encryption_key: 'short', previous_keys: ['x', KEY] })).toEqual([
      expect.stringContaining('token_store.encryption_key: is shorter than 32 characters'),
      expect.stringContaining('token_store.previous_keys.0: is shorter than 32'),
    ]);
    expect(problems({ redis: 'redis://h', encryption_key: KEY, previous_keys: [KEY] })).toEqual([
      'token_store.previous_keys.0: is listed twice; remove it',
    ]);
    expect(problems({ redis: 'redis://h' })).toEqual([expect.stringContaining('`encryption_key` is missing')]);
  });

  it('has the sentinels, the name of their master, and a login for each', () => {
    const sentinel = {
      name: 'the-master',
      nodes: ['s1.internal', '10.0.0.2:26380', '[::1]:1'],
      username: 'wakala',
      password: 'p',
      database: 3,
      sentinel_username: 'watcher',
      sentinel_password: 'q',
    };
    const servers = load({ sentinel, tls: true, encryption_key: KEY }).tokenStore?.servers;
    expect(servers).toMatchObject({
      kind: 'sentinel',
      masterName: 'the-master',
      addresses: [
        { host: 's1.internal', port: 26379 },
        { host: '10.0.0.2', port: 26380 },
        { host: '::1', port: 1 },
      ],
      login: { username: 'wakala', database: 3 },
      sentinelLogin: { username: 'watcher' },
      tls: {},
    });
    expect(servers?.login.password?.reveal()).toBe('p');
    expect(servers?.kind === 'sentinel' && servers.sentinelLogin.password?.reveal()).toBe('q');
  });

  it('has nodes of a cluster, and a login', () => {
    const cluster = { nodes: ['c1', 'c2:7000'], password: 'p' };
    const servers = load({ cluster, encryption_key: KEY }).tokenStore?.servers;
    expect(servers).toMatchObject({
      kind: 'cluster',
      addresses: [
        { host: 'c1', port: 6379 },
        { host: 'c2', port: 7000 },
      ],
      tls: undefined,
    });
    expect(servers?.login.password?.reveal()).toBe('p');
  });

  it.each<[object, string]>([
    [{}, 'token_store: names no Redis; add `redis: redis://host:6379`, or `sentinel` or `cluster` with their `nodes`'],
    [
      { redis: 'redis://h', cluster: { nodes: ['c'] } },
      'token_store: `redis` and `cluster` exclude each other; keep one of them',
    ],
    [
      { redis: 'redis://h', sentinel: { name: 'm', nodes: ['s'] }, cluster: { nodes: ['c'] } },
      'token_store: `redis` and `sentinel` and `cluster` exclude each other; keep one of them',
    ],
    [{ cluster: { nodes: [] } }, 'token_store.cluster.nodes: is empty; list at least one `host:port`'],
    [
      { cluster: { nodes: ['c', 'redis://h:1'] } },
      'token_store.cluster.nodes.1: must be a host and a port such as `redis-1.internal:6379`, without scheme or path',
    ],
    [
      { sentinel: { name: 'm', nodes: ['s:99999'] } },
      'token_store.sentinel.nodes.0: must be a host and a port such as `redis-1.internal:26379`, without scheme or path',
    ],
    [{ redis: 'redis://localhost', tls: true }, 'token_store.redis: must begin with `rediss://`, because `tls` is set'],
    [{ redis: 'redis://:50%@h' }, 'token_store.redis: contains a bare `%` in user or password; write `%25`'],
  ])('rejects %j', (store, problem) => {
    expect(problems({ ...store, encryption_key: KEY })).toEqual([problem]);
  });

  it.each<[object, string[]]>([
    [{ cluster: { nodes: ['c'], password: 'p' } }, ['token_store.cluster.password: is sent unencrypted; set `tls`']],
    [{ cluster: { nodes: ['c'] } }, []],
    [{ cluster: { nodes: ['c'], password: 'p' }, tls: true }, []],
    [{ cluster: { nodes: ['127.0.0.1:1'], password: 'p' } }, []],
    [
      { sentinel: { name: 'm', nodes: ['s'], sentinel_password: 'p' } },
      ['token_store.sentinel.sentinel_password: is sent unencrypted; set `tls`'],
    ],
  ])('warns of a password without TLS: %j', (store, warnings) => {
    const route = { provider: 'mpesa', credentials: { consumer_key: 'key', consumer_secret: 'secret' } };
    const written = JSON.stringify({ token_store: { ...store, encryption_key: KEY }, routes: { '/mpesa/*': route } });
    const found = loadConfig('f', { readFile: () => written, env: {} }).warnings.map(({ message }) => message);
    expect(found.filter((message) => message.includes('token_store'))).toEqual(warnings);
  });

  it('is undefined with emulated providers, even if its secrets are not set', () => {
    expect(load({ redis: '${REDIS_URL}', encryption_key: '${KEY}' }, { emulated: true }).tokenStore).toBeUndefined();
  });
});
