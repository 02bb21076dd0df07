import { describe, expect, it } from 'vitest';
import { JsonText, minified } from '../../src/signing/json-text.ts';

/** UTF-8 bytes as a byte string. */
const bytes = (text: string) => Buffer.from(text).toString('latin1');
const json = (text: string) => new JsonText(bytes(text));
const refusal = (run: () => unknown) => {
  try {
    return `not refused: ${JSON.stringify(run())}`;
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
};

describe('the scalar at a path', () => {
  it.each([
    ['{"a":"x"}', ['a'], 'x'],
    ['{"a":1.00}', ['a'], '1.00'],
    ['{"a" : -0\n}', ['a'], '-0'],
    ['{"a":1E400,"b":2}', ['a'], '1E400'],
    ['{"a":12345678901234567890}', ['a'], '12345678901234567890'],
    ['{"a":true,"b":false}', ['b'], 'false'],
    ['{"a":"null"}', ['a'], 'null'],
    ['{"a":""}', ['a'], ''],
    ['{"a":"\\u0041\\"\\\\\\/\\n"}', ['a'], 'A"\\/\n'],
    ['{"a":"{passkey}"}', ['a'], '{passkey}'],
    ['{"a":"ż\\ud83d\\ude00"}', ['a'], bytes('ż😀')],
    ['{"\\u0061":"x"}', ['a'], 'x'],
    ['{"ż":"x"}', ['ż'], 'x'],
    ['{"a":{"b":[10,{"c":"x"},[7]]}}', ['a', 'b', '1', 'c'], 'x'],
    ['{"a":[ ]}', ['a', '0'], undefined],
    ['{"a":[1,2]}', ['a', '2'], undefined],
    ['{"a":[1,2]}', ['a', '01'], undefined],
    ['{"a":[1,2]}', ['a', '-1'], undefined],
    ['{"a":[1,2]}', ['a', 'length'], undefined],
    ['{"a":"xyz"}', ['a', '0'], undefined],
    ['{"a":{"0":"x"}}', ['a', '0'], 'x'],
    ['{"__proto__":{"a":"x"}}', ['__proto__', 'a'], 'x'],
    ['{}', ['__proto__'], undefined],
    ['{}', ['constructor', 'name'], undefined],
    [' \t\r\n{ "a" : "}" , "b" : "x" } \n', ['b'], 'x'],
    ['{"a":"\\\\","b":"x"}', ['b'], 'x'],
    ['{"A":1,"a":2}', ['a'], '2'],
    ['{"b":1,"b":2,"a":3}', ['a'], '3'],
  ])('of %s at %j is %j', (text, path, expected) => {
    expect(json(text).scalarAt(path)).toBe(expected);
  });

  it.each([
    ['{"a":{}}', ['a'], 'The member `a` must be a string, a number, `true` or `false`.'],
    ['{"a":[1]}', ['a'], 'The member `a` must be a string, a number, `true` or `false`.'],
    ['{"a":null}', ['a'], 'The member `a` must be a string, a number, `true` or `false`.'],
    ['{"a":1,"a":1}', ['a'], 'The member `a` occurs twice.'],
    ['{"a":1,"\\u0061":2}', ['a'], 'The member `a` occurs twice.'],
    ['{"a":{"b":1},"a":{"b":1}}', ['a', 'b'], 'The member `a` occurs twice.'],
    ['{"a":[{"b.c":1,"b.c":2}]}', ['a', '0', 'b.c'], 'The member `a.0.b\\.c` occurs twice.'],
    ['{"a":"secret\\ud800"}', ['a'], 'The member `a` contains half of a surrogate pair.'],
    ['{"a":"secret\\u0000"}', ['a'], 'The member `a` contains a NUL character.'],
    ['{"a":1,"a\\u0000":2}', ['a'], 'The name of a member contains a NUL character.'],
  ])('of %s at %j is refused', (text, path, detail) => {
    expect(refusal(() => json(text).scalarAt(path))).toBe(`signature_impossible: ${detail}`);
  });
});

describe('a body', () => {
  it.each([
    ['', 'The body is empty, but must be a JSON object.'],
    ['[]', 'The body is not a JSON object.'],
    ['"a"', 'The body is not a JSON object.'],
    ['null', 'The body is not a JSON object.'],
    ['{', 'The body is not valid JSON.'],
    ['{}{}', 'The body is not valid JSON.'],
    ['{"a":1,}', 'The body is not valid JSON.'],
    ['{a:1}', 'The body is not valid JSON.'],
    ["{'a':1}", 'The body is not valid JSON.'],
    ['{"a":01}', 'The body is not valid JSON.'],
    ['{"a":NaN}', 'The body is not valid JSON.'],
    ['{"a":+1}', 'The body is not valid JSON.'],
    ['{"a":0x1}', 'The body is not valid JSON.'],
    ['{"a":1}//', 'The body is not valid JSON.'],
    ['{"a":/**/1}', 'The body is not valid JSON.'],
    ['{"a":"\n"}', 'The body is not valid JSON.'],
    ['{"a":"\\x41"}', 'The body is not valid JSON.'],
    ['\f{}', 'The body is not valid JSON.'],
    ['{}\0', 'The body is not valid JSON.'],
    ['\xa0{}', 'The body is not valid UTF-8, which JSON must be.'],
    ['{"a":"\xff"}', 'The body is not valid UTF-8, which JSON must be.'],
    ['{"a":"\xc0\xa2"}', 'The body is not valid UTF-8, which JSON must be.'],
    ['{"a":"\xed\xa0\x80"}', 'The body is not valid UTF-8, which JSON must be.'],
    ['{"a":"\xe2\x82"}', 'The body is not valid UTF-8, which JSON must be.'],
    ['\xef\xbb\xbf{}', 'The body starts with a byte order mark, which JSON must not have.'],
    ['\xff\xfe{\0}\0', 'The body is not valid UTF-8, which JSON must be.'],
    ['{\0}\0', 'The body is not valid JSON.'],
  ])('%j is no JSON object', (text, detail) => {
    expect(refusal(() => new JsonText(text))).toBe(`signature_impossible: ${detail}`);
    const isOtherJson = detail.includes('object');
    expect(refusal(() => minified(text)).startsWith('not refused')).toBe(isOtherJson);
  });

  it('may be nested deeply', () => {
    const depth = 100_000;
    const text = `{"a":${'['.repeat(depth)}${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}${']'.repeat(depth)},"b":"x"}`;
    expect(new JsonText(text).scalarAt(['b'])).toBe('x');
    expect(new JsonText(text).withMembers(new Map([['b', 'y']]))).toBe(text.replace('"x"', '"y"'));
    expect(minified(text)).toBe(text);
  });
});

describe('the members of an object', () => {
  it('are in the order of the body, with their texts', () => {
    const text = '{"b":1.0,"a":"x\\n","o":{},"l":[],"n":null,"t":true,"__proto__":"p","1":2}';
    expect(json(text).membersAt([])).toEqual([
      { name: 'b', text: '1.0' },
      { name: 'a', text: 'x\n' },
      { name: 'o', text: undefined },
      { name: 'l', text: undefined },
      { name: 'n', text: undefined },
      { name: 't', text: 'true' },
      { name: '__proto__', text: 'p' },
      { name: '1', text: '2' },
    ]);
  });

  it('are UTF-8 bytes, names too', () => {
    expect(json('{"\\u017c":"ż"}').membersAt([])).toEqual([{ name: bytes('ż'), text: bytes('ż') }]);
  });

  it('are found at a path, if an object is there', () => {
    const body = json('{"a":[{"b":1}],"c":"{}"}');
    expect(body.membersAt(['a', '0'])).toEqual([{ name: 'b', text: '1' }]);
    expect([['a'], ['c'], ['x'], ['a', '1']].map((path) => body.membersAt(path))).toEqual(Array(4).fill(undefined));
  });

  it.each([
    ['{"a":1,"b":2,"\\u0061":3}', 'The member `a` occurs twice.'],
    ['{"254700000001":1,"254700000001":2}', 'A member occurs twice.'],
    ['{"a":"\\udc00"}', 'The member `a` contains half of a surrogate pair.'],
    ['{"\\udc00":1}', 'The name of a member contains half of a surrogate pair.'],
  ])('are refused: %s', (text, detail) => {
    expect(refusal(() => json(text).membersAt([]))).toBe(`signature_impossible: ${detail}`);
  });
});

describe('an object with further members', () => {
  const T = new Map([['T', 'x']]);
  it.each([
    ['{"a":1 }', '{"a":1,"T":"x" }'],
    ['{"a":1\n}\n', '{"a":1,"T":"x"\n}\n'],
    ['{}', '{"T":"x"}'],
    [' { } ', ' {"T":"x" } '],
    ['{"a":[1, 2] , "b":{"T":1}}', '{"a":[1, 2] , "b":{"T":1},"T":"x"}'],
    ['{"T":1,"a":2}', '{"T":"x","a":2}'],
    ['{ "T" : {"T":[null]} , "a":2}', '{ "T" : "x" , "a":2}'],
    ['{"\\u0054":"old"}', '{"\\u0054":"x"}'],
    ['{"t":1}', '{"t":1,"T":"x"}'],
    ['{"a":1,"a":2}', '{"a":1,"a":2,"T":"x"}'],
  ])('%j becomes %j', (text, expected) => {
    expect(json(text).withMembers(T)).toBe(expected);
  });

  it('keeps the members in their order, replaced ones where they stand', () => {
    const members = new Map([
      ['c', '3'],
      ['a', '1'],
      ['b', '2'],
    ]);
    expect(json('{"b":0,"a":0}').withMembers(members)).toBe('{"b":"2","a":"1","c":"3"}');
  });

  it('has values as JSON strings', () => {
    const value = bytes('"\\\n\u0001ż😀</');
    const text = json('{}').withMembers(new Map([['"ż', value]]));
    expect(text).toBe(bytes('{"\\"ż":"\\"\\\\\\n\\u0001ż😀</"}'));
    expect(new JsonText(text).scalarAt(['"ż'])).toBe(value);
  });

  it('is refused if a member to replace occurs twice, or a value is not UTF-8', () => {
    expect(refusal(() => json('{"T":1,"\\u0054":2}').withMembers(T))).toBe(
      'signature_impossible: The member `T` occurs twice.',
    );
    expect(refusal(() => json('{}').withMembers(new Map([['T', 'secret\xff']])))).toBe(
      'signature_impossible: The value for the member `T` is not valid UTF-8.',
    );
  });

  it('is known to have all members, or not', () => {
    const body = json('{"a":false,"\\u0062":{},"c":{"d":1},"c":2}');
    expect([[], ['a'], ['a', 'b'], ['c'], ['a', 'd'], ['toString']].map((names) => body.hasAll(names))).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('a member that serializers write for what is not set', () => {
  it.each(['null', '""', '"x","a":null', 'null,"a":"x"'])('counts as missing: %s', (text) => {
    expect(json(`{"a": ${text} ,"b":1}`).hasAll(['a'])).toBe(false);
  });

  it.each(['0', 'false', '" "', '[]', '{}', String.raw`"\u0000"`])('counts as sent: %s', (text) => {
    expect(json(`{"a": ${text} ,"b":1}`).hasAll(['a'])).toBe(true);
  });
});

describe('minified JSON', () => {
  it.each([
    ['', ''],
    ['{ }', '{}'],
    [' { "a" :\t1 ,\r\n"b c" : [ "x  \\" y" , 1.00 ] } ', '{"a":1,"b c":["x  \\" y",1.00]}'],
    ['{"a":1,"a":2}', '{"a":1,"a":2}'],
    ['{"a":"\\u0020\\/"}', '{"a":"\\u0020\\/"}'],
    [' 1 ', '1'],
    ['{"a":"\\\\" , "b":1}', '{"a":"\\\\","b":1}'],
  ])('of %j is %j', (text, expected) => {
    expect(minified(text)).toBe(expected);
  });

  it('keeps what is white space elsewhere', () => {
    expect(minified(bytes('{"a": "\u00a0\u2028\u3000"}'))).toBe(bytes('{"a":"\u00a0\u2028\u3000"}'));
  });
});
