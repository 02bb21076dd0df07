import { expect, it } from 'vitest';
import { newSeed } from '../../support/random.ts';
import { compareResponses } from './differential.ts';
import { compareOverSockets } from './differential-sockets.ts';

it('50,000 generated responses are read as Node reads them, or more strictly', async () => {
  const { accepted, cutOff, refusedByBoth, stricter, faults } = await compareResponses(newSeed(), 50_000);
  expect(faults).toEqual([]);
  // All kinds are among them.
  expect(Math.min(accepted, cutOff, refusedByBoth)).toBeGreaterThan(5000);
  expect([...stricter.keys()].every((rule) => rule >= 1 && rule <= 7)).toBe(true);
}, 180_000);

it('1,000 generated responses mean the same over real connections', async () => {
  expect(await compareOverSockets(newSeed(), 1000)).toEqual([]);
}, 60_000);
