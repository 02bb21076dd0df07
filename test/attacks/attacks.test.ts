import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { BUILD_TIMEOUT_MS, ROOT, script } from '../repository/packed.ts';
import type { Attack } from './attack.ts';
import { attacksOn, runMatrix, targetName, TESTED_KINDS } from './matrix.ts';
import type { Kind } from './target.ts';

const product = { node: process.execPath, cli: path.join(ROOT, 'dist/cli.js'), folder: import.meta.dirname };
const ATTACK_TIMEOUT_MS = 600_000;

/** Each resolves when its attack has ended, with the failure or undefined. */
const results = new Map(
  TESTED_KINDS.map((kind) => [
    kind,
    new Map(attacksOn(kind).map((attack) => [attack, Promise.withResolvers<Error | undefined>()])),
  ]),
);

function resultOf(kind: Kind, attack: Attack): PromiseWithResolvers<Error | undefined> {
  return results.get(kind)?.get(attack) ?? Promise.withResolvers();
}

describe.skipIf(process.platform !== 'linux')('under attack', () => {
  beforeAll(() => {
    script('build.mjs');
    // Targets are attacked in parallel. The tests below wait for the results.
    runMatrix(product, ({ kind, attack, failure }) => resultOf(kind, attack).resolve(failure), {
      kinds: TESTED_KINDS,
    }).catch((error: unknown) => {
      for (const attacks of results.values()) for (const { resolve } of attacks.values()) resolve(error as Error);
    });
  }, BUILD_TIMEOUT_MS);

  describe.each(TESTED_KINDS.map((kind) => [targetName(kind), kind] as const))('%s', (_, kind) => {
    for (const attack of attacksOn(kind)) {
      it(attack.promise, async () => expect(await resultOf(kind, attack).promise).toBeUndefined(), ATTACK_TIMEOUT_MS);
    }
  });
});
