import { describe, expect, it } from 'vitest';
import { decideReplay } from '../../src/proxy/replay.ts';

describe('decideReplay', () => {
  it.each([
    // attempt, isBodyAvailable, isMethodAllowed, isClientGone
    [1, true, true, false, 'replay'],
    [1, true, true, true, 'relay'],
    [1, true, false, false, 'relay'],
    [1, true, false, true, 'relay'],
    [1, false, true, false, 'relay'],
    [1, false, true, true, 'relay'],
    [1, false, false, false, 'relay'],
    [1, false, false, true, 'relay'],
    [2, true, true, false, 'relay'],
    [2, true, true, true, 'relay'],
    [2, true, false, false, 'relay'],
    [2, true, false, true, 'relay'],
    [2, false, true, false, 'relay'],
    [2, false, true, true, 'relay'],
    [2, false, false, false, 'relay'],
    [2, false, false, true, 'relay'],
  ] as const)(
    'attempt %i, body here: %s, method allowed: %s, client gone: %s: %s',
    (attempt, isBodyAvailable, isMethodAllowed, isClientGone, decision) => {
      expect(decideReplay({ attempt, isBodyAvailable, isMethodAllowed, isClientGone })).toBe(decision);
    },
  );
});
