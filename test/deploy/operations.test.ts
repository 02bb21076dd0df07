import { globSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { LOG_MESSAGES } from '../../src/logger.ts';
import { ROOT, sectionOf, tableOf, textOf } from '../docs/documents.ts';

const FILE = 'docs/operations.md';

describe('Reading the log', () => {
  const rows = tableOf(FILE, '## Reading the log');

  it('has every event, in the order of src/logger.ts', () => {
    expect(rows.map(([event]) => event)).toEqual(Object.keys(LOG_MESSAGES));
  });

  it('has the level that each event is logged with, where it is always the same', () => {
    const calls = /\.(?:(debug|info|warn|error)\(|log\('(debug|info|warn|error)', )'(\w+)'/g;
    const source = globSync('src/**/*.ts', { cwd: ROOT }).map(textOf).join('\n');
    const levels = [...source.matchAll(calls)].map(([, method, argument, event]) => [event, method ?? argument]);
    expect(levels.length).toBeGreaterThan(30);
    const documented = new Map(rows.map(([event, level]) => [event, level]));
    for (const [event, level] of levels) expect([event, documented.get(event)]).toEqual([event, level]);
  });
});

describe('What became of a payment', () => {
  const rows = tableOf(FILE, '## What became of a payment');
  const inCode = [...textOf('src/errors.ts').matchAll(/^ {2}(\w+): \{ status: \d+, outcome: '(\w+)' \}/gm)];

  it('has every error code with its usual outcome, once', () => {
    const shown = rows.flatMap(([codes = '', outcome = '']) =>
      /^(not_sent|unknown)$/.test(outcome) ? codes.split(', ').map((code) => [code, outcome]) : [],
    );
    expect(shown.sort()).toEqual(inCode.map(([, code, outcome]) => [code, outcome]).sort());
  });
});

describe('Alerts', () => {
  const { groups } = parse(textOf('deploy/monitoring/alerts.yaml')) as {
    groups: { rules: { alert: string; labels: { severity: string } }[] }[];
  };
  const alerts = groups.flatMap(({ rules }) => rules).map(({ alert, labels }) => [alert, labels.severity] as const);

  it.each(alerts)(
    '%s: its section says how urgent it is, what to look at, what to do, and when it is over',
    (alert, severity) => {
      const section = sectionOf(FILE, `### ${alert}`);
      expect(section).toMatch(severity === 'critical' ? /^\n\*\*Critical\b/ : /^\n\*\*Warning\b/);
      for (const part of ['Look', 'Do|Look and do', "Nobody's fault", 'Over']) {
        expect(section).toMatch(new RegExp(`\\*\\*(${part})\\b`));
      }
    },
  );
});

describe('Capacity and memory', () => {
  it('have the figures of the README', () => {
    const [, get = '', post = ''] = tableOf('README.md', '## Speed').find(([name]) => name === '**Wakala**') ?? [];
    const inUs = (cell: string) => `${/^[\d.]+/.exec(cell)?.[0]} us`;
    expect(sectionOf(FILE, '## Capacity')).toContain(`takes ${inUs(post)} of CPU and a GET ${inUs(get)}`);
    const [, rest, more] = /(\d+ MiB) resident at rest, (\d+ MiB) more/.exec(textOf('README.md')) ?? [];
    expect(sectionOf(FILE, '## Memory')).toContain(`${rest} at rest, ${more} more`);
  });
});
