import { describe, expect, it } from 'vitest';
import { blocksOf, placeOf } from '../documents.ts';
import { blocksFor } from './runners.ts';

/** How wide a page of a document is on a laptop. */
const WIDTH = 130;

describe('every drawing', () => {
  it.each(blocksFor('drawing').map((block) => [placeOf(block), block] as const))(
    '%s is one',
    (_, { file, line, text }) => {
      const above = blocksOf(file).findLast((other) => other.line < line);
      // What a program prints stands below its command without a mark, and is compared.
      expect(
        above?.heading !== blocksOf(file).find((one) => one.line === line)?.heading || above?.language !== 'sh',
      ).toBe(true);
      expect(text).not.toContain('\t');
      expect(Math.max(...text.split('\n').map((row) => row.length))).toBeLessThanOrEqual(WIDTH);
    },
  );
});
