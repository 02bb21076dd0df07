import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routeText } from '../../../src/config/starter.ts';
import { providers } from '../../../src/providers/registry.ts';
import { type Block, placeOf } from '../documents.ts';
import { type ProviderHosts, startProviderHosts } from './provider-hosts.ts';
import { blocksFor } from './runners.ts';
import { PageShell } from './shell.ts';

const BLOCKS = blocksFor('json').map((block) => [placeOf(block), block] as const);

/** The values of a block: one, or one on each line. */
function valuesIn(text: string): unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    return text
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
  }
}

describe('every json block', () => {
  it.each(BLOCKS)('%s is JSON', (_, { text }) => {
    expect(valuesIn(text).length).toBeGreaterThan(0);
  });
});

describe('every json block that is a body', () => {
  const bodies = BLOCKS.filter(([, { marks }]) => marks.has('body'));
  let hosts: ProviderHosts;
  let shell: PageShell;

  beforeAll(async () => {
    hosts = await startProviderHosts();
    shell = new PageShell(hosts);
    const file = path.join(shell.workspace.repository, 'all.yaml');
    writeFileSync(file, `routes:\n${providers.map(routeText).join('')}`);
    await shell.run(command('wakala dev -c all.yaml'));
  });
  afterAll(async () => {
    await shell.close();
    await hosts.close();
  });

  it.each(bodies)('%s gets a good answer', async (_, { text, marks }) => {
    const [method = '', url = ''] = marks.get('body')?.split(' ') ?? [];
    for (const value of valuesIn(text)) {
      shell.put('body.json', JSON.stringify(value));
      await shell.run(command(`curl -sS -X ${method} '${url}' -H 'content-type: application/json' -d @body.json`));
      expect(shell.statuses(), shell.printed()).toEqual([expect.toSatisfy((status: number) => status < 300)]);
    }
  });
});

function command(text: string): Block {
  const place = { file: 'json.test.ts', line: 0, heading: '', mark: undefined, marks: new Map<string, string>() };
  return { ...place, language: 'sh', text: `${text}\n` };
}
