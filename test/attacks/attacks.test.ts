import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { BUILD_TIMEOUT_MS, ROOT, script } from '../repository/packed.ts';
import type { Attack } from './attack.ts';
import { attacksOn, KINDS, targetName, runMatrix } from './matrix.ts';
import type { Kind } from './target.ts';

const product = { node: process.execPath, cli: path.join(ROOT, 'dist/cli.js'), folder: import.meta.dirname };
const ATTACKS_MS = 600_000;

/** Settled with the promise that broke, or undefined, once an attack is over. */
const outcomes = new Map(
  KINDS.map((kind) => [
    kind,
    new Map(attacksOn(kind).map((attack) => [attack, Promise.withResolvers<Error | undefined>()])),
  ]),
);

function outcomeOf(kind: Kind, attack: Attack): PromiseWithResolvers<Error | undefined> {
  return outcomes.get(kind)?.get(attack) ?? Promise.withResolvers();
}

describe.skipIf(process.platform !== 'linux')('under attack', () => {
  beforeAll(() => {
    script('build.mjs');
    // Targets are attacked side by side; the tests below wait for what came of it.
    runMatrix(product, ({ kind, attack, broken }) => outcomeOf(kind, attack).resolve(broken)).catch(
      (error: unknown) => {
        for (const attacks of outcomes.values()) for (const { resolve } of attacks.values()) resolve(error as Error);
      },
    );
  }, BUILD_TIMEOUT_MS);

  describe.each(KINDS.map((kind) => [targetName(kind), kind] as const))('%s', (_, kind) => {
    for (const attack of attacksOn(kind)) {
      it(attack.promise, async () => expect(await outcomeOf(kind, attack).promise).toBeUndefined(), ATTACKS_MS);
    }
  });
});
