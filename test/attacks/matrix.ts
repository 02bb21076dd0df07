import { inParallel, withScope } from '../soak/scope.ts';
import { type Attack, AttackRun } from './attack.ts';
import { ATTACKS } from './attacks.ts';
import type { Kind, Product } from './target.ts';

const PARALLEL_TARGETS = 3;

/** Every way to run the product. */
export const KINDS: readonly Kind[] = (['plain', 'TLS'] as const).flatMap((listener) => [
  { form: 'binary', listener, workers: 1 },
  { form: 'binary', listener, workers: 2 },
  { form: 'library', listener, workers: 1 },
]);

/** One target for each form, listener and number of workers. `npm run attacks` attacks every kind. */
export const TESTED_KINDS: readonly Kind[] = [
  { form: 'binary', listener: 'plain', workers: 1 },
  { form: 'binary', listener: 'TLS', workers: 2 },
  { form: 'library', listener: 'TLS', workers: 1 },
];

export function targetName({ form, listener, workers }: Kind): string {
  const processes = workers === 1 ? '' : `, ${workers} workers`;
  return `the ${form}, ${listener} listener${processes}`;
}

/** The attacks that apply to a kind of target. */
export function attacksOn(kind: Kind, attacks: readonly Attack[] = ATTACKS): Attack[] {
  return attacks.filter(({ appliesTo: on }) => on === undefined || on(kind));
}

export interface AttackResult {
  readonly kind: Kind;
  readonly attack: Attack;
  /** Why the promise does not hold; undefined if it does. */
  readonly failure: Error | undefined;
}

/** Runs every attack on every kind of target, three targets at a time, and reports each result. */
export async function runMatrix(
  product: Product,
  report: (result: AttackResult) => void,
  { kinds = KINDS, attacks = ATTACKS }: { kinds?: readonly Kind[]; attacks?: readonly Attack[] } = {},
): Promise<void> {
  await inParallel(kinds.length, PARALLEL_TARGETS, async (number) => {
    const kind = kinds[number];
    if (kind !== undefined) await runOn(product, kind, attacksOn(kind, attacks), report);
  });
}

async function runOn(
  product: Product,
  kind: Kind,
  attacks: readonly Attack[],
  report: (result: AttackResult) => void,
): Promise<void> {
  await withScope(async (scope) => {
    const run = await AttackRun.start(scope, product, kind, attacks);
    for (const attack of attacks) {
      const failure = await run.run(attack).then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
      );
      report({ kind, attack, failure });
    }
  });
}
