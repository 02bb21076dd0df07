import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { providers } from '../../src/providers/registry.ts';
import { madeUp } from '../support/made-up.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const FOLDER = path.join(ROOT, 'docs/providers');
const run = promisify(execFile);

describe('docs/providers', () => {
  it('is up to date: node scripts/provider-docs.mjs writes it', { timeout: 60_000 }, async () => {
    const { stderr } = await run(process.execPath, [path.join(ROOT, 'scripts/provider-docs.mjs'), '--check']);
    expect(stderr).toBe('');
  });

  it('has a page for each provider, and the index links to it', () => {
    const pages = providers.map(({ name }) => `${name}.md`);
    expect(readdirSync(FOLDER).sort()).toEqual(['README.md', ...pages].sort());
    const index = readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
    for (const page of pages) expect(index).toContain(`](${page})`);
  });

  it.each(providers)(
    '$name: the page has every fact, and its configuration is valid',
    ({ name, traps, sources, hosts }) => {
      const text = readFileSync(path.join(FOLDER, `${name}.md`), 'utf8');
      const addresses = Object.values(hosts ?? {}).flatMap(({ api, auth }) => [api, auth ?? api]);
      for (const fact of [...traps, ...sources, ...addresses]) expect(text).toContain(fact);
      const yaml = /```yaml\n(.*?)```/s.exec(text)?.[1] ?? '';
      const names = [...yaml.matchAll(/\$\{(\w+)\}/g)].map(
        ([, variable = '']) => [variable, madeUp(variable)] as const,
      );
      const { config, problems, warnings } = validateConfig('proxy.config.yaml', {
        readFile: () => yaml,
        env: Object.fromEntries(names),
      });
      expect([problems, warnings]).toEqual([[], []]);
      expect(config?.routes[0]?.provider.name).toBe(name);
    },
  );

  it.each(providers)('$name: the links of the page are valid', ({ name }) => {
    const text = readFileSync(path.join(FOLDER, `${name}.md`), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = '']) => path.join(FOLDER, target));
    expect(links.length).toBeGreaterThan(0);
    expect(links.filter((target) => !existsSync(target))).toEqual([]);
  });
});
