import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/errors.ts';
import { type Block, blocksOf, placeOf } from '../documents.ts';
import { examined } from './examined.ts';
import { blocksFor, sourceOf } from './runners.ts';

describe('every yaml block', () => {
  const blocks = blocksFor('configuration').map((block) => [placeOf(block), block] as const);
  const good = blocks.filter(([, { language, mark }]) => language === 'yaml' && mark === undefined);
  const shown = blocks.filter(([, { language }]) => language === 'text');

  it.each(good)('%s passes the check', (_, block) => {
    // The certificates of the examples are not there.
    const problems = examined(block.text).problems.filter(({ message }) => !message.includes('it must be PEM'));
    expect(problems.map(formatProblem)).toEqual([]);
  });

  it.each(shown)('%s shows the problems of the block above it', (_, block) => {
    const source = sourceOf(
      block,
      blocksOf(block.file).map((one) => (one.line === block.line ? block : one)),
    );
    const problems = examined(source?.text ?? '').problems.map(formatProblem);
    expect(problems).toEqual(block.text.trim().split('\n'));
  });

  it('that is bad shows its problems', () => {
    const bad = blocks.filter(([, { mark }]) => mark === 'bad');
    expect(bad.map(([, block]) => nextOf(block)?.language)).toEqual(bad.map(() => 'text'));
  });
});

function nextOf({ file, line }: Block): Block | undefined {
  return blocksOf(file).find((other) => other.line > line);
}
