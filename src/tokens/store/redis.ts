import type { createClient as CreateClient } from 'redis';
import { type Clock, isWithin } from '../../clock.ts';
import type { RedisServers } from '../../config/config.ts';
import type { Log } from '../../logger.ts';
import { MAX_ENCRYPTED_LENGTH } from './cipher.ts';
import { connectRedis, notConnected, type RedisConnection } from './redis-connection.ts';
import { type Lease, type StoredToken, type StoreStatus, StoreUnavailable, type TokenStore } from './store.ts';

/**
 * How long the numbers of an unused credential are kept. Without them, the next lease is numbered by the time, which is
 * higher.
 */
const NUMBERS_TTL_MS = 30 * 24 * 3_600_000;

/**
 * Longest value that a script returns: a generation, a space and an encrypted text. A longer value is cut here, and the
 * cipher then refuses it for its length.
 */
const MAX_VALUE_LENGTH = String(20 + MAX_ENCRYPTED_LENGTH);

// Each script is one atomic step. KEYS: token, lease, numbers. Someone else may have written any of them.

/** Returns false if the key does not exist, and nil if its value has another type. Raises any other error. */
const GET = `
local function get(...)
  local value = redis.pcall(...)
  if type(value) ~= 'table' then return value end
  if not string.find(value.err, 'WRONGTYPE', 1, true) then redis.call(...) end
end`;

/**
 * Returns one of the stored numbers, 0 if there is none. Returns nil for a number that no script here sets: one that is
 * more than a year ahead of the clock of Redis.
 */
const NUMBER = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function number(field)
  local text = get('HGET', KEYS[3], field)
  local n = tonumber(text == false and '0' or text)
  if n and n >= 0 and n <= now + 31536000000000 then return n end
end`;

const READ = `${GET}
local token = get('GET', KEYS[1])
if not token then return {} end
return {string.sub(token, 1, ${MAX_VALUE_LENGTH}), redis.call('PTTL', KEYS[1])}`;

/**
 * ARGV: owner, duration, lifetime of the numbers, `above`. A lease without an expiry, or with a later one than this
 * script sets, was not made by Wakala and is replaced.
 */
const ACQUIRE = `${GET}${NUMBER}
local result = {'', '', 0}
local token = get('GET', KEYS[1])
if token then
  result[2] = string.sub(token, 1, ${MAX_VALUE_LENGTH})
  result[3] = redis.call('PTTL', KEYS[1])
end
local remaining = redis.call('PTTL', KEYS[2])
if remaining >= 0 and remaining <= tonumber(ARGV[2]) then return result end
local last, stored = number('fence'), number('posted')
if not last or not stored then
  redis.call('DEL', KEYS[3])
  return redis.error_reply('TAMPERED numbers')
