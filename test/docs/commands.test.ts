import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasTool } from '../support/tools.ts';
import { type Block, blocksOf, placeOf, ROOT, textOf } from './documents.ts';
import { Reader } from './reader.ts';

/** Pages whose commands a reader copies: they are run from top to bottom. */
const PAGES = ['README.md', 'docs/library.md', 'docs/adding-a-provider.md'];

/** Commands, the output of the commands above, files to write, and changes of files. */
const isStep = ({ language, name }: Block) => ['sh', 'diff', 'text'].includes(language) || name !== undefined;

/** Has the compiler check one file, with the sources beside it. */
async function compiles(reader: Reader, file: string): Promise<void> {
  const project = { extends: path.join(ROOT, 'tsconfig.json'), include: [], files: [file] };
  reader.put('tsconfig.json', JSON.stringify(project));
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const compiling = promisify(execFile)(process.execPath, [tsc, '--noEmit', '-p', reader.folder]);
  await expect(compiling).resolves.toEqual({ stdout: '', stderr: '' });
}

describe.runIf(hasTool('curl')).each(PAGES)('the commands of %s', (page) => {
  let reader: Reader;
  beforeAll(async () => {
    reader = await Reader.start();
  });
  afterAll(() => reader.close());

  const steps = blocksOf(page).filter(isStep);
  it.each(steps.map((block) => [placeOf(block), block] as const))('%s', { timeout: 60_000 }, async (_, block) => {
    if (block.name !== undefined) reader.put(block.name, block.text);
    if (block.language === 'ts') await compiles(reader, block.name ?? '');
    else if (block.language === 'diff') reader.patch(block.text);
    else if (block.language === 'text') await reader.shows(block.text);
    else if (block.language === 'sh') await reader.run(block.text);
  });
});

describe('npm', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Readonly<Record<string, string>> };

  it.each(PAGES)('has the scripts that %s runs', (page) => {
    const text = blocksOf(page).flatMap(({ language, text: one }) => (language === 'sh' ? one : []));
    const named = [...text.join('').matchAll(/\bnpm (?:run )?([\w:]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});
