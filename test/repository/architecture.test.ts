import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './packed.ts';

/** One file for each provider. */
const PROVIDER_EMULATOR = /^src\/emulators\/[a-z-]+-emulator\.ts$/;

/** Paths that the tree of ARCHITECTURE.md lists, from src/ on, by indentation. Several files may share a line. */
function listedPaths(): string[] {
  const [, tree = ''] = /```text\n([^]*?)```/.exec(readFileSync(path.join(ROOT, 'ARCHITECTURE.md'), 'utf8')) ?? [];
  const folders: string[] = [];
  const paths: string[] = [];
  for (const line of tree.split('\n')) {
    const indentation = /^ */.exec(line)?.[0].length ?? 0;
    // A line that starts in the column of descriptions goes on with the description above.
    if (line.trim() === '' || indentation > 10) continue;
    const [names = ''] = line.trim().split(/ {2,}(?![\w-]+\.ts\b)/);
    folders.length = indentation / 2;
    for (const name of names.split(/ {2,}/)) {
      const listed = path.join(...folders, name);
      paths.push(listed);
      if (name.endsWith('/')) folders[indentation / 2] = name;
    }
  }
  return paths;
}

describe('the tree of ARCHITECTURE.md', () => {
  const listed = listedPaths();

  it('lists only files and folders that exist', () => {
    expect(listed.length).toBeGreaterThan(60);
    expect(listed.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  });

  it('lists every file of a folder of which it lists any', () => {
    const known = new Set(listed.map((name) => name.replace(/\/$/, '')));
    const open = new Set(listed.filter((name) => !name.endsWith('/')).map((name) => path.dirname(name)));
    const missing = [...open].flatMap((folder) =>
      readdirSync(path.join(ROOT, folder))
        .filter((name) => name.endsWith('.ts'))
        .map((name) => path.join(folder, name))
        .filter((name) => !known.has(name) && !PROVIDER_EMULATOR.test(name)),
    );
    expect(open.has('src')).toBe(true);
    expect(missing).toEqual([]);
  });
});
