import { fileURLToPath } from 'node:url';
import { ProxyError } from '../../src/errors.ts';
import type { TokenFetcher } from '../../src/tokens/exchange.ts';
import { ExchangeStats } from '../../src/tokens/exchange-stats.ts';
import { makeToken, type Token, type TokenCall, type TokenSource } from '../../src/tokens/token.ts';
import { CachedTokenSource } from '../../src/tokens/token-source.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { Random } from '../support/random.ts';

/**
 * Ten simulated minutes of a hostile client among honest ones, with the real token source. There is no network and no
 * waiting, and each run has the same figures. `node test/tokens/forced-refreshes.ts` prints those of
 * docs/decisions/0002-forced-refreshes.md.
 */
export interface Scenario {
  readonly title: string;
  /** Honest clients, each with one call per `honestEveryMs` on average. Default: 10. */
  readonly honest?: number;
  /** Default: 1000. */
  readonly honestEveryMs?: number;
  /** How long the provider works on an accepted call: from, to. Default: 50 to 500. */
  readonly workMs?: readonly [number, number];
  /**
   * What the hostile client sends every 50 ms: a call (or WebSocket handshake) that is refused with any token, on a new
   * path each time; `covered`: together with one that is accepted with any token.
   */
  readonly hostile?: 'calls' | 'handshakes' | 'covered';
  /** Whether there is a `clients` list. */
  readonly named?: boolean;
  /** Whether a new token invalidates the previous one. */
  readonly kills?: boolean;
  /** Whether the token endpoint responds with 429 and `Retry-After: 600` from the fourth exchange within a minute on. */
  readonly throttles?: boolean;
  /** Whether the provider revokes all tokens once a minute. */
  readonly revokes?: boolean;
  /** Proxies that do not share their token; the hostile client is at the first. Default: 1. */
  readonly replicas?: number;
}

export interface Figures {
  /** Requests to the token endpoint. */
  exchanges: number;
  /** Calls of the honest clients. */
  honest: number;
  /** Honest calls that were refused once and then accepted. */
  replayed: number;
  /** Honest calls that got the refusal. */
  refused: number;
  /** Honest calls that got 503 because there was no token. */
  unavailable: number;
  /** Longest time from the end of a live token to the next accepted call. */
  longestDeadMs: number;
}

interface SimulatedRequest {
  /** Which tokens the provider accepts on it. */
  readonly accepts: 'live' | 'any' | 'none';
  /** How long the provider works on it if it accepts the token. */
  readonly workMs: number;
  /** Whether it may be sent a second time. */
  readonly replay: boolean;
}

type MakeSource = (fetcher: TokenFetcher, context: ConstructorParameters<typeof CachedTokenSource>[1]) => TokenSource;

const RUN_MS = 10 * 60_000;
const NETWORK_MS = 20;
const EXCHANGE_MS = 50;
const HOSTILE_EVERY_MS = 50;
/** M-Pesa responds to some calls this late. */
const SLOW = [2000, 4000] as const;
const SILENT = { debug: noop, info: noop, warn: noop, error: noop };

export async function simulate(
  scenario: Scenario,
  makeSource: MakeSource = (fetcher, context) => new CachedTokenSource(fetcher, context),
): Promise<Figures> {
  const simulation = new Simulation(scenario, makeSource);
  await simulation.run();
  return simulation.figures;
}

class Simulation {
  readonly figures: Figures = {
    exchanges: 0,
    honest: 0,
    replayed: 0,
    refused: 0,
    unavailable: 0,
    longestDeadMs: 0,
  };
  readonly #scenario: Scenario;
  readonly #clock = new ManualClock();
  readonly #startMs = this.#clock.now();
  readonly #random = new Random(14);
  readonly #sources: readonly TokenSource[];
  readonly #live = new Set<string>();
  readonly #exchangesAtMs: number[] = [];
  #issued = 0;
  #deadSinceMs: number | undefined;

