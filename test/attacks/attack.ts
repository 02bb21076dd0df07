import type { Scope } from '../soak/scope.ts';
import { PayingClients } from './paying-clients.ts';
import { Provider, type Route } from './provider.ts';
import { type Kind, type Product, type Settings, Target } from './target.ts';

/** An attack on a running target by a client that can connect to it. */
export interface Attack {
  /** Row of the table in SECURITY.md that lists the findings of the penetration test. */
  readonly row: number;
  /** What must hold under the attack. Used as the title of a test. */
  readonly promise: string;
  /** Whether the attack applies to a kind of target. Default: all kinds. */
  readonly appliesTo?: (kind: Kind) => boolean;
  /** The attack kills processes of the target, so no paying clients run beside it. */
  readonly killsWorkers?: boolean;
  /** Sets up the provider. */
  readonly prepare: (provider: Provider) => PreparedAttack;
}

export interface PreparedAttack {
  readonly routes?: Readonly<Record<string, Route>>;
  /** @throws Error if the promise does not hold */
  readonly run: (target: Target) => Promise<void>;
}

/** Settings of all targets. */
const SETTINGS: Settings = { inspect_bodies: true };
/** If a target uses this much more memory than its baseline, it is restarted before the next attack. */
const RESTART_AFTER_MIB = 40;

/** A target and its attacks, which run one after the other. */
export class AttackRun {
  readonly #target: Target;
  readonly #payers: PayingClients;
  readonly #prepared: ReadonlyMap<Attack, PreparedAttack>;

  private constructor(target: Target, payers: PayingClients, prepared: ReadonlyMap<Attack, PreparedAttack>) {
    this.#target = target;
    this.#payers = payers;
    this.#prepared = prepared;
  }

  static async start(scope: Scope, product: Product, kind: Kind, attacks: readonly Attack[]): Promise<AttackRun> {
    const provider = await Provider.start(scope);
    const payers = new PayingClients(provider);
    const prepared = new Map(attacks.map((attack) => [attack, attack.prepare(provider)]));
    const routes = Object.assign({}, payers.routes, ...[...prepared.values()].map((one) => one.routes)) as Route;
    const target = await Target.start(scope, product, kind, { ...SETTINGS, routes });
    const run = new AttackRun(target, payers, prepared);
    await run.#warmUp();
    return run;
  }

  /** Runs an attack beside paying clients. If it throws an error, the target was restarted. @throws Error if the promise does not hold */
  async run(attack: Attack): Promise<void> {
    const target = this.#target;
    if (target.memoryMiB().now > target.baselineMiB + RESTART_AFTER_MIB) await this.#restart();
    const pids = target.pids().join();
    const processFailure = () => {
      if (target.hasEnded) return `the process died (${target.describeExit()})`;
      return attack.killsWorkers !== true && target.pids().join() !== pids ? 'a worker died' : undefined;
    };
    try {
      await this.#attack(attack);
      const failure = processFailure();
      if (failure !== undefined) throw new Error(failure);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const details = [...new Set([processFailure() ?? message, message])].join('\n');
      await this.#restart();
      throw new Error(details, { cause: error });
    }
  }

  async #attack(attack: Attack): Promise<void> {
    const prepared = this.#prepared.get(attack);
    if (prepared === undefined) throw new Error('the attack was not prepared');
    if (attack.killsWorkers !== true) this.#payers.start(this.#target);
    await prepared.run(this.#target);
    await this.#payers.stop();
    await this.#payers.payOnce(this.#target);
  }

  /** Restarts the target, which ends all of its work. */
  async #restart(): Promise<void> {
    await this.#target.stop();
    await this.#payers.stop().catch(() => undefined);
    await this.#target.start();
    await this.#warmUp();
  }

  /** Makes the first requests, so that memory for code that they load is part of the baseline. */
  async #warmUp(): Promise<void> {
    for (let i = 0; i < 20; i++) await this.#payers.payOnce(this.#target);
    this.#target.recordBaseline();
  }
}
