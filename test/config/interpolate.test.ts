import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expand } from '../../src/config/interpolate.ts';
import { good, mpesaWith, problemsOf, routeOf, topWith } from './validate-text.ts';

const env = { NAME: 'value', EMPTY: '', LINE: 'value\n', CRLF: 'value\r\n', LINES: 'value\n\n', BRACES: '${NAME}' };
const files: Record<string, string> = { '/run/secret': 'from file\n', '/run/crlf': 'from file\r\n', '/run/empty': '' };

function expanded(text: string): string | string[] {
  const readFile = (path: string) => {
    if (path === '/run/denied') throw Object.assign(new Error('no'), { code: 'EACCES' });
    if (files[path] === undefined) throw Object.assign(new Error('no'), { code: 'ENOENT' });
    return files[path];
  };
  const { segments, errors } = expand(text, { env, readFile });
  return errors.length > 0 ? errors.map((error) => error.text) : segments.map((segment) => segment.text).join('');
}

describe('references', () => {
  it.each([
    ['${NAME}', 'value'],
    ['a ${NAME} b ${NAME}', 'a value b value'],
    ['${GONE:-default}', 'default'],
    ['${GONE:-}', ''],
    ['${GONE:-a:-b}', 'a:-b'],
    ['${EMPTY:-default}', 'default'],
    ['${EMPTY}', ''],
    ['${NAME:-default}', 'value'],
    ['${file:/run/secret}', 'from file'],
    ['${file:/run/crlf}', 'from file'],
    ['${file:/run/empty}', ''],
    ['${LINE}', 'value'],
    ['${CRLF}', 'value'],
    ['${LINES}', 'value\n'],
    ['$${NAME}', '${NAME}'],
    ['$NAME', '$NAME'],
    ['$$NAME $', '$$NAME $'],
    ['${BRACES}', '${NAME}'],
  ])('%s becomes %j', (text, value) => {
    expect(expanded(text)).toBe(value);
  });

  it.each([
    ['${GONE}', 'environment variable `GONE` is not set'],
    ['${toString}', 'environment variable `toString` is not set'],
    ['${}', 'names no variable'],
    ['${:-x}', 'names no variable'],
    ['${NAME', 'without a closing `}`'],
    ['${1NAME}', 'malformed reference'],
    ['${NA ME}', 'malformed reference'],
    ['${NAME-default}', 'malformed reference'],
    ['${GONE:-${NAME}}', 'contain another'],
    ['${file:}', 'names no file'],
    ['${file:/run/gone}', 'cannot read the file `/run/gone`: there is no such file'],
    ['${file:/run/denied}', 'cannot read the file `/run/denied`: no permission'],
  ])('%s is a problem', (text, reason) => {
    expect(expanded(text)).toEqual([expect.stringContaining(reason)]);
  });

  it('reports every invalid reference of a text', () => {
    expect(expanded('${GONE} ${}')).toHaveLength(2);
  });
});

describe('invisible characters', () => {
  const withSecret = (written: string) => mpesaWith().replace('consumer_secret: s}', `consumer_secret: ${written}}`);
  const inFile = (text: string) => problemsOf(withSecret('"${file:/run/s}"'), { files: { '/run/s': text } });

  it.each([
    ['\u200b', 'contains the invisible character U+200B ZERO WIDTH SPACE at character 3; remove it'],
    ['\u200d', 'contains the invisible character U+200D ZERO WIDTH JOINER at character 3; remove it'],
    ['\u2060', 'contains the invisible character U+2060 WORD JOINER at character 3; remove it'],
    ['\ufeff', 'contains the invisible character U+FEFF BYTE ORDER MARK at character 3; remove it'],
    ['\u00a0', 'contains the invisible character U+00A0 NO-BREAK SPACE at character 3; remove it'],
    ['\u2009', 'contains the invisible character U+2009 THIN SPACE at character 3; remove it'],
    ['\u3164', 'contains the invisible character U+3164 at character 3; remove it'],
    ['\ufe0f', 'contains the invisible character U+FE0F at character 3; remove it'],
    ['\u{e0041}', 'contains the invisible character U+E0041 at character 3; remove it'],
    ['\u0007', 'contains the invisible character U+0007 CONTROL CHARACTER at character 3; remove it'],
    ['\u009f', 'contains the invisible character U+009F CONTROL CHARACTER at character 3; remove it'],
    ['\ufffd', 'is not valid UTF-8 at character 3; save the file as UTF-8'],
    ['\0', 'contains U+0000 NULL, as text in UTF-16 does; save the file as UTF-8'],
  ])('are named: %j', (character, message) => {
    const secret = `se${character}cret`;
    const place = '4:53 routes./mpesa/*.credentials.consumer_secret | routes./mpesa/*.credentials.consumer_secret';
    expect(inFile(secret)).toEqual([`${place}: ${message}`]);
    if (character !== '\0') expect(problemsOf(withSecret(JSON.stringify(secret)))[0]).toContain(message);
    expect(problemsOf(withSecret('"${S}"'), { env: { S: secret } })[0]).toContain(message);
  });

  it('are not letters, emoji, newlines or a byte order mark at the start of a file', () => {
    for (const text of ['\ufeffsecret', 'pässwörd', 'secret\r\n']) expect(inFile(text)).toEqual([]);
  });

  it('make a configuration file in UTF-16 a problem', () => {
    const text = Buffer.from(mpesaWith(''), 'utf16le').toString('utf8');
    expect(problemsOf(text)).toEqual([expect.stringContaining('as text in UTF-16 does; save it as UTF-8')]);
  });
});

