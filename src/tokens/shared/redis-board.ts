import type { StoredToken, TokenStore, Lease } from './board.ts';
import { MAX_ENCRYPTED_LENGTH } from './seal.ts';

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
local fence = string.format('%.0f', math.max(last + 1, posted + 1, tonumber(ARGV[4]) + 1, now))
redis.call('HSET', KEYS[3], 'fence', fence)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
answer[1] = fence
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

/** What a board needs of the connections to Redis. */
export interface ScriptRunner {
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

/** The board of one credential in Redis. */
export class RedisTokenStore implements TokenStore {
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
    const [fence, token, remaining] = listOf(await this.#all.run(ACQUIRE, this.#name, args, late));
    return { fence: fence === '' ? undefined : Number(fence), posted: postedOf(token, remaining) };
  }

  async renew(owner: string, lockMs: number): Promise<boolean> {
    return (await this.#all.run(RENEW, this.#name, [owner, String(lockMs)])) === 1;
  }

  async post(owner: string, { generation, sealed, remainingMs }: StoredToken, news: string): Promise<boolean> {
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
  return { generation: Number(generation), sealed, remainingMs: Number(remaining) };
}
