import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { formatProblem } from '../../../src/errors.ts';
import { problemsOf } from '../../deploy/kubernetes/schemas.ts';
import { placeOf } from '../documents.ts';
import { examined } from './examined.ts';
import { blocksFor } from './runners.ts';

describe('every yaml block for Kubernetes', () => {
  const blocks = blocksFor('kubernetes').map((block) => [placeOf(block), block.text] as const);

  it.each(blocks)('%s holds manifests, or a part of one, as their schemas say', (_, text) => {
    const documents = parseAllDocuments(text);
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    expect(documents.flatMap((one) => problemsOf(one.toJS() as object))).toEqual([]);
  });

  it.each(blocks)('%s has a good configuration, if it has one', (_, text) => {
    for (const document of parseAllDocuments(text)) {
      const { data = {} } = document.toJS() as { readonly data?: Readonly<Record<string, string>> };
      const configurations = Object.entries(data).filter(([name]) => name.endsWith('.yaml'));
      for (const [, file] of configurations) expect(examined(file).problems.map(formatProblem)).toEqual([]);
    }
  });
});
