import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { hasTool } from '../../support/tools.ts';
import { placeOf } from '../documents.ts';
import { blocksFor } from './runners.ts';

/** A whole file; a block may be one, or keys of a service. */
function fileOf(text: string): string {
  const read = parse(text) as Record<string, unknown>;
  return 'services' in read
    ? text.replace(/^name: .*$/m, '')
    : stringify({ services: { one: { image: 'wakala:0.1.0', ...read } } });
}

/** What Compose says against it. */
function complaintOf(text: string): string {
  const { status, stderr } = spawnSync('docker-compose', ['-f', '-', 'config', '--quiet'], {
    input: fileOf(text),
    encoding: 'utf8',
  });
  return status === 0 ? '' : stderr;
}

describe.runIf(hasTool('docker-compose'))('every yaml block for Compose', () => {
  it('is taken by it', () => {
    for (const block of blocksFor('compose')) expect(complaintOf(block.text), placeOf(block)).toBe('');
  });

  it('would fail with a key that there is not', () => {
    expect(complaintOf('read_only: true\n')).toBe('');
    expect(complaintOf('readonly: true\n')).toContain('readonly');
  });
});
