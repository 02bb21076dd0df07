import type { RedisClientType } from 'redis';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../logger.ts';
import type { Secret } from '../../secret.ts';
import { MAX_ENCRYPTED_LENGTH } from './cipher.ts';
import { type Lease, type StoredToken, type StoreStatus, StoreUnavailable, type TokenStore } from './store.ts';

/** How long the numbering of an unused credential is remembered; a new one starts from the time, which is higher. */
const NUMBERING_MS = 30 * 24 * 3_600_000;

/** Longest value that a script returns: a number and a sealed text. A longer one is cut here, and refused for its length. */
const MAX_LENGTH = String(20 + MAX_ENCRYPTED_LENGTH);

/**
 * Reads a key that someone else may have written. Nil if it has another type, false if it does not exist. Any other error
 * is raised.
 */
const GET = `
local function get(...)
  local value = redis.pcall(...)
  if type(value) ~= 'table' then return value end
  if not string.find(value.err, 'WRONGTYPE', 1, true) then redis.call(...) end
end`;

/** A stored number. Nil if it is more than a year ahead of the clock of Redis: no script here sets such a number. */
const NUMBER = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function number(field)
  local text = get('HGET', KEYS[3], field)
  local n = tonumber(text == false and '0' or text)
  if n and n >= 0 and n <= now + 31536000000000 then return n end
end`;

/** KEYS: token, turn, numbering. Each script is one atomic step. */
const READ = `${GET}
local token = get('GET', KEYS[1])
if not token then return {} end
return {string.sub(token, 1, ${MAX_LENGTH}), redis.call('PTTL', KEYS[1])}`;

/** A turn without an end, or with one that is further away than `lockMs`, was not set by this script. It is taken over. */
const ACQUIRE = `${GET}${NUMBER}
local answer = {'', '', 0}
local token = get('GET', KEYS[1])
if token then
  answer[2] = string.sub(token, 1, ${MAX_LENGTH})
  answer[3] = redis.call('PTTL', KEYS[1])
end
local left = redis.call('PTTL', KEYS[2])
if left >= 0 and left <= tonumber(ARGV[2]) then return answer end
local last, posted = number('fence'), number('posted')
if not last or not posted then
  redis.call('DEL', KEYS[3])
  return redis.error_reply('TAMPERED numbering')