end
local fencingNumber = string.format('%.0f', math.max(last + 1, stored + 1, tonumber(ARGV[4]) + 1, now))
redis.call('HSET', KEYS[3], 'fence', fencingNumber)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
result[1] = fencingNumber
return result`;

/** ARGV: owner, duration. */
const RENEW = `${GET}
if get('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])`;

/** ARGV: owner, generation, encrypted token, its lifetime, lifetime of the numbers, channel, event. */
const SAVE = `${GET}${NUMBER}
local own = get('GET', KEYS[2]) == ARGV[1]
if own then redis.call('DEL', KEYS[2]) end
if tonumber(ARGV[2]) <= (number('posted') or 0) then return 0 end
redis.call('HSET', KEYS[3], 'posted', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1`;

/** ARGV: owner, channel, event (empty for none). */
const RELEASE = `${GET}
if get('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1`;

// Replicas of several versions share these names and those of the fields `fence` and `posted` during a rolling update.
const tokenKey = (name: string) => `wakala:{${name}}:token`;
const leaseKey = (name: string) => `wakala:{${name}}:turn`;
const numbersKey = (name: string) => `wakala:{${name}}:numbering`;
const eventChannel = (name: string) => `wakala:{${name}}:news`;

/** Runs scripts on the keys of a credential. */
interface ScriptRunner {
  /**
   * @param onLateResult gets a result that arrives after this has failed
   * @throws StoreUnavailable if there is no result within 80 ms
   */
  run(
    script: string,
    name: string,
    args: readonly string[],
    onLateResult?: (result: unknown) => void,
  ): Promise<unknown>;
  /** Without a time limit. @throws Error of the Redis client */
  send(script: string, name: string, args: readonly string[]): Promise<unknown>;
  subscribe(channel: string, onEvent: (event: string) => void): () => void;
}

/** The store of one credential in Redis. */
class RedisTokenStore implements TokenStore {
  readonly #runner: ScriptRunner;
  readonly #name: string;

  constructor(runner: ScriptRunner, name: string) {
    this.#runner = runner;
    this.#name = name;
  }

  async read(): Promise<StoredToken | undefined> {
    const [token, remainingMs] = listOf(await this.#runner.run(READ, this.#name, []));
    return storedToken(token, remainingMs);
  }

  async acquire(owner: string, durationMs: number, above: number): Promise<Lease> {
    const args = [owner, String(durationMs), String(NUMBERS_TTL_MS), String(above)];
    // Release a lease that was granted too late. Otherwise the other replicas wait until it expires.
    const onLateResult = (result: unknown) => {
      if (listOf(result)[0] !== '') this.#runner.send(RELEASE, this.#name, [owner, '', '']).catch(ignore);
    };
    const result = await this.#runner.run(ACQUIRE, this.#name, args, onLateResult);
    const [fencingNumber, token, remainingMs] = listOf(result);
    return {
      fencingNumber: fencingNumber === '' ? undefined : Number(fencingNumber),
      stored: storedToken(token, remainingMs),
    };
  }

  async renew(owner: string, durationMs: number): Promise<boolean> {
    return (await this.#runner.run(RENEW, this.#name, [owner, String(durationMs)])) === 1;
  }

  async save(owner: string, { generation, encrypted, remainingMs }: StoredToken, event: string): Promise<boolean> {
    const ttls = [String(Math.max(1, Math.floor(remainingMs))), String(NUMBERS_TTL_MS)];
    const args = [owner, String(generation), encrypted, ...ttls, eventChannel(this.#name), event];
    return (await this.#runner.run(SAVE, this.#name, args)) === 1;
  }

  async release(owner: string, event: string | undefined): Promise<void> {
    await this.#runner.run(RELEASE, this.#name, [owner, eventChannel(this.#name), event ?? '']);
  }

  subscribe(onEvent: (event: string) => void): () => void {
    return this.#runner.subscribe(eventChannel(this.#name), onEvent);
  }
}

function listOf(result: unknown): unknown[] {
  return Array.isArray(result) ? result : [];
}

function storedToken(token: unknown, remainingMs: unknown): StoredToken | undefined {
  const [, generation, encrypted] = /^(\d{1,16}) (.+)$/.exec(typeof token === 'string' ? token : '') ?? [];
  if (generation === undefined || encrypted === undefined) return undefined;
  return { generation: Number(generation), encrypted, remainingMs: Number(remainingMs) };
}

/** A token request runs at most three scripts, so it waits for Redis a quarter of a second at most. */
const SCRIPT_TIMEOUT_MS = 80;

/** After a timeout, no script is sent for this long. */
const PAUSE_MS = 1000;

const MIN_RECONNECT_DELAY_MS = 200;
const MAX_RECONNECT_DELAY_MS = 2000;

/** After a timeout or `READONLY`, another connection replaces this one, but not more often than this. */
const MIN_REPLACE_INTERVAL_MS = 10_000;

/** How long `open` waits for the connection, so that the first request finds the token of the other replicas. */
const OPEN_TIMEOUT_MS = 1000;

interface RedisContext {
  readonly servers: RedisServers;
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
}

/** The token stores in Redis: one connection for all credentials of this process. */
export class RedisStores implements ScriptRunner {
  readonly #context: RedisContext;
  #servers: RedisServers;
  readonly #channels = new Map<string, Channel>();
  /** In use until another one replaces it, also after its first error: the rest of a cluster still responds. */
  #connection: RedisConnection | undefined;
  #isConnected = false;
  #isClosed = false;
  /** Ends the connection in use. */
  #end: () => void = () => {};
  /** Ends the attempt to connect. */
  #abort: () => void = () => {};
  /** Makes another connection. */
  #replace: () => void = () => {};
  #replacedAtMs = 0;
  #pausedAtMs = -Infinity;
  #disconnectionLogged = false;
  #failure: string | undefined;

  private constructor(context: RedisContext) {
    this.#context = context;
    this.#servers = context.servers;
  }

  /** Waits up to a second for the first attempt to connect, and goes on connecting after that. */
  static async open(context: RedisContext): Promise<RedisStores> {
    const { createClient } = await import('redis');
    const stores = new RedisStores(context);
    await new Promise<void>((resolve) => {
      const cancelTimeout = context.clock.after(OPEN_TIMEOUT_MS, resolve);
      void stores.#keepConnected(createClient, () => {
        cancelTimeout();
        resolve();
      });
    });
    return stores;
  }

  /** Connects, and connects again after each failure, until `close`. */
  async #keepConnected(createClient: typeof CreateClient, onFirstAttempt: () => void): Promise<void> {
    const { clock, random } = this.#context;
    for (let failures = 0; !this.#isClosed; failures++) {
      const attempt = new AbortController();
      this.#abort = () => attempt.abort();
      const ended = Promise.withResolvers<{ readonly error: unknown } | undefined>();
      try {
        const connection = await connectRedis(this.#servers, {
          clock,
          createClient,
          random,
          signal: attempt.signal,
          onError: (error) => ended.resolve({ error }),
          onMoved: () => this.#suspect(),
        });
        const subscriptions = [...this.#channels].map(([name, { dispatch }]) => connection.subscribe(name, dispatch));
        const known = new Set(this.#channels.keys());
        await Promise.allSettled(subscriptions);
        this.#use(connection, attempt);
        // Channels that were added during the subscriptions.
        for (const [name, { dispatch }] of this.#channels) {
          if (!known.has(name)) connection.subscribe(name, dispatch).catch(ignore);
        }
        this.#replace = () => ended.resolve(undefined);
        const startedAtMs = clock.now();
        if (connection.failure !== undefined) ended.resolve({ error: connection.failure });
        else this.#onConnected(connection);
        onFirstAttempt();
        const failure = await ended.promise;
        this.#replace = () => {};
        if (failure !== undefined) this.#onError(failure.error);
        if (clock.now() - startedAtMs > MAX_RECONNECT_DELAY_MS) failures = -1;
      } catch (error) {
        attempt.abort();
        this.#onError(error);
        onFirstAttempt();
      }
      const delayMs = Math.min(MIN_RECONNECT_DELAY_MS * 2 ** Math.max(failures, 0), MAX_RECONNECT_DELAY_MS);
      await new Promise<void>((resolve) => clock.after(delayMs * (0.5 + random() / 2), resolve));
    }
  }

  #use(connection: RedisConnection, attempt: AbortController): void {
    this.#end();
    this.#end = () => attempt.abort();
    this.#connection = connection;
    this.#pausedAtMs = -Infinity;
    if (this.#isClosed) this.#end();
  }

  storeOf(name: string): TokenStore {
    return new RedisTokenStore(this, name);
  }

  async run(
    script: string,
    name: string,
    args: readonly string[],
    onLateResult: (result: unknown) => void = ignore,
  ): Promise<unknown> {
    const { clock } = this.#context;
    if (this.#connection === undefined) throw notConnected();
    if (isWithin(PAUSE_MS, this.#pausedAtMs, clock.now()))
      throw new StoreUnavailable('paused', 'paused after a timeout');
    const result = this.send(script, name, args);
    let cancelTimeout = () => {};
    const timeout = new Promise<never>((_, reject) => {
      cancelTimeout = clock.after(SCRIPT_TIMEOUT_MS, () => {
        // If this process was blocked, the result is here but not read yet. Read it before giving up.
        cancelTimeout = clock.after(0, () => {
          this.#pausedAtMs = clock.now();
          this.#suspect();
          reject(new StoreUnavailable('timeout', `no response within ${SCRIPT_TIMEOUT_MS} ms`));
        });
      });
    });
    try {
      return await Promise.race([result, timeout]);
    } catch (error) {
      result.then(onLateResult, ignore);
      if (error instanceof StoreUnavailable) throw error;
      const code = errorCode(error);
      if (code === 'READONLY') this.#suspect();
      throw new StoreUnavailable(code);
    } finally {
      cancelTimeout();
    }
  }

  async send(script: string, name: string, args: readonly string[]): Promise<unknown> {
    if (this.#connection === undefined) throw notConnected();
    // With one key, reads work while a cluster moves the slot of these keys: it refuses scripts with keys on both sides.
    const keys = script === READ ? [tokenKey(name)] : [tokenKey(name), leaseKey(name), numbersKey(name)];
    return await this.#connection.send(tokenKey(name), ['EVAL', script, String(keys.length), ...keys, ...args]);
  }

  subscribe(channel: string, onEvent: (event: string) => void): () => void {
    let subscribed = this.#channels.get(channel);
    if (subscribed === undefined) {
      subscribed = newChannel();
      this.#channels.set(channel, subscribed);
      // This fails while there is no connection. The next one subscribes to all channels.
      this.#connection?.subscribe(channel, subscribed.dispatch).catch(ignore);
    }
    const { listeners } = subscribed;
    listeners.add(onEvent);
    return () => listeners.delete(onEvent);
  }

  /** The next connection uses these certificates. */
  setTls(tls: RedisServers['tls']): void {
    this.#servers = { ...this.#servers, tls };
  }

  status(): StoreStatus {
    return { connected: this.#isConnected, failure: this.#failure };
  }

  close(): void {
    this.#isClosed = true;
    this.#isConnected = false;
    this.#abort();
    this.#end();
    this.#replace();
  }

  /** The connection may be to a server that is no longer the master, or that hangs. */
  #suspect(): void {
    const nowMs = this.#context.clock.now();
    if (isWithin(MIN_REPLACE_INTERVAL_MS, this.#replacedAtMs, nowMs)) return;
    this.#replacedAtMs = nowMs;
    this.#replace();
  }

  #onConnected({ server }: RedisConnection): void {
    this.#isConnected = true;
    this.#failure = undefined;
    if (this.#disconnectionLogged) this.#context.log.info('token_store_connected', { server });
    this.#disconnectionLogged = false;
  }

  #onError(error: unknown): void {
    if (this.#isClosed) return;
    this.#isConnected = false;
    this.#failure = errorCode(error);
    if (this.#disconnectionLogged) return;
    this.#disconnectionLogged = true;
    this.#context.log.warn('token_store_disconnected', { error: this.#failure });
  }
}

interface Channel {
  readonly listeners: Set<(event: string) => void>;
  readonly dispatch: (event: string) => void;
}

function newChannel(): Channel {
  const listeners: Channel['listeners'] = new Set();
  const dispatch = (event: string) => {
    for (const listener of [...listeners]) listener(event);
  };
  return { listeners, dispatch };
}

function ignore(): void {
  return;
}

/**
 * The code of Redis (`WRONGPASS`, `OOM`), that of the network, or the class of the client's error
 * (`SocketClosedUnexpectedlyError`). The rest of a message is left out, since it may quote an address.
 */
function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return /^[A-Z]{3,}\b/.exec(error.message)?.[0] ?? error.constructor.name;
}
