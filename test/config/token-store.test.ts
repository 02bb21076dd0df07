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
    const store = load({ redis: 'rediss://u:p@host:6380/2', encryption_key: KEY, previous_keys: [old] }).tokenStore;
    expect(store?.url.reveal()).toBe('rediss://u:p@host:6380/2');
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

  it('is undefined with emulated providers, even if its secrets are not set', () => {
    expect(load({ redis: '${REDIS_URL}', encryption_key: '${KEY}' }, { emulated: true }).tokenStore).toBeUndefined();
  });
});
