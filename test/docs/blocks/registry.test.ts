import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { blocksOf, DOCUMENTS, MARKDOWN, placeOf } from '../documents.ts';
import { RUNNERS, runnersOf } from './runners.ts';

describe('every block', () => {
  it.each(DOCUMENTS)('of %s is taken by one test', (file) => {
    const page = blocksOf(file);
    const taken = page.map((block) => [placeOf(block), block.language, runnersOf(block, page)] as const);
    expect(taken.filter(([, , names]) => names.length !== 1)).toEqual([]);
  });

  it('has only marks that mean something', () => {
    const known = [
      'exit',
      'file',
      'continues',
      'bad',
      'kubernetes',
      'prometheus',
      'compose',
      'actions',
      'body',
      'drawing',
    ];
    const marks = DOCUMENTS.flatMap((file) =>
      blocksOf(file).flatMap((block) => [...block.marks.keys()].map((mark) => [placeOf(block), mark] as const)),
    );
    expect(marks.filter(([, mark]) => !known.includes(mark))).toEqual([]);
  });
});

describe('every runner', () => {
  it('is a test of this folder', () => {
    const tests = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.test.ts'));
    const names = new Set(tests.map((name) => path.basename(name, '.test.ts').replace(/^shell-.*/, 'shell')));
    expect([...RUNNERS.keys()].filter((name) => !names.has(name))).toEqual([]);
  });
});

describe('every page', () => {
  it('of the repository is one of the documents', () => {
    expect(MARKDOWN.filter((file) => !DOCUMENTS.includes(file))).toEqual([]);
  });

  it('that puts a block into a file names that file below', () => {
    for (const file of DOCUMENTS) {
      const page = blocksOf(file);
      for (const block of page.filter(({ marks }) => marks.has('file'))) {
        const name = path.basename(block.marks.get('file') ?? '');
        const below = page.slice(page.indexOf(block) + 1);
        // `wakala` alone reads the file of that name.
        const reads = name === 'proxy.config.yaml' ? /\bwakala\b/ : name;
        const used = below.some(({ text }) => text.search(reads) !== -1);
        expect(used, `${placeOf(block)}: nothing below uses ${name}`).toBe(true);
      }
    }
  });
});
