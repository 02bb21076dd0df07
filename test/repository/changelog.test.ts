import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from './packed.ts';

const text = readFileSync(path.join(ROOT, 'CHANGELOG.md'), 'utf8');
const [head = '', ...sections] = text.split(/^## /m);
const headings = sections.map((section) => section.split('\n', 1)[0] ?? '');

/** A sort key: 1.2.3 comes before 1.10.0, and 1.0.0-rc.1 before 1.0.0. */
function rank(version: string): number[] {
  const [, major, minor, patch, pre] = /^(\d+)\.(\d+)\.(\d+)(?:-[a-z]+\.(\d+))?$/.exec(version) ?? [];
  return [major, minor, patch, pre ?? Infinity].map(Number);
}

/** https://keepachangelog.com/en/1.1.0/ */
describe('CHANGELOG.md', () => {
  test('begins with the unreleased changes', () => {
    expect(head).toMatch(/^# Changelog\n/);
    expect(headings[0]).toBe('[Unreleased]');
  });

  test('has a version and a date above each other section, the newest first', () => {
    const versions = headings.slice(1).map((heading) => {
      const [, version = '', day = ''] =
        /^\[(\d+\.\d+\.\d+(?:-[a-z]+\.\d+)?)\] - (\d{4}-\d\d-\d\d)$/.exec(heading) ?? [];
      expect(new Date(day).toJSON()?.slice(0, 10), heading).toBe(day);
      return { rank: rank(version), day };
    });
    const sorted = versions.toSorted((a, b) => {
      const at = a.rank.findIndex((part, i) => part !== b.rank[i]);
      return at === -1 ? 0 : b.rank[at]! - a.rank[at]!;
    });
    expect(versions).toEqual(sorted);
    expect(new Set(headings).size).toBe(headings.length);
  });

  test('groups changes by kind, as lists', () => {
    const kinds = [...text.matchAll(/^### (.*)$/gm)].map(([, kind]) => kind);
    const known = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
    expect(kinds.length).toBeGreaterThan(0);
    expect(known).toEqual(expect.arrayContaining(kinds));
    for (const group of text.split(/^### .*$/m).slice(1)) {
      const [list = ''] = group.split(/^## /m);
      expect(
        list
          .trim()
          .split('\n')
          .filter((line) => !/^(- | {2,}\S|$)/.test(line)),
      ).toEqual([]);
    }
  });
});
