import { describe, expect, it } from 'vitest';
import { fill, placeholdersIn } from '../../src/providers/template.ts';

const valueOf = (name: string) =>
  new Map([
    ['a', 'A/{b}$&'],
    ['b_2', ''],
    ['c', 'ü'],
  ]).get(name);

describe('a template', () => {
  it.each([
    ['not contain braces', 'not contain braces'],
    ['{a}', 'A/{b}$&'],
    ['{a}-{a}', 'A/{b}$&-A/{b}$&'],
    ['x{b_2}y', 'xy'],
    ['{unknown}', '{unknown}'],
    ['{ a }', '{ a }'],
    ['{A}', '{A}'],
    ['{1a}', '{1a}'],
    ['{}', '{}'],
    ['{"json": {a}}', '{"json": A/{b}$&}'],
    ['{__proto__} {constructor}', '{__proto__} {constructor}'],
    ['{foo-bar} {json:a.b}', '{foo-bar} {json:a.b}'],
    ['{unknown?}-{a?}', '-A/{b}$&'],
    ['\\{a} \\{', '{a} {'],
    ['{a {b_2}', '{a '],
    ['{"a":{"b":1}}', '{"a":{"b":1}}'],
    ['', ''],
  ])('%j becomes %j', (template, filled) => {
    expect(fill(template, valueOf)).toBe(filled);
  });

  it('encodes only the values of placeholders', () => {
    expect(fill('/x y/{a}/{c}/{unknown}', valueOf, encodeURIComponent)).toBe('/x y/A%2F%7Bb%7D%24%26/%C3%BC/{unknown}');
  });

  it('lists its placeholders in order, with repeats', () => {
    expect(placeholdersIn('{b_2}/{a}/{a?}{ x }{B}{1}{json:x} \\{c}')).toEqual(['b_2', 'a', 'a', 'B', 'json:x']);
  });
});
