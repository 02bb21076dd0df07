import { globSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ROOT, sectionOf, tableOf, textOf } from '../docs/documents.ts';

const FILE = 'docs/operations.md';

const CALL =
  /(?:\b[lL]og|#log)(?:\.(debug|info|warn|error)|\[\w+\])\(|\b(?:requestLog|this)\.(?:say|failed|refused)\(/g;

/** What `src/` logs, by its message: the levels of the calls that say so themselves. */
const LOGGED = new Map<string, Set<string>>();
for (const file of globSync('src/**/*.ts', { cwd: ROOT })) {
  // Of `wakala dev` and `wakala emulate` alone.
  if (/^src[\\/](emulators|commands[\\/](dev|emulate))/.test(file)) continue;
  for (const { message, level } of logCallsIn(textOf(file))) {
    const levels = LOGGED.get(message) ?? new Set();
    LOGGED.set(message, level === undefined ? levels : levels.add(level));
  }
}

interface LogCall {
  readonly message: string;
  readonly level: string | undefined;
}

/** Calls of a log or of the requestLog that end with a plain text. */
function logCallsIn(source: string): LogCall[] {
  return [...source.matchAll(CALL)].flatMap(({ 0: call, 1: method, index }) => {
    const args = argumentsAt(source, index + call.length);
    const texts = [...args.matchAll(/(?<=^|[,(]\s*)'((?:[^'\\\n]|\\.)+)'(?=\s*(?:,|$))/g)].map(([, text = '']) => text);
    const level = method ?? texts.find((text) => /^(info|warn|error)$/.test(text));
    const message = texts.findLast((text) => text !== level);
    return message === undefined ? [] : [{ message, level }];
  });
}

/** The text up to the parenthesis that closes the one before `start`. */
function argumentsAt(source: string, start: number): string {
  let depth = 1;
  for (let i = start; i < source.length; i++) {
    if (source[i] === '(') depth++;
    else if (source[i] === ')' && --depth === 0) return source.slice(start, i).trim();
  }
  return source.slice(start);
}

describe('Reading the log', () => {
  const rows = tableOf(FILE, '## Reading the log');

  it('has every message that is logged, and no other', () => {
    expect(LOGGED.size).toBeGreaterThan(25);
    expect(rows.map(([message]) => message).sort()).toEqual([...LOGGED.keys()].sort());
  });

  it('has the level of each, where that does not depend on what happened', () => {
    for (const [message = '', level = ''] of rows) {
      const said = LOGGED.get(message);
      if (said?.size === 1) expect([...said], message).toEqual([level]);
      else expect(['info', 'warn'], message).toContain(level);
    }
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