end
local fencingNumber = string.format('%.0f', math.max(last + 1, posted + 1, tonumber(ARGV[4]) + 1, now))
redis.call('HSET', KEYS[3], 'fence', fencingNumber)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
answer[1] = fencingNumber
return answer`;

const RENEW = `${GET}
if get('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])`;

const POST = `${GET}${NUMBER}
local own = get('GET', KEYS[2]) == ARGV[1]
if own then redis.call('DEL', KEYS[2]) end
if tonumber(ARGV[2]) <= (number('posted') or 0) then return 0 end
redis.call('HSET', KEYS[3], 'posted', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1`;

const RELEASE = `${GET}
if get('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return 1`;

/** What a store needs of the connections to Redis. */
interface ScriptRunner {
  /**
   * Runs a script on the keys of a credential.
   * @param late gets the answer that comes when nobody waits for it any more
   * @throws BoardDown
   */
  run(script: string, name: string, args: readonly string[], late?: (answer: unknown) => void): Promise<unknown>;
  /** The same, for as long as it takes. */
  send(script: string, name: string, args: readonly string[]): Promise<unknown>;
  subscribe(channel: string, onNews: (news: string) => void): () => void;
}

/** The store of one credential in Redis. */
class RedisTokenStore implements TokenStore {
  readonly #all: ScriptRunner;
  readonly #name: string;

  constructor(all: ScriptRunner, name: string) {
    this.#all = all;
    this.#name = name;
  }

  async read(): Promise<StoredToken | undefined> {
    const [token, remaining] = listOf(await this.#all.run(READ, this.#name, []));
    return postedOf(token, remaining);
  }

  async acquire(owner: string, lockMs: number, above: number): Promise<Lease> {
    const args = [owner, String(lockMs), String(NUMBERING_MS), String(above)];
    // A turn that was had too late is given back, or the others would wait for nobody.
    const late = (answer: unknown) => {
      if (listOf(answer)[0] !== '') this.#all.send(RELEASE, this.#name, [owner, '', '']).catch(() => undefined);
    };
    const [fencingNumber, token, remaining] = listOf(await this.#all.run(ACQUIRE, this.#name, args, late));
    return {
      fencingNumber: fencingNumber === '' ? undefined : Number(fencingNumber),
      stored: postedOf(token, remaining),
    };
  }

  async renew(owner: string, lockMs: number): Promise<boolean> {
    return (await this.#all.run(RENEW, this.#name, [owner, String(lockMs)])) === 1;
  }

  async save(
    owner: string,
    { generation, encrypted: sealed, remainingMs }: StoredToken,
    news: string,
  ): Promise<boolean> {
    const times = [String(Math.max(1, Math.floor(remainingMs))), String(NUMBERING_MS)];
    const args = [owner, String(generation), sealed, ...times, this.#channel, news];
    return (await this.#all.run(POST, this.#name, args)) === 1;
  }

  async release(owner: string, news: string | undefined): Promise<void> {
    await this.#all.run(RELEASE, this.#name, [owner, this.#channel, news ?? '']);
  }

  subscribe(onNews: (news: string) => void): () => void {
    return this.#all.subscribe(this.#channel, onNews);
  }

  get #channel(): string {
    return `wakala:{${this.#name}}:news`;
  }
}

function listOf(answer: unknown): unknown[] {
  return Array.isArray(answer) ? answer : [];
}

function postedOf(token: unknown, remaining: unknown): StoredToken | undefined {
  const [, generation, sealed] = /^(\d{1,16}) (.+)$/.exec(typeof token === 'string' ? token : '') ?? [];
  if (generation === undefined || sealed === undefined) return undefined;
  return { generation: Number(generation), encrypted: sealed, remainingMs: Number(remaining) };
}

/** A request for a token asks Redis at most three times, and waits for it at most a quarter of a second. */
const COMMAND_TIMEOUT_MS = 80;

/** How long Redis is left alone after it was too slow. */
const REST_MS = 1000;

const LONGEST_RECONNECT_MS = 2000;

/** How long a start waits for Redis, so that the first request finds what the others share. */
const START_MS = 1000;

interface RedisContext {
  readonly url: Secret;
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1), like `Math.random`. */
  readonly random: () => number;
}

/** One connection to Redis for commands and one for news, for every credential of this process. */
export class RedisStores implements ScriptRunner {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #commands: RedisClientType;
  readonly #news: RedisClientType;
  readonly #channels = new Map<string, Channel>();
  #restUntilMs = 0;
  #complained = false;
  #failure: string | undefined;

  private constructor({ clock, log }: RedisContext, commands: RedisClientType) {
    this.#clock = clock;
    this.#log = log;
    this.#commands = commands;
    this.#news = commands.duplicate();
    for (const client of [this.#commands, this.#news]) {
      client.on('error', (error: unknown) => this.#complain(error));
      client.on('ready', () => this.#connected());
    }
  }

  /** It connects whenever Redis is there; until then tokens are asked for alone. */
  async #connect(): Promise<void> {
    const connecting = [this.#commands, this.#news].map((client) =>
      client.connect().catch((error: unknown) => this.#complain(error)),
    );
    let cancel = () => {};
    const late = new Promise<void>((resolve) => (cancel = this.#clock.after(START_MS, resolve)));
    await Promise.race([Promise.all(connecting), late]);
    cancel();
  }

  /** Waits for a connection for a moment only: without Redis, everyone asks alone. */
  static async open(context: RedisContext): Promise<RedisStores> {
    const { createClient } = await import('redis');
    const client = createClient({
      url: context.url.reveal(),
      disableOfflineQueue: true,
      socket: {
        connectTimeout: 2000,
        reconnectStrategy: (retries) =>
          Math.min(50 * 2 ** retries, LONGEST_RECONNECT_MS) * (0.5 + context.random() / 2),
      },
    });
    const stores = new RedisStores(context, client);
    await stores.#connect();
    return stores;
  }

  storeOf(name: string): TokenStore {
    return new RedisTokenStore(this, name);
  }

  async run(
    script: string,
    name: string,
    args: readonly string[],
    late: (answer: unknown) => void = ignore,
  ): Promise<unknown> {
    if (!this.#commands.isReady) throw new StoreUnavailable('not connected');
    if (this.#clock.now() < this.#restUntilMs) throw new StoreUnavailable('too slow a moment ago');
    const answer = this.send(script, name, args);
    let cancel = () => {};
    const tooLate = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(COMMAND_TIMEOUT_MS, () => {
        // Where it was this process that stood still, the answer is there and only not read yet.
        cancel = this.#clock.after(0, () => {
          this.#restUntilMs = this.#clock.now() + REST_MS;
          reject(new StoreUnavailable('too slow'));
        });
      });
    });
    try {
      return await Promise.race([answer, tooLate]);
    } catch (error) {
      answer.then(late, ignore);
      throw error instanceof StoreUnavailable ? error : new StoreUnavailable(reasonOf(error));
    } finally {
      cancel();
    }
  }

  send(script: string, name: string, args: readonly string[]): Promise<unknown> {
    const keys = [`wakala:{${name}}:token`, `wakala:{${name}}:turn`, `wakala:{${name}}:numbering`];
    return this.#commands.sendCommand(['EVAL', script, '3', ...keys, ...args]);
  }

  subscribe(channel: string, onNews: (news: string) => void): () => void {
    const known = this.#channels.get(channel);
    const { listeners, heard } = known ?? newChannel();
    listeners.add(onNews);
    if (known === undefined) {
      this.#channels.set(channel, { listeners, heard });
      this.#listen(channel, heard);
    }
    return () => listeners.delete(onNews);
  }

  status(): StoreStatus {
    return { connected: this.#commands.isReady && this.#news.isReady, failure: this.#failure };
  }

  close(): void {
    this.#commands.destroy();
    this.#news.destroy();
  }

  /** The client subscribes anew by itself after a lost connection, and knows the same function when it sees it. */
  #listen(channel: string, heard: Channel['heard']): void {
    // Where this fails, there was no connection yet: it is tried again when there is one.
    this.#news.subscribe(channel, heard).catch(ignore);
  }

  #connected(): void {
    this.#restUntilMs = 0;
    if (!this.#commands.isReady || !this.#news.isReady) return;
    if (this.#complained) this.#log.info('token_store_connected');
    this.#failure = undefined;
    this.#complained = false;
    for (const [channel, { heard }] of this.#channels) this.#listen(channel, heard);
  }

  #complain(error: unknown): void {
    this.#failure = reasonOf(error);
    if (this.#complained) return;
    this.#complained = true;
    this.#log.warn('token_store_disconnected', { error: this.#failure });
  }
}

interface Channel {
  readonly listeners: Set<(news: string) => void>;
  readonly heard: (text: string) => void;
}

function newChannel(): Channel {
  const listeners: Channel['listeners'] = new Set();
  const heard = (text: string) => {
    for (const listener of [...listeners]) listener(text);
  };
  return { listeners, heard };
}

function ignore(): void {
  return;
}

/**
 * Redis's own word for it (`WRONGPASS`, `OOM`), the network's, or the client's kind of error
 * (`SocketClosedUnexpectedlyError`): the rest of a message may quote an address.
 */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return /^[A-Z]{3,}\b/.exec(error.message)?.[0] ?? error.constructor.name;
}
