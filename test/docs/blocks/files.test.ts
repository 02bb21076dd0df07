import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../support/proxy-process.ts';
import { hasTool } from '../../support/tools.ts';
import { placeOf, textOf } from '../documents.ts';
import { blocksFor } from './runners.ts';

const BLOCKS = blocksFor('files').map((block) => [placeOf(block), block] as const);

describe('every ini block', () => {
  const units = BLOCKS.filter(([, { language }]) => language === 'ini');

  it.runIf(hasTool('systemd-analyze')).each(units)('%s is what systemd can add to the unit', (_, { text }) => {
    const file = path.join(temporaryDirectory(), 'wakala.service');
    const unit = textOf('deploy/systemd/wakala.service').replaceAll('/usr/bin/node', process.execPath);
    writeFileSync(file, `${unit}\n${text}`);
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['--man=no', 'verify', file], { encoding: 'utf8' });
    expect({ status, printed: stdout + stderr }).toEqual({ status: 0, printed: '' });
  });
});
