import type { News, Posted, TokenBoard, Turn } from './board.ts';

/** How long the numbering of an unused credential is remembered; a new one starts from the time, which is higher. */
const NUMBERING_MS = 30 * 24 * 3_600_000;

/** KEYS: token, turn, numbering. Each script is one atomic step. */
const READ = `
local token = redis.call('GET', KEYS[1])
if not token then return {} end
return {token, redis.call('PTTL', KEYS[1])}`;

const ACQUIRE = `
local answer = {'', '', 0}
local token = redis.call('GET', KEYS[1])
if token then answer[2] = token; answer[3] = redis.call('PTTL', KEYS[1]) end
if redis.call('EXISTS', KEYS[2]) == 1 then return answer end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('HGET', KEYS[3], 'fence') or '0')
local fence = string.format('%.0f', math.max(last + 1, now))
redis.call('HSET', KEYS[3], 'fence', fence)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
answer[1] = fence
return answer`;

const RENEW = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])`;

const POST = `
local own = redis.call('GET', KEYS[2]) == ARGV[1]
local last = tonumber(redis.call('HGET', KEYS[3], 'posted') or '0')
if own then redis.call('DEL', KEYS[2]) end
if tonumber(ARGV[2]) <= last then return 0 end
redis.call('HSET', KEYS[3], 'posted', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1`;

const RELEASE = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
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
  subscribe(channel: string, onNews: (news: News) => void): () => void;
}

/** The board of one credential in Redis. */
export class RedisBoard implements TokenBoard {
  readonly #all: ScriptRunner;
  readonly #name: string;

  constructor(all: ScriptRunner, name: string) {
    this.#all = all;
    this.#name = name;
  }

  async read(): Promise<Posted | undefined> {
    const [token, remaining] = listOf(await this.#all.run(READ, this.#name, []));
    return postedOf(token, remaining);
  }

  async acquire(owner: string, lockMs: number): Promise<Turn> {
    const args = [owner, String(lockMs), String(NUMBERING_MS)];
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

  async post(owner: string, { generation, sealed, remainingMs }: Posted): Promise<boolean> {
    const news: News = { kind: 'posted', generation };
    const times = [String(Math.max(1, Math.floor(remainingMs))), String(NUMBERING_MS)];
    const args = [owner, String(generation), sealed, ...times, this.#channel, JSON.stringify(news)];
    return (await this.#all.run(POST, this.#name, args)) === 1;
  }

  async release(owner: string, news: News | undefined): Promise<void> {
    await this.#all.run(RELEASE, this.#name, [owner, this.#channel, news === undefined ? '' : JSON.stringify(news)]);
  }

  subscribe(onNews: (news: News) => void): () => void {
    return this.#all.subscribe(this.#channel, onNews);
  }

  get #channel(): string {
    return `wakala:{${this.#name}}:news`;
  }
}

function listOf(answer: unknown): unknown[] {
  return Array.isArray(answer) ? answer : [];
}

function postedOf(token: unknown, remaining: unknown): Posted | undefined {
  const [, generation, sealed] = /^(\d+) (.+)$/.exec(typeof token === 'string' ? token : '') ?? [];
  if (generation === undefined || sealed === undefined) return undefined;
  return { generation: Number(generation), sealed, remainingMs: Number(remaining) };
}