  constructor(scenario: Scenario, makeSource: MakeSource) {
    this.#scenario = scenario;
    const context = { provider: 'simulated', clock: this.#clock, random: () => this.#random.next(), log: SILENT };
    this.#sources = Array.from({ length: scenario.replicas ?? 1 }, () =>
      makeSource({ fetch: () => this.#exchange() }, { ...context, stats: new ExchangeStats() }),
    );
  }

  async run(): Promise<void> {
    const { honest = 10, hostile, revokes = false } = this.#scenario;
    for (let number = 0; number < honest; number++) void this.#honestClient(number);
    if (hostile !== undefined) void this.#hostileClient(hostile);
    if (revokes) void this.#revocations();
    await this.#clock.advance(RUN_MS);
    for (const source of this.#sources) source.close();
  }

  async #honestClient(number: number): Promise<void> {
    const { honestEveryMs = 1000 } = this.#scenario;
    const source = this.#sources[number % this.#sources.length]!;
    while (this.#clock.now() < this.#startMs + RUN_MS) {
      await this.#pass(this.#random.next() * 2 * honestEveryMs);
      void this.#honestCall(source, `shop-${number}`, `/pay/${this.#random.between(0, 3)}`);
    }
  }

  async #honestCall(source: TokenSource, client: string, path: string): Promise<void> {
    const [from, to] = this.#scenario.workMs ?? [50, 500];
    const workMs = this.#random.between(from, to);
    const request = { accepts: 'live', workMs, replay: true } as const;
    const result = await this.#request(source, this.#callOf(client, path), request);
    this.figures.honest += 1;
    if (result !== 'accepted') this.figures[result] += 1;
  }

  async #hostileClient(kind: 'calls' | 'handshakes' | 'covered'): Promise<void> {
    const [source] = this.#sources;
    const replay = kind !== 'handshakes';
    for (let number = 0; this.#clock.now() < this.#startMs + RUN_MS; number++) {
      await this.#pass(HOSTILE_EVERY_MS);
      const call = this.#callOf('mallory', `/forbidden/${number}`);
      void this.#request(source!, call, { accepts: 'none', workMs: 0, replay });
      if (kind !== 'covered') continue;
      void this.#request(source!, this.#callOf('mallory', '/public'), { accepts: 'any', workMs: 0, replay });
    }
  }

