import { ATTACKS } from './attacks.ts';
import { type Attack, AttackRun } from './attack.ts';
import { inParallel, withScope } from '../soak/scope.ts';
import type { Kind, Product } from './target.ts';

const AT_A_TIME = 3;

/** Every way in which the product is run. */
export const KINDS: readonly Kind[] = (['plain', 'TLS'] as const).flatMap((listener) => [
  { form: 'binary', listener, workers: 1 },
  { form: 'binary', listener, workers: 2 },
  { form: 'library', listener, workers: 1 },
]);

export function targetName({ form, listener, workers }: Kind): string {
  const processes = workers === 1 ? '' : `, ${workers} workers`;
  return `the ${form}, ${listener} listener${processes}`;
}

/** The attacks that are meant for a kind of target. */
export function attacksOn(kind: Kind, attacks: readonly Attack[] = ATTACKS): Attack[] {
  return attacks.filter(({ appliesTo: on }) => on === undefined || on(kind));
}

export interface Outcome {
  readonly kind: Kind;
  readonly attack: Attack;
  /** Which promise broke; undefined if it held. */
  readonly broken: Error | undefined;
}

/** Runs every attack on every kind of target, three targets at a time, and tells what came of each. */
export async function runMatrix(
  product: Product,
  told: (outcome: Outcome) => void,
  { kinds = KINDS, attacks = ATTACKS }: { kinds?: readonly Kind[]; attacks?: readonly Attack[] } = {},
): Promise<void> {
  await inParallel(kinds.length, AT_A_TIME, async (number) => {
    const kind = kinds[number];
    if (kind !== undefined) await runOn(product, kind, attacksOn(kind, attacks), told);
  });
}

async function runOn(
  product: Product,
  kind: Kind,
  attacks: readonly Attack[],
  told: (outcome: Outcome) => void,
): Promise<void> {
  await withScope(async (scope) => {
    const run = await AttackRun.start(scope, product, kind, attacks);
    for (const attack of attacks) {
      const broken = await run.run(attack).then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      );
      told({ kind, attack, broken });
    }
  });
}
