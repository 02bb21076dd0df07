import { describe, expect, it } from 'vitest';
import { Pairs } from '../../src/signing/pairs.ts';

const bytes = (text: string) => Buffer.from(text).toString('latin1');

describe('pairs', () => {
  it('are decoded in their order', () => {
    expect(new Pairs('b=1+2&a%62=%C5%BC%3d=&&c&d==&=e&%zz=%4').fields).toEqual([
      { name: 'b', text: '1 2' },
      { name: 'ab', text: bytes('ż==') },
      { name: 'c', text: '' },
      { name: 'd', text: '=' },
      { name: '', text: 'e' },
      { name: '%zz', text: '%4' },
    ]);
  });

  it.each([
    ['a=1&b=2', 'b', '2'],
    ['%61=1', 'a', '1'],
    ['a+b=1', 'a b', '1'],
    ['%C5%BC=1', 'ż', '1'],
    ['ab=1', 'a', undefined],
    ['', '', undefined],
    ['a', 'a', ''],
    ['a=%2525', 'a', '%25'],
    ['__proto__=1', '__proto__', '1'],
    ['', '__proto__', undefined],
  ])('%j has under %j the value %j', (text, name, expected) => {
    expect(new Pairs(text).valueOf(name)).toBe(expected);
    expect(new Pairs(text).hasAll([name])).toBe(expected !== undefined && expected !== '');
  });

  it.each([
    ['a=1', 'a=1&T=x%20%26%2B%C5%BC-._~%2A'],
    ['a=1&', 'a=1&T=x%20%26%2B%C5%BC-._~%2A'],
    ['', 'T=x%20%26%2B%C5%BC-._~%2A'],
    ['T=1&a=%7e+b', 'T=x%20%26%2B%C5%BC-._~%2A&a=%7e+b'],
    ['a&%54&b&&', 'a&%54=x%20%26%2B%C5%BC-._~%2A&b&&'],
    ['t=1', 't=1&T=x%20%26%2B%C5%BC-._~%2A'],
    ['a=1&a=2', 'a=1&a=2&T=x%20%26%2B%C5%BC-._~%2A'],
  ])('%j with a further field is %j', (text, expected) => {
    expect(new Pairs(text).withFields(new Map([['T', bytes('x &+ż-._~*')]]))).toBe(expected);
  });

  it.each([
    ['a value of a name that occurs twice', () => new Pairs('a=1&%61=1').valueOf('a'), 'The field `a` occurs twice.'],
    ['fields with a name that occurs twice', () => new Pairs('a=1&a').fields, 'The field `a` occurs twice.'],
    ['fields with a long name twice', () => new Pairs('4111=1&4111').fields, 'A field occurs twice.'],
    ['a NUL', () => new Pairs('a=1%00').valueOf('a'), 'The field `a` contains a NUL character.'],
    ['a NUL in a name', () => new Pairs('a=1&a%00=2').valueOf('a'), 'The name of a field contains a NUL character.'],
    [
      'a NUL in a name of fields',
      () => new Pairs('a=1&a%00=2').fields,
      'The name of a field contains a NUL character.',
    ],
    [
      'a further field beside a NUL in a name',
      () => new Pairs('T%00=2').withFields(new Map([['T', 'x']])),
      'The name of a field contains a NUL character.',
    ],
    [
      'replacing a field that occurs twice',
      () => new Pairs('T=1&T=1').withFields(new Map([['T', 'x']])),
      'The field `T` occurs twice.',
    ],
  ])('are refused: %s', (_, run, detail) => {
    expect(run).toThrow(expect.objectContaining({ code: 'signature_impossible', message: detail }));
  });
});
