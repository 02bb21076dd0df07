import type { RedisClientType } from 'redis';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import type { Secret } from '../../secret.ts';
import { StoreUnavailable, type TokenStore } from './board.ts';
import type { StoreStatus } from './open.ts';
import { RedisTokenStore, type ScriptRunner } from './redis-board.ts';

/** A request for a token asks Redis at most three times, and waits for it at most a quarter of a second. */
const COMMAND_TIMEOUT_MS = 80;

/** How long Redis is left alone after it was too slow. */
const REST_MS = 1000;

const LONGEST_RECONNECT_MS = 2000;

/** How long a start waits for Redis, so that the first request finds what the others share. */
const START_MS = 1000;

export interface RedisContext {
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
    const boards = new RedisStores(context, client);
    await boards.#connect();
    return boards;
  }

  board(name: string): TokenStore {
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
    if (this.#complained) this.#log.info({}, 'token store is connected');
    this.#failure = undefined;
    this.#complained = false;
    for (const [channel, { heard }] of this.#channels) this.#listen(channel, heard);
  }

  #complain(error: unknown): void {
    this.#failure = reasonOf(error);
    if (this.#complained) return;
    this.#complained = true;
    this.#log.warn({ error: this.#failure }, 'token store is not connected; tokens are asked for alone until it is');
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
