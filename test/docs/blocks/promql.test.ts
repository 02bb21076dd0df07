import { describe, expect, it } from 'vitest';
import { scrape, startBusyProxy } from '../../admin/metrics-scenario.ts';
import { readPromql } from '../../deploy/promql.ts';
import { hasTool } from '../../support/tools.ts';
import { placeOf } from '../documents.ts';
import { promtoolCheck } from './promtool.ts';
import { blocksFor } from './runners.ts';

/** Made by Prometheus itself. */
const GIVEN = ['up', 'ALERTS'];

const EXPRESSIONS = blocksFor('promql').flatMap((block) =>
  block.text
    .trim()
    .split(/\n(?! )/)
    .map((expression) => [placeOf(block), expression] as const),
);

describe('every promql block', () => {
  it.runIf(hasTool('promtool')).each(EXPRESSIONS)('%s is valid: %s', (_, expr) => {
    const rules = JSON.stringify({ groups: [{ name: 'all', rules: [{ record: 'one', expr }] }] });
    expect(promtoolCheck(['rules', '--lint=none'], rules)).toBe('');
  });

  it('names metrics and labels that a running proxy gives', async () => {
    const { proxy } = await startBusyProxy();
    const { samples } = await scrape(proxy);
    for (const [place, expression] of EXPRESSIONS) {
      const { selectors } = readPromql(expression);
      expect(selectors.length, place).toBeGreaterThan(0);
      for (const { name, matchers } of selectors.filter((one) => !GIVEN.includes(one.name))) {
        const labels = samples.filter((sample) => sample.name === name).map((sample) => Object.keys(sample.labels));
        const known = new Set(['job', 'instance', ...labels.flat()]);
        expect(labels.length, `${place}: ${name}`).toBeGreaterThan(0);
        for (const { label } of matchers) expect([...known], `${place}: ${name}`).toContain(label);
      }
    }
  });
});
