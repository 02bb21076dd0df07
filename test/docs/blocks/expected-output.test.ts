import { describe, expect, it } from 'vitest';
import { expectJson, expectOutput } from './expected-output.ts';

/** What is wrong with what a program printed, by the block that shows it; empty if nothing is. */
function complaint(check: typeof expectOutput, shown: string, printed: string): string {
  try {
    check(shown, printed);
    return '';
  } catch (error) {
    return (error as Error).message.split(/:?\n/)[0] ?? '';
  }
}

const text = (shown: string, printed: string) => complaint(expectOutput, shown, printed);
const json = (shown: string, printed: string) => complaint(expectJson, shown, printed);

describe('a text block', () => {
  it('is found in the output line by line, in its order', () => {
    expect(text('a\n...\nc\n', 'a\nb\nc\n')).toBe('');
    expect(text('c\na\n', 'a\nb\nc\n')).toBe('the output has no line "a" after line 3');
    expect(text('ab\n', 'a\nb\n')).toContain('"ab"');
  });

  it('is not compared where runs differ', () => {
    const shown = 'POST /x  45 ms  token 1baa11a0 at 08:18:16, 127.0.0.1:41234, 0.1.0 (abc1234)';
    expect(text(shown, 'POST /x   9 ms  token 95096a27 at 09:00:00, 127.0.0.1:50001, 0.1.0 (0123abc)')).toBe('');
    expect(text(shown, 'POST /y   9 ms  token 95096a27 at 09:00:00, 127.0.0.1:50001, 0.1.0 (0123abc)')).not.toBe('');
    expect(text('http://127.0.0.1:8080', 'http://127.0.0.1:8081')).not.toBe('');
    expect(text('set timeout 10s', 'set timeout 11s')).not.toBe('');
  });

  it('may leave out what stands at dots', () => {
    expect(text('a ... c', 'a b c')).toBe('');
    expect(text('a ... c', 'a b d')).not.toBe('');
    expect(text('{"a":1,...', '{"a":1,"b":2}')).toBe('');
  });

  it('shows JSON with the keys that are there, and what happened', () => {
    expect(text('{"event":"ready","time":"then"}', '{"event":"ready","time":"now"}')).toBe('');
    expect(text('{"event":"ready","time":"then"}', '{"event":"stopped","time":"now"}')).not.toBe('');
    expect(text('{"event":"ready"}', '{"event":"ready","time":"now"}')).not.toBe('');
  });
});

describe('a json block', () => {
  it('has the keys of what was printed, at every depth', () => {
    expect(json('{"a":{"b":1}}', 'HTTP/1.1 200 OK\n\n{"a":{"b":2}}')).toBe('');
    expect(json('{"a":{"b":1}}', '{"a":{"c":1}}')).toBe('.a.b is not there');
    expect(json('{"a":{"b":1}}', '{"a":{"b":1,"c":1}}')).toBe('.a.c is not shown');
    expect(json('{"a":1}', '{"a":{}}')).toBe('.a is no plain value');
    expect(json('{"a":1}', 'nothing')).toBe('no JSON was printed');
  });

  it('shows items of lists, each like one that is there', () => {
    expect(json('[{"a":1}]', '[{"b":1},{"a":1}]')).toBe('');
    expect(json('[{"a":1}]', '[{"b":1}]')).toBe('[0] is like none that is there');
  });
});
