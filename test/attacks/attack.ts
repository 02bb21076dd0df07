import type { Scope } from '../soak/scope.ts';
import { PayingClients } from './paying-clients.ts';
import { Provider, type Route } from './provider.ts';
import { type Kind, type Product, type Settings, Target } from './target.ts';

/** An attack on a running target, by whoever can connect to it. */
export interface Attack {
  /** Row of the table of what a penetration test broke. */
  readonly row: number;
  /** What must hold although it is attacked: a fact, used as the title of a test. */
  readonly promise: string;
  /** Whether it is meant for a kind of target; all unless given. */
  readonly appliesTo?: (kind: Kind) => boolean;
  /** It ends processes of the target itself: no honest clients run beside it. */
  readonly killsWorkers?: boolean;
  /** Sets the provider up. */
  readonly prepare: (provider: Provider) => PreparedAttack;
}

export interface PreparedAttack {
  readonly routes?: Readonly<Record<string, Route>>;
  /** @throws Error that says which promise broke */
  readonly run: (target: Target) => Promise<void>;
}

/** What all targets have, beside the routes that the attacks need. */
const SETTINGS: Settings = { inspect_bodies: true };
/** Memory that attacks may leave behind before the target is started anew for the next. */
const LEFT_MIB = 40;

/** A target and the attacks on it, run one after the other. */
export class AttackRun {
  readonly #target: Target;
  readonly #honest: PayingClients;
  readonly #prepared: ReadonlyMap<Attack, PreparedAttack>;

  private constructor(target: Target, honest: PayingClients, prepared: ReadonlyMap<Attack, PreparedAttack>) {
    this.#target = target;
    this.#honest = honest;
    this.#prepared = prepared;
  }

  static async start(scope: Scope, product: Product, kind: Kind, attacks: readonly Attack[]): Promise<AttackRun> {
    const provider = await Provider.start(scope);
    const honest = new PayingClients(provider);
    const prepared = new Map(attacks.map((attack) => [attack, attack.prepare(provider)]));
    const routes = Object.assign({}, honest.routes, ...[...prepared.values()].map((one) => one.routes)) as Route;
    const target = await Target.start(scope, product, kind, { ...SETTINGS, routes });
    const run = new AttackRun(target, honest, prepared);
    await run.#warmUp();
    return run;
  }

  /** Honest clients run beside it. @throws Error that says which promise broke; the target is started anew then */
  async run(attack: Attack): Promise<void> {
    const target = this.#target;
    if (target.memoryMiB().now > target.baselineMiB + LEFT_MIB) await this.#restart();
    const pids = target.pids().join();
    const deaths = () => {
      if (target.hasEnded) return `the process died (${target.describeExit()})`;
      return attack.killsWorkers !== true && target.pids().join() !== pids ? 'a worker died' : undefined;
    };
    try {
      await this.#attackedBy(attack);
      const death = deaths();
      if (death !== undefined) throw new Error(death);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const broken = [...new Set([deaths() ?? message, message])].join('\n');
      await this.#restart();
      throw new Error(broken, { cause: error });
    }
  }

  async #attackedBy(attack: Attack): Promise<void> {
    const prepared = this.#prepared.get(attack);
    if (prepared === undefined) throw new Error('it was not prepared');
    if (attack.killsWorkers !== true) this.#honest.start(this.#target);
    await prepared.run(this.#target);
    await this.#honest.stop();
    await this.#honest.payOnce(this.#target);
  }

  /** Whatever the target is still busy with ends. */
  async #restart(): Promise<void> {
    await this.#target.stop();
    await this.#honest.stop().catch(() => undefined);
    await this.#target.start();
    await this.#warmUp();
  }

  /** What is loaded and compiled at the first requests is no harm that an attack does. */
  async #warmUp(): Promise<void> {
    for (let i = 0; i < 20; i++) await this.#honest.payOnce(this.#target);
    this.#target.recordBaseline();
  }
}