describe('references in a file', () => {
  it('are reported at the line and column of their value', () => {
    const text = mpesaWith('upstream: ${UPSTREAM}', 'headers:', '  x-a: "Key ${KEY}"');
    expect(problemsOf(text)).toEqual([
      '5:15 routes./mpesa/*.upstream | routes./mpesa/*.upstream: environment variable `UPSTREAM` is not set',
      '7:12 routes./mpesa/*.headers.x-a | routes./mpesa/*.headers.x-a: environment variable `KEY` is not set',
    ]);
  });

  it('cause no further problem if they are not set', () => {
    const text = 'listen: ${L}\nadmin: ${A}\nroutes:\n  /a/*:\n    provider: ${P}\n    credentials: ${C}\n';
    expect(problemsOf(text).map((problem) => problem.split(' ')[0])).toEqual(['1:9', '2:8', '5:15', '6:18']);
  });

  it('do not hide an unknown key if they are not set', () => {
    expect(problemsOf(mpesaWith('uptsream: ${GONE}'))).toEqual([
      expect.stringMatching(/^5:5 .*unknown key `uptsream`; did you mean `upstream`\?/),
      expect.stringMatching(/^5:15 .*`GONE` is not set/),
    ]);
  });

  it('find files beside the configuration file', () => {
    const text = mpesaWith().replace('consumer_key: k', 'consumer_key: "${file:keys/key}"');
    const route = routeOf(text, { files: { [resolve('keys/key')]: 'beside\n' } });
    expect(route.credentials.get('consumer_key')?.reveal()).toBe('beside');
  });

  it('are not replaced in keys and comments', () => {
    expect(problemsOf(topWith('# ${GONE}', 'log: {}'))).toEqual([]);
    expect(problemsOf(topWith('"${GONE}": 1'))).toEqual(['5:1 ${GONE} | unknown key `${GONE}`']);
  });
});

describe('the type of a value from a reference', () => {
  it.each(['12345', '0123', '1e5', 'true', 'null', '~', '0x1F', '1_000', '.inf', '2020-01-01', '[a]', '{a: b}'])(
    'is text for the credential %s',
    (value) => {
      const text = mpesaWith().replace('consumer_key: k', 'consumer_key: "${K}"');
      expect(
        routeOf(text, { env: { K: value } })
          .credentials.get('consumer_key')
          ?.reveal(),
      ).toBe(value);
    },
  );

  it.each(['${N}', '"${N}"', "'${N}'"])('is a number if %s is the value of a number key', (written) => {
    expect(routeOf(mpesaWith(`max_concurrency: ${written}`), { env: { N: '8' } }).maxConcurrency).toBe(8);
  });

  it('is a boolean for a boolean key', () => {
    expect(good(topWith('open: ${OPEN}'), { env: { OPEN: 'true' } }).open).toBe(true);
    expect(good(topWith('admin: ${ADMIN}'), { env: { ADMIN: 'false' } }).admin).toBeUndefined();
    expect(routeOf(mpesaWith('replay: ${R}'), { env: { R: 'false' } }).replay).toBe(false);
    expect(routeOf(mpesaWith('max_body: ${B}'), { env: { B: '2048' } }).maxBodyBytes).toBe(2048);
  });

  it('is a problem if it does not fit, and the value is not shown', () => {
    const wrong = 'must be a whole number between 1 and 1000000';
    const at = '5:22 routes./mpesa/*.max_concurrency | routes./mpesa/*.max_concurrency: ';
    for (const value of ['many', '0', '1.5', '', '*x', 'true']) {
      expect(problemsOf(mpesaWith('max_concurrency: ${N}'), { env: { N: value } })).toEqual([`${at}${wrong}`]);
    }
    expect(problemsOf(mpesaWith('max_concurrency: 1${N}'), { env: { N: '2' } })).toEqual([`${at}${wrong}`]);
  });

  it('is not shown if it is not a known name', () => {
    const problems = problemsOf(mpesaWith().replace('provider: mpesa', 'provider: ${P}'), { env: { P: 'mpsea' } });
    expect(problems).toEqual([
      '3:15 routes./mpesa/*.provider | routes./mpesa/*.provider: unknown provider; `wakala providers` lists all',
    ]);
  });
});
