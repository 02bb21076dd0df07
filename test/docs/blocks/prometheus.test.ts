import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { hasTool } from '../../support/tools.ts';
import { placeOf } from '../documents.ts';
import { promtoolCheck } from './promtool.ts';
import { blocksFor } from './runners.ts';

/** How promtool reads it: alert rules, a whole configuration, or items of `scrape_configs`. */
function asFile(text: string): [what: readonly string[], text: string] {
  const read: unknown = parse(text);
  if (typeof read === 'object' && read !== null && 'groups' in read) return [['rules'], text];
  const whole = Array.isArray(read) ? JSON.stringify({ scrape_configs: read }) : text;
  return [['config', '--syntax-only'], whole];
}

describe.runIf(hasTool('promtool'))('every yaml block for Prometheus', () => {
  it('passes the check of promtool', () => {
    for (const block of blocksFor('prometheus')) {
      expect(promtoolCheck(...asFile(block.text)), placeOf(block)).toBe('');
    }
  });

  it('would fail with a key that there is not', () => {
    const job = (key: string) => `- job_name: wakala\n  ${key}: [{ targets: ['127.0.0.1:9901'] }]\n`;
    expect(promtoolCheck(...asFile(job('static_configs')))).toBe('');
    expect(promtoolCheck(...asFile(job('static_config')))).toContain('static_config');
  });
});
