import type { RedisClientType } from 'redis';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../logger.ts';
import type { Secret } from '../../secret.ts';
import { MAX_ENCRYPTED_LENGTH } from './cipher.ts';
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

const MAX_RECONNECT_DELAY_MS = 2000;

/** How long `open` waits for the connection, so that the first request finds the token of the other replicas. */
const OPEN_TIMEOUT_MS = 1000;

interface RedisContext {
  readonly url: Secret;
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
}

/** The token stores in Redis: one connection for scripts and one for events, for all credentials of this process. */
export class RedisStores implements ScriptRunner {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #commandClient: RedisClientType;
  readonly #eventClient: RedisClientType;
  readonly #channels = new Map<string, Channel>();
  #pausedUntilMs = 0;
  #disconnectionLogged = false;
  #failure: string | undefined;

  private constructor({ clock, log }: RedisContext, client: RedisClientType) {
    this.#clock = clock;
    this.#log = log;
    this.#commandClient = client;
    this.#eventClient = client.duplicate();
    for (const each of [this.#commandClient, this.#eventClient]) {
      each.on('error', (error: unknown) => this.#onError(error));
      each.on('ready', () => this.#onReady());
    }
  }

  /** Waits up to a second for the connection. The clients go on connecting after that. */
  static async open(context: RedisContext): Promise<RedisStores> {
    const { createClient } = await import('redis');
    const client = createClient({
      url: context.url.reveal(),
      disableOfflineQueue: true,
      socket: {
        connectTimeout: 2000,
        reconnectStrategy: (retries) =>
          Math.min(50 * 2 ** retries, MAX_RECONNECT_DELAY_MS) * (0.5 + context.random() / 2),
      },
    });
    const stores = new RedisStores(context, client);
    await stores.#connect();
    return stores;
  }

  async #connect(): Promise<void> {
    const connecting = [this.#commandClient, this.#eventClient].map((client) =>
      client.connect().catch((error: unknown) => this.#onError(error)),
    );
    let cancelTimeout = () => {};
    const timeout = new Promise<void>((resolve) => (cancelTimeout = this.#clock.after(OPEN_TIMEOUT_MS, resolve)));
    await Promise.race([Promise.all(connecting), timeout]);
    cancelTimeout();
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
    if (!this.#commandClient.isReady) throw new StoreUnavailable('not_connected', 'not connected');
    if (this.#clock.now() < this.#pausedUntilMs) throw new StoreUnavailable('paused', 'paused after a timeout');
    const result = this.send(script, name, args);
    let cancelTimeout = () => {};
    const timeout = new Promise<never>((_, reject) => {
      cancelTimeout = this.#clock.after(SCRIPT_TIMEOUT_MS, () => {
        // If this process was blocked, the result is here but not read yet. Read it before giving up.
        cancelTimeout = this.#clock.after(0, () => {
          this.#pausedUntilMs = this.#clock.now() + PAUSE_MS;
          reject(new StoreUnavailable('timeout', `no response within ${SCRIPT_TIMEOUT_MS} ms`));
        });
      });
    });
    try {
      return await Promise.race([result, timeout]);
    } catch (error) {
      result.then(onLateResult, ignore);
      throw error instanceof StoreUnavailable ? error : new StoreUnavailable(errorCode(error));
    } finally {
      cancelTimeout();
    }
  }

  send(script: string, name: string, args: readonly string[]): Promise<unknown> {
    const keys = [tokenKey(name), leaseKey(name), numbersKey(name)];
    return this.#commandClient.sendCommand(['EVAL', script, String(keys.length), ...keys, ...args]);
  }

  subscribe(channel: string, onEvent: (event: string) => void): () => void {
    let subscribed = this.#channels.get(channel);
    if (subscribed === undefined) {
      subscribed = newChannel();
      this.#channels.set(channel, subscribed);
      this.#subscribe(channel, subscribed);
    }
    const { listeners } = subscribed;
    listeners.add(onEvent);
    return () => listeners.delete(onEvent);
  }

  status(): StoreStatus {
    return { connected: this.#commandClient.isReady && this.#eventClient.isReady, failure: this.#failure };
  }

  close(): void {
    this.#commandClient.destroy();
    this.#eventClient.destroy();
  }

  /** May be called again for a channel: the client keeps each function once, and subscribes again after a reconnect. */
  #subscribe(channel: string, { dispatch }: Channel): void {
    // This fails if there has been no connection yet. `#onReady` tries again.
    this.#eventClient.subscribe(channel, dispatch).catch(ignore);
  }

  #onReady(): void {
    this.#pausedUntilMs = 0;
    if (!this.#commandClient.isReady || !this.#eventClient.isReady) return;
    if (this.#disconnectionLogged) this.#log.info('token_store_connected');
    this.#failure = undefined;
    this.#disconnectionLogged = false;
    for (const [name, channel] of this.#channels) this.#subscribe(name, channel);
  }

  #onError(error: unknown): void {
    this.#failure = errorCode(error);
    if (this.#disconnectionLogged) return;
    this.#disconnectionLogged = true;
    this.#log.warn('token_store_disconnected', { error: this.#failure });
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
