import type { Clock } from '../../clock.ts';
import { ProxyError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Secret } from '../../secret.ts';
import type { TokenAsker } from '../exchange.ts';
import { isNewer, type Token } from '../token.ts';
import { BoardDown, type News, type Posted, type TokenBoard } from './board.ts';
import { type Seal, SealError } from './seal.ts';

/** How long a turn lasts unless it is renewed: how long the others wait for one who died in it. */
export const TURN_MS = 3000;

/** News may get lost: those who wait look for themselves as well. */
const LOOK_MS = 250;

/** A token that lives no longer than this is not worth taking over. */
const MIN_REMAINING_MS = 1000;

export interface SharedContext {
  readonly board: TokenBoard;
  readonly seal: Seal;
  /** Name of the credential on the board: a hash. */
  readonly name: string;
  /** Whose token it is, for the log. */
  readonly provider: string;
  /** This replica; no other has the same. */
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Asks for a token that all replicas share: takes over one that another replica posted, or waits for the replica whose
 * turn it is to ask, or takes the turn. Where the board is down, it asks alone.
 */
export class SharedAsker implements TokenAsker {
  readonly #own: TokenAsker;
  readonly #context: SharedContext;
  /** Whether the last attempt found the board down: said once, not for every token. */
  #alone = false;

  constructor(own: TokenAsker, context: SharedContext) {
    this.#own = own;
    this.#context = context;
  }

  async ask(refreshToken: Secret | undefined, after?: Token): Promise<Token> {
    try {
      const token = await this.#shared(refreshToken, after);
      if (this.#alone) this.#context.log.info({ provider: this.#context.provider }, 'token store is back');
      this.#alone = false;
      return token;
    } catch (error) {
      if (!(error instanceof BoardDown)) throw error;
      if (!this.#alone) {
        const fields = { provider: this.#context.provider, error: error.message };
        this.#context.log.warn(fields, 'token store cannot be asked; asking the provider alone');
      }
      this.#alone = true;
      return await this.#own.ask(refreshToken, after);
    }
  }

  /** Calls back with tokens that other replicas posted. @returns a function that ends it */
  watch(adopt: (token: Token) => void): () => void {
    const { board } = this.#context;
    return board.subscribe((news) => {
      if (news.kind !== 'posted') return;
      board.read().then(
        (posted) => {
          const token = this.#opened(posted);
          if (token !== undefined) adopt(token);
        },
        () => undefined,
      );
    });
  }

  async #shared(refreshToken: Secret | undefined, after: Token | undefined): Promise<Token> {
    const { board, owner } = this.#context;
    let found = this.#opened(await board.read());
    for (;;) {
      if (found !== undefined && isNewer(found, after)) return found;
      const heard = new Heard(board, this.#context.clock);
      try {
        const { fence, posted } = await board.acquire(owner, TURN_MS);
        found = this.#opened(posted);
        if (fence !== undefined) {
          if (found === undefined || !isNewer(found, after)) {
            return await this.#inTurn(fence, found?.refreshToken ?? refreshToken, found ?? after);
          }
          await board.release(owner, undefined).catch(ignore);
          return found;
        }
        await heard.something(LOOK_MS);
        found = this.#opened(await board.read());
      } finally {
        heard.end();
      }
    }
  }

  /** Asks, while the others wait. */
  async #inTurn(fence: number, refreshToken: Secret | undefined, after: Token | undefined): Promise<Token> {
    const { board, owner, seal, name, clock } = this.#context;
    const stopRenewing = this.#renewing();
    let token: Token;
    try {
      token = { ...(await this.#own.ask(refreshToken, after)), generation: fence };
    } catch (error) {
      await board.release(owner, failureOf(error)).catch(ignore);
      throw error;
    } finally {
      stopRenewing();
    }
    const remainingMs = token.expiresAtMs - clock.now();
    const posted: Posted = { generation: fence, sealed: seal.seal(token, name, fence), remainingMs };
    try {
      if (await board.post(owner, posted)) return token;
      // A turn that outlasted its time: the token of the one after it is the one that all others have.
      const newer = this.#opened(await board.read());
      return newer !== undefined && newer.generation > fence ? newer : token;
    } catch (error) {
      if (!(error instanceof BoardDown)) throw error;
      return token;
    }
  }

  #renewing(): () => void {
    const { board, owner, clock } = this.#context;
    let cancel = () => {};
    let over = false;
    const next = () => {
      if (over) return;
      cancel = clock.after(TURN_MS / 3, () => {
        board.renew(owner, TURN_MS).then((kept) => {
          if (kept) next();
        }, next);
      });
    };
    next();
    return () => {
      over = true;
      cancel();
    };
  }

  #opened(posted: Posted | undefined): Token | undefined {
    if (posted === undefined || posted.remainingMs < MIN_REMAINING_MS) return undefined;
    const { seal, name, clock, log, provider } = this.#context;
    try {
      return seal.open(posted.sealed, name, posted.generation, posted.remainingMs, clock.now());
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      log.error({ provider, error: error.message }, 'token in the token store cannot be read; it is passed over');
      return undefined;
    }
  }
}

/** News since its making, so that none is missed between a look at the board and the wait. */
class Heard {
  readonly #clock: Clock;
  readonly #end: () => void;
  #failure: ProxyError | undefined;
  #news = false;
  #wake: () => void = () => {};

  constructor(board: TokenBoard, clock: Clock) {
    this.#clock = clock;
    this.#end = board.subscribe((news) => {
      this.#news = true;
      if (news.kind === 'failed') this.#failure = errorOf(news);
      this.#wake();
    });
  }

  /** Waits for news, `ms` at most. @throws ProxyError if the news is that the exchange failed */
  async something(ms: number): Promise<void> {
    if (!this.#news) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(ms, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  end(): void {
    this.#end();
  }
}

function failureOf(error: unknown): News | undefined {
  if (!(error instanceof ProxyError)) return undefined;
  const { code, message, retryAfterS } = error;
  return { kind: 'failed', code, message, ...(retryAfterS === undefined ? {} : { retryAfterS }) };
}

function errorOf({ code, message, retryAfterS }: News & { kind: 'failed' }): ProxyError {
  const options = retryAfterS === undefined ? {} : { retryAfterS };
  return new ProxyError(code === 'token_denied' ? code : 'token_unavailable', message, options);
}

function ignore(): undefined {
  return undefined;
}
