import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
let folder = '';

beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'wakala-report-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function linesFor(script: string, report: string): string[] {
  const file = path.join(folder, 'report.json');
  writeFileSync(file, report);
  const args = [path.join(ROOT, 'scripts', script), file];
  return execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' }).trimEnd().split('\n');
}

function failed(fullName: string, message: string) {
  return { status: 'failed', fullName, failureMessages: [message] };
}

function reportOf(...suites: { name: string; message?: string; assertionResults: { status: string }[] }[]): string {
  const tests = suites.flatMap((suite) => suite.assertionResults);
  const numFailedTests = tests.filter((each) => each.status === 'failed').length;
  return JSON.stringify({
    success: false,
    numFailedTests,
    numPassedTests: tests.length - numFailedTests,
    testResults: suites.map((suite) => ({
      status: 'failed',
      message: '',
      ...suite,
      name: path.join(ROOT, suite.name),
    })),
  });
}

test('lists failed tests and files with the first line of each failure', () => {
  const report = reportOf(
    {
      name: 'test/a.test.ts',
      assertionResults: [{ status: 'passed' }, failed('a fails', '\n\u001B[31mError: one\u001B[39m\ntwo')],
    },
    { name: 'test/b.test.ts', message: 'Error: cannot be loaded\n at x', assertionResults: [] },
  );
  expect(linesFor('failed-tests.mjs', report)).toEqual([
    'test/a.test.ts > a fails: Error: one',
    'test/b.test.ts: Error: cannot be loaded',
  ]);
  expect(linesFor('count-tests.mjs', report)).toEqual(['1 2']);
});

test('prints at most 40 lines of 300 characters and the number of further lines', () => {
  const assertionResults = Array.from({ length: 50 }, (_, i) => failed(`fact ${i}`, 'x'.repeat(1000)));
  const lines = linesFor('failed-tests.mjs', reportOf({ name: 'test/a.test.ts', assertionResults }));
  expect(lines).toHaveLength(41);
  expect(lines[0]).toHaveLength(300);
  expect(lines.at(-1)).toBe('... and 10 more');
});

test.each([
  ['no readable report', '', /^There is no report of the tests: /],
  ['no test', reportOf(), /^No test ran$/],
  [
    'an error outside every test',
    JSON.stringify({
      success: false,
      numFailedTests: 0,
      numPassedTests: 1,
      testResults: [{ name: 'a', status: 'passed', assertionResults: [{ status: 'passed' }] }],
    }),
    /outside every test/,
  ],
])('reports %s', (_, report, line) => {
  const lines = linesFor('failed-tests.mjs', report);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(line);
  expect(linesFor('count-tests.mjs', report)[0]).toMatch(/^\d 1$/);
});
