import { describe, expect, it } from 'vitest';
import { good, mpesaWith, problemsOf } from './validate-text.ts';

describe('what makes a file unreadable', () => {
  it.each([
    ['an empty file', '', '1:1  | the file is empty'],
    ['a file of comments', '# nothing\n', '1:1  | the file is empty'],
    ['a list at the top', '- a\n- b\n', '1:1  | the file must start with keys'],
    ['a single value', 'hello\n', '1:1  | the file must start with keys'],
    ['two documents', 'routes: {}\n---\nroutes: {}\n', '2:1  | a second document'],
    ['a tab', 'routes:\n\t/a/*: {}\n', '2:1  | a tab'],
    ['an open bracket', 'listen: [1\n', '2:1  | '],
    ['an alias to nothing', 'listen: *gone\n', '1:9  | this alias'],
    ['a mapping as a key', 'routes:\n  ? {canary: x}\n  : y\n', '2:5  | a key must be a text'],
    ['an empty key', 'routes:\n  : y\n', '2:3  | a key must be a text'],
    ['a tag', 'listen: !secret x\n', '1:9  | tags'],
    ['a no-break space', 'a:\n\u00a0\u00a0b: c: d\n', '2:6  | the line contains the invisible character U+00A0'],
  ])('%s', (_, text, start) => {
    const [first = ''] = problemsOf(text);
    expect(first.slice(0, start.length)).toBe(start);
  });

  it('a reference without quotes inside braces, with a hint', () => {
    const [first] = problemsOf('routes:\n  /a/*: { provider: ${P} }\n');
    expect(first).toContain('2:');
    expect(first).toContain('write "${NAME}" in quotes');
  });

  it('aliases in a circle', () => {
    expect(problemsOf('routes: &a\n  /a/*: *a\n')).toEqual([
      '1:1  | anchors and aliases form a circle, or expand too far; write the values out',
    ]);
  });

  it('`__proto__` as a key', () => {
    expect(problemsOf('routes:\n  __proto__:\n    provider: mpesa\n')).toEqual(['2:3  | `__proto__` cannot be a key']);
  });

  it('never quotes the file', () => {
    const problems = problemsOf('listen: "abc" "canary-secret"\nadmin: \'canary-secret\nopen: "canary-\\q"\n');
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join('\n')).not.toContain('canary');
  });
});

describe('duplicate keys', () => {
  it('are reported at the second one, with all other problems', () => {
    expect(problemsOf(`${mpesaWith('timeout: 5s', 'timeout: 6s')}open: maybe\n`)).toEqual([
      '6:5 routes./mpesa/*.timeout | routes./mpesa/*: `timeout` is there twice; remove one',
      '7:7 open | open: must be `true` or `false`',
    ]);
  });

  it('are reported for routes too', () => {
    expect(problemsOf(`${mpesaWith()}  /mpesa/*: {}\n`)).toEqual([
      '5:3 routes./mpesa/* | routes: `/mpesa/*` is there twice; remove one',
    ]);
  });
});

describe('anchors and merge keys', () => {
  const text = [
    'routes:',
    '  /a/*: &base',
    '    provider: mpesa',
    '    timeout: 7s',
    '    credentials: &keys {consumer_key: "${K}", consumer_secret: s}',
    '  /b/*:',
    '    <<: *base',
    '    timeout: 9s',
    '  /c/*:',
    '    provider: mpesa',
    '    credentials: *keys',
    '',
  ].join('\n');

  it('give values that can be overridden', () => {
    const { routes } = good(text, { env: { K: 'key' } });
    expect(routes.map((route) => route.timeoutMs)).toEqual([7000, 9000, 60_000]);
    expect(routes.map((route) => route.credentials.get('consumer_key')?.reveal())).toEqual(['key', 'key', 'key']);
  });

  it('are reported by key if one place is wrong for several', () => {
    expect(problemsOf(text)).toEqual(
      ['/a/*', '/b/*', '/c/*'].map(
        (route) =>
          `5:39 routes.${route}.credentials.consumer_key | routes.${route}.credentials.consumer_key: environment variable \`K\` is not set`,
      ),
    );
  });
});
