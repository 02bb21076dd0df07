import { describe, expect, it } from 'vitest';
import { superlinear } from './cpu.ts';
import { READERS } from './readers.ts';
import { SHAPES } from './shapes.ts';

describe.each(Object.entries(READERS))('the CPU time of %s', (_, read) => {
  it('grows linearly for every shape of input', () => {
    const slow = Object.entries(SHAPES).flatMap(([name, make]) => {
      const found = superlinear(read, make);
      return found === undefined ? [] : [`${name}: ${found}`];
    });
    expect(slow).toEqual([]);
  });
});
