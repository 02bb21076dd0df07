import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sectionOf, textOf } from '../docs/documents.ts';

interface Locked {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: unknown;
  readonly cpu?: unknown;
}

describe('docs/concepts.md', () => {
  const rows = [
    ...sectionOf('docs/concepts.md', '## What happens if …').matchAll(/\[([^\]]+)\]\((\.\.\/test\/[^)]+)\)/g),
  ];

  it('has a test for each hard case', () => {
    const cases = sectionOf('docs/concepts.md', '## What happens if …').match(/^\| (?!-|… this)/gm) ?? [];
    expect(cases.length).toBeGreaterThan(10);
    expect(rows).toHaveLength(cases.length);
  });

  it.each(rows.map(([, title = '', file = '']) => [title, path.join('docs', file)]))(
    'names a test: %s, %s',
    (title, file) => {
      expect(textOf(file)).toContain(title);
    },
  );
});

describe('docs/security.md', () => {
  it('counts the direct dependencies, none of which has native code', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: object };
    const words = ['Eight', 'Nine', 'Ten', 'Eleven', 'Twelve', 'Thirteen'];
    expect(textOf('docs/security.md')).toContain(`${words[Object.keys(dependencies).length - 8]} direct dependencies`);
    const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, Locked> };
    const native = Object.entries(packages).filter(
      ([, { dev, devOptional, hasInstallScript, os, cpu }]) =>
        dev !== true && devOptional !== true && (hasInstallScript === true || os !== undefined || cpu !== undefined),
    );
    expect(native).toEqual([]);
  });
});

describe('docs/performance.md', () => {
  it('has no measured figure that does not stand in README.md or bench/README.md', () => {
    const measured = /\b\d[\d.,]*(?= ?(?:us|ms|MiB|KiB|GiB|%|CPU)(?!\w))/g;
    const known = ['README.md', 'bench/README.md', 'docs/configuration.md']
      .map(textOf)
      .join('\n')
      .replace(/```[^]*?```/g, '');
    const prose = textOf('docs/performance.md').replace(/```[^]*?```/g, '');
    const unknown = [...prose.matchAll(measured)].filter(([figure]) => !new RegExp(`\\b${figure}\\b`).test(known));
    expect(unknown.map(([figure]) => figure)).toEqual([]);
  });

  it('has the times of kept connections as they are set', () => {
    const page = textOf('docs/performance.md');
    const client = Number(/kept for (\d+) s on Wakala's side/.exec(page)?.[1]);
    const [, idle, ahead] = /dropped after (\d+) s, or (\d+) s before/.exec(page) ?? [];
    expect(textOf('src/server/http-server.ts')).toContain(`keepAliveTimeout: ${client}_000,`);
    const pool = textOf('src/http/client/pool.ts');
    expect(pool).toContain(`IDLE_MS = ${idle}000;`);
    expect(pool).toContain(`KEEP_ALIVE_MARGIN_MS = ${ahead}000;`);
  });
});