  async #revocations(): Promise<void> {
    for (let minute = 1; minute < RUN_MS / 60_000; minute++) {
      await this.#pass(60_000 + this.#random.between(-5000, 5000));
      this.#live.clear();
      this.#deadSinceMs ??= this.#clock.now();
    }
  }

  #callOf(client: string, path: string): TokenCall {
    const { named = false } = this.#scenario;
    return { client: named ? client : undefined, method: 'POST', path, sentAtMs: 0 };
  }

  /** Does what src/proxy/request.ts does. */
  async #request(
    source: TokenSource,
    call: TokenCall,
    request: SimulatedRequest,
  ): Promise<'accepted' | 'replayed' | 'refused' | 'unavailable'> {
    let token: Token;
    try {
      token = source.current() ?? (await source.token());
    } catch {
      return 'unavailable';
    }
    if (await this.#attempt(source, token, call, request)) return 'accepted';
    const next = source.reject(token, call);
    if (!request.replay) return 'refused';
    const fresh = await next;
    if (fresh === undefined) return 'refused';
    if (await this.#attempt(source, fresh, call, request)) return 'replayed';
    source.refusedAgain(fresh, call);
    return 'refused';
  }

  async #attempt(
    source: TokenSource,
    token: Token,
    call: TokenCall,
    { accepts, workMs }: SimulatedRequest,
  ): Promise<boolean> {
    call.sentAtMs = this.#clock.now();
    await this.#pass(accepts === 'live' ? this.#random.between(10, 120) : NETWORK_MS);
    const isLive = this.#live.has(token.accessToken.reveal());
    const accepted = accepts === 'any' || (accepts === 'live' && isLive);
    if (accepted && isLive) this.#onAccepted();
    await this.#pass(NETWORK_MS + (accepted ? workMs : 0));
    if (accepted) source.accepted(token, call);
    return accepted;
  }

  #onAccepted(): void {
    if (this.#deadSinceMs === undefined) return;
    const deadMs = Math.round(this.#clock.now() - this.#deadSinceMs);
    this.figures.longestDeadMs = Math.max(this.figures.longestDeadMs, deadMs);
    this.#deadSinceMs = undefined;
  }

  /** The token endpoint. */
  async #exchange(): Promise<Token> {
    const { kills = false, throttles = false } = this.#scenario;
    this.figures.exchanges += 1;
    await this.#pass(NETWORK_MS);
    const nowMs = this.#clock.now();
    this.#exchangesAtMs.push(nowMs);
    if (throttles && this.#exchangesAtMs.filter((atMs) => nowMs - atMs < 60_000).length > 3) {
      await this.#pass(NETWORK_MS);
      throw new ProxyError('token_unavailable', 'throttled', { retryAfterS: 600 });
    }
    await this.#pass(EXCHANGE_MS);
    this.#issued += 1;
    const name = `token-${this.#issued}`;
    if (kills) this.#live.clear();
    this.#live.add(name);
    await this.#pass(NETWORK_MS);
    return makeToken(name, undefined, { lifetimeMs: 3_600_000, source: 'expires_in' }, this.#clock.now());
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }
}

function noop(): void {}

/** `kills` in a title: a new token invalidates the old one. There are ten honest clients unless the title says otherwise. */
export const SCENARIOS: readonly Scenario[] = [
  { title: 'no attack; tokens revoked', revokes: true },
  { title: 'attack', hostile: 'calls' },
  { title: 'attack; kills', hostile: 'calls', kills: true },
  { title: 'attack, named clients; kills', hostile: 'calls', kills: true, named: true },
  { title: 'attack by handshakes; kills', hostile: 'handshakes', kills: true },
  { title: 'attack; kills, throttles', hostile: 'calls', kills: true, throttles: true },
  { title: 'attack; kills, tokens revoked', hostile: 'calls', kills: true, revokes: true },
  {
    title: 'attack, with calls that any token passes; kills, tokens revoked',
    hostile: 'covered',
    kills: true,
    revokes: true,
  },
  { title: 'attack, slow honest calls; kills', hostile: 'calls', workMs: SLOW, kills: true },
  {
    title: 'attack, slow honest calls; kills, tokens revoked',
    hostile: 'calls',
    workMs: SLOW,
    kills: true,
    revokes: true,
  },
  { title: 'attack, one honest call in 10 s; kills', hostile: 'calls', honest: 1, honestEveryMs: 10_000, kills: true },
  {
    title: 'attack, one honest call in 10 s, named clients; kills',
    hostile: 'calls',
    honest: 1,
    honestEveryMs: 10_000,
    named: true,
    kills: true,
  },
  { title: 'attack, no honest calls', hostile: 'calls', honest: 0 },
  { title: 'attack, no honest calls, named clients', hostile: 'calls', honest: 0, named: true },
  { title: 'two proxies that do not share; kills', replicas: 2, kills: true },
  { title: 'two proxies that do not share, attack at one; kills', replicas: 2, hostile: 'calls', kills: true },
];

/** The figures in the form of the table: exchanges, replayed, refused, unavailable, longest outage in seconds. */
export function cellsOf({ exchanges, replayed, refused, unavailable, longestDeadMs }: Figures): string[] {
  const counts = [exchanges, replayed, refused, unavailable].map((count) => count.toLocaleString('en-US'));
  return [...counts, longestDeadMs === 0 ? '-' : (longestDeadMs / 1000).toFixed(1)];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const scenario of SCENARIOS) {
    const cells = cellsOf(await simulate(scenario));
    console.log(scenario.title.padEnd(65), ...cells.map((cell) => cell.padStart(7)));
  }
}
