import { describe, expect, it } from 'vitest';
import { requestIdOf } from '../../src/proxy/gateway.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('requestIdOf', () => {
  it.each(['a', 'a'.repeat(128), '00-0af7651916cd43dd-01', 'A.b_c:d@e/f+g=h-i'])('keeps %s', (given) => {
    expect(requestIdOf(['Host', 'a', 'X-Request-Id', given])).toBe(given);
  });

  it.each(['', 'a'.repeat(129), 'a b', 'a\tb', 'a"b', 'a,b', '{"a":1}', 'a\u00e9', '${jndi}', '<a>'])(
    'replaces %j by a new ID',
    (given) => {
      expect(requestIdOf(['x-request-id', given])).toMatch(UUID);
    },
  );

  it('creates another ID for each request without one', () => {
    const ids = [requestIdOf([]), requestIdOf(['host', 'x-request-id'])];
    expect(ids).toEqual([expect.stringMatching(UUID), expect.stringMatching(UUID)]);
    expect(ids[0]).not.toBe(ids[1]);
  });
});
