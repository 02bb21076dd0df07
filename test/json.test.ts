import { describe, expect, it } from 'vitest';
import { hasValues, type JsonObject, type JsonScalar, valueAt, withValueAt } from '../src/json.ts';

describe('hasValues', () => {
  it.each<[JsonScalar, string, boolean]>([
    [1000, '1000', true],
    [1000, '"1000"', true],
    ['1000', '1000', true],
    ['1000', '"1000"', true],
    [1000, '1000.0', true],
    [1000, '1e3', true],
    [1000, '"1000.0"', false],
    [1000, '1001', false],
    ['401.10', '"401.10"', true],
    ['401.10', '401.10', true],
    ['401.10', '"401.1"', false],
    [401.1, '"401.10"', false],
    ['12345678901234567890', '12345678901234567890', true],
    ['12345678901234567890', '"12345678901234567890"', true],
    ['12345678901234567890', '"12345678901234567891"', false],
    ['', '0', false],
    [0, '""', false],
    ['', '""', true],
    [true, 'true', true],
    ['true', 'true', true],
    [true, '"true"', true],
    [true, '1', false],
    [false, 'null', false],
    [null, 'null', true],
    [null, '""', false],
    ['a', '["a"]', false],
    ['[object Object]', '{}', false],
  ])('compares a rule of %j with %s: %s', (rule, json, expected) => {
    expect(hasValues({ code: JSON.parse(json) as unknown }, { code: rule })).toBe(expected);
  });

  it('does not take a missing value for null', () => {
    expect(hasValues({}, { code: null })).toBe(false);
  });

  it('needs all values', () => {
    expect(hasValues({ a: 1, b: { c: 'x' } }, { a: '1', 'b.c': 'x' })).toBe(true);
    expect(hasValues({ a: 1, b: { c: 'x' } }, { a: '1', 'b.c': 'y' })).toBe(false);
  });
});

describe('the value at a dotted path', () => {
  const root = { a: { b: { c: 1 } }, list: [{ id: 'x' }], none: null, text: 'abc', 'a.b': 'flat', '': 'empty' };

  it.each<[string, unknown]>([
    ['a.b.c', 1],
    ['a.b', { c: 1 }],
    ['list.0.id', 'x'],
    ['none', null],
    ['text', 'abc'],
    ['', 'empty'],
  ])('is found at %j', (path, value) => {
    expect(valueAt(root, path)).toEqual(value);
  });

  it.each(['x', 'a.x', 'a.b.c.d', 'none.x', 'text.0', 'text.length', 'list.1', 'a..b', '.a', 'a.'])(
    'is undefined at %j, which does not exist',
    (path) => {
      expect(valueAt(root, path)).toBeUndefined();
    },
  );

  it.each([
    '__proto__',
    'constructor',
    'constructor.name',
    'toString',
    'a.__proto__.c',
    'a.hasOwnProperty',
    'list.map',
  ])('is undefined at %j, which is inherited', (path) => {
    expect(valueAt(root, path)).toBeUndefined();
  });

  it('is that of an own key named `__proto__`', () => {
    expect(valueAt(JSON.parse('{"__proto__": {"token": "own"}}'), '__proto__.token')).toBe('own');
  });

  it.each([undefined, null, 1, true, 'text', []])('is undefined in %j', (value) => {
    expect(valueAt(value, 'a')).toBeUndefined();
  });
});

describe('a copy with a value at a dotted path', () => {
  it('does not change the original', () => {
    const root: JsonObject = { a: { b: 1, c: 2 } };
    expect(withValueAt(root, 'a.b', 3)).toEqual({ a: { b: 3, c: 2 } });
    expect(root).toEqual({ a: { b: 1, c: 2 } });
  });

  it('creates missing objects', () => {
    expect(withValueAt({ z: 1 }, 'a.b.c', 'x')).toEqual({ z: 1, a: { b: { c: 'x' } } });
  });

  it.each<[string, JsonObject]>([
    ['a text', { a: 'text' }],
    ['a list', { a: [1, 2] }],
    ['null', { a: null }],
  ])('replaces %s that is in the way', (_, root) => {
    expect(withValueAt(root, 'a.b', 1)).toEqual({ a: { b: 1 } });
  });

  it.each(['__proto__.polluted', 'constructor.prototype.polluted'])('pollutes nothing at %s', (path) => {
    const made = withValueAt({}, path, true);
    expect(valueAt(made, path)).toBe(true);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(made)).toBe(Object.prototype);
  });
});
