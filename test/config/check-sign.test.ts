import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Provider } from '../../src/providers/provider.ts';
import { providers } from '../../src/providers/registry.ts';
import type { Secret } from '../../src/secret.ts';
import { signScopeOf } from '../../src/signing/scope.ts';
import { signProblems } from '../../src/signing/sign-problems.ts';
import { expectProblem, problemsOf } from './validate-text.ts';

function privateKey(bits: number): string {
  return String(
    generateKeyPairSync('rsa', { modulusLength: bits }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  );
}

const surroundings = { env: { RSA: privateKey(2048), WEAK: privateKey(1024) } };

const CREDENTIALS = 'credentials: {id: i, secret: s, pem: "${RSA}", weak: "${WEAK}", bad: no-key}';

/** A route with these lines, the first of which is line 5, column 5. */
function file(...lines: string[]): string {
  const head = ['routes:', '  /bank/*:', '    upstream: https://bank.example', `    ${CREDENTIALS}`];
  return [...head, ...lines.map((line) => `    ${line}`)].join('\n');
}

interface Rule {
  readonly calls?: string;
  readonly values?: string;
  readonly headers?: string;
}

/** A rule: `calls` in line 7, column 16; `values` in line 8, column 17; `headers` in line 9, column 18. */
function rule(
  { calls = "['POST /v1/pay']", values = '{}', headers = "{X-Id: '{id}'}" }: Rule,
  ...more: string[]
): string {
  const lines = ['sign:', `  - calls: ${calls}`, `    values: ${values}`, `    headers: ${headers}`];
  return file('token: none', ...lines, ...more);
}

/** The value `s`, in line 8, column 21. */
function value(text: string): string {
  return rule({ values: `{s: ${text}}`, headers: "{X: '{s}'}" });
}

const TOKEN = 'request: {path: /t}, response: {access_token: t}';
const [S, V] = ['sign.0', 'sign.0.values.s'];

describe('a problem of a rule is reported at its line and column', () => {
  it.each([
    ['calls that are no list', rule({ calls: 'POST /v1' }), '7:16', `${S}.calls`, 'must be a list'],
    ['no calls', rule({ calls: '[]' }), '7:16', `${S}.calls`, 'is empty; list calls such as'],
    ['a call without a path', rule({ calls: "['POST v1']" }), '7:17', `${S}.calls.0`, 'must be `METHOD /path`'],
    ['a method in lower case', rule({ calls: "['post /v1']" }), '7:17', `${S}.calls.0`, '`post` is not a method'],
    [
      'an unknown key',
      rule({}, '    header: {}'),
      '10:9',
      `${S}.header`,
      'unknown key `header`; did you mean `headers`?',
    ],
    ['no target', rule({ headers: '{}' }), '7:9', S, 'puts its values nowhere'],
    ['a number', rule({ headers: '{X: 2.1}' }), '9:22', `${S}.headers.X`, 'must be a text; put it in quotes'],
    ['a missing variable', rule({ headers: "{X: '${GONE}'}" }), '9:22', `${S}.headers.X`, '`GONE` is not set'],
    [
      'an unknown function',
      value('{sha265: x}'),
      '8:22',
      `${V}.sha265`,
      'unknown key `sha265`; did you mean `sha256`?',
    ],
    ['no function', value('{encoding: hex}'), '8:21', V, 'has no function'],
    ['two functions', value('{sha256: x, sha512: x}'), '8:41', `${V}.sha512`, 'one value has one function'],
    ['an option of another function', value('{sha256: x, zone: Z}'), '8:39', `${V}.zone`, '`sha256` has no `zone`'],
    ['an unknown encoding', value('{sha256: x, encoding: Hex}'), '8:43', `${V}.encoding`, 'did you mean `hex`?'],
    ['no key', value('{hmac_sha256: x}'), '8:21', V, '`hmac_sha256` needs `key`'],
    ['no padding', value("{rsa_encrypt: x, key: '{id}'}"), '8:21', V, '`rsa_encrypt` needs `padding`'],
    ['a malformed format', value('{now: yyyy-qq}'), '8:27', `${V}.now`, 'unknown letters `qq`'],
    ['a malformed zone', value('{now: epoch_s, zone: EAT}'), '8:42', `${V}.zone`, 'must be an offset from UTC'],
    ['a duration without a unit', value('{now: epoch_s, plus: 60}'), '8:42', `${V}.plus`, 'a duration needs a unit'],
    ['no random bytes', value('{random: 0}'), '8:30', `${V}.random`, 'between 1 and 1024'],
    ['unknown fields', value('{fields: [body]}'), '8:31', `${V}.fields.0`, 'must be `json`'],
    [
      'an unknown part of a field',
      value("{fields: [json], item: '{nam}'}"),
      '8:44',
      `${V}.item`,
      'only the placeholders',
    ],
    [
      'an unknown name',
      value("{sha256: '{idd}'}"),
      '8:30',
      `${V}.sha256`,
      'unknown placeholder `{idd}`; did you mean `id`?',
    ],
    ['a malformed name', value("{sha256: '{foo-bar}'}"), '8:30', `${V}.sha256`, 'unknown placeholder `{foo-bar}`'],
    ['an unknown source', value("{sha256: '{cookie:x}'}"), '8:30', `${V}.sha256`, 'unknown placeholder `{cookie:x}`'],
    [
      'a later value',
      rule({ values: "{a: {text: '{b}'}, b: {text: x}}" }),
      '8:28',
      `${S}.values.a.text`,
      'not defined yet',
    ],
    ['the name of a credential', rule({ values: '{id: {text: x}}' }), '8:22', `${S}.values.id`, 'name of a credential'],
    [
      'the name of a placeholder',
      rule({ values: '{body: {text: x}}' }),
      '8:24',
      `${S}.values.body`,
      'name of a placeholder',
    ],
    [
      'a name that no text can use',
      rule({ values: '{X-A: {text: x}}' }),
      '8:23',
      `${S}.values.X-A`,
      'must be lower-case',
    ],
    [
      'a segment that no call has',
      rule({ calls: "['GET /a/{account}']", headers: "{X: '{path:acount}'}" }),
      '9:22',
      `${S}.headers.X`,
      'did you mean `account`?',
    ],
    ['a key that a caller chooses', value("{hmac_sha256: x, key: '{json:a}'}"), '8:43', `${V}.key`, 'must not depend'],
    ['a key without braces', value('{hmac_sha256: x, key: id}'), '8:43', `${V}.key`, 'write `{id}` for its value'],
    [
      'an unknown function',
      value('{sha1: x}'),
      '8:22',
      `${V}.sha1`,
      'unknown key `sha1`; the functions are `text`, `now`,',
    ],
    [
      'a token on a route without',
      rule({ headers: "{X: '{access_token}'}" }),
      '9:22',
      `${S}.headers.X`,
      '`token: none`',
    ],
    ['a text that is no key', value("{rsa_sha256: x, key: '{bad}'}"), '4:74', 'credentials.bad', 'use PEM or a JWK'],
    ['a weak key', value("{rsa_sha256: x, key: '{weak}'}"), '4:58', 'credentials.weak', 'at least 2048 bits'],
    ['a weak key in the rule', value("{rsa_sha256: x, key: '${WEAK}'}"), '8:42', `${V}.key`, 'at least 2048 bits'],
    ['a key of another kind', value("{ed25519: x, key: '{pem}'}"), '4:42', 'credentials.pem', 'needs an Ed25519 key'],
    [
      'a header of the connection',
      rule({ headers: '{Host: x}' }),
      '9:25',
      `${S}.headers.Host`,
      'belongs to the connection',
    ],
    ['no header name', rule({ headers: "{'X Y': x}" }), '9:26', `${S}.headers.X Y`, 'is not a header name'],
    [
      'a header that is not read',
      rule({ headers: "{X: '{header:Cookie}'}" }),
      '9:22',
      `${S}.headers.X`,
      'cannot be read',
    ],
    [
      'a rule that changes what the one above signed',
      rule({ headers: "{X: '{body}'}" }, "  - {calls: ['POST /v1/*'], json: {a: '1'}}"),
      '10:43',
      'sign.1.json.a',
      'changes the request after `sign.0`, which reads it',
    ],
    ['no rules', file('token: none', 'sign: []'), '6:11', 'sign', 'is empty; remove it'],
    [
      'Authorization on a route with a token',
      file(`token: {${TOKEN}}`, "sign: [{calls: ['* /*'], headers: {Authorization: x}}]"),
      '6:55',
      `${S}.headers.Authorization`,
      'only on a route with `token: none`',
    ],
    [
      'a body that is not held',
      file('token: none', 'replay_limit: 0', "sign: [{calls: ['* /*'], json: {a: b}}]"),
      '6:19',
      'replay_limit',
      'is 0, but the rules of `sign` need the body',
    ],
  ])('%s', (_, text, place, key, reason) => {
    expectProblem(problemsOf(text, surroundings), `${place} routes./bank/*.${key}`, reason);
  });

  it('a body that is not needed may be streamed', () => {
    const sign = "sign: [{calls: ['* /*'], headers: {X: '{id}'}}]";
    expect(problemsOf(file('token: none', 'replay_limit: 0', sign), surroundings)).toEqual([]);
  });

  it('JSON in a text is no placeholder, and `\\{` is a literal brace', () => {
    expect(problemsOf(value(`{text: '{"a":{"b":1}} \\{x} { y }'}`), surroundings)).toEqual([]);
  });
});

describe('a problem of a token is reported at its line and column', () => {
  it.each([
    [
      'another word than none',
      ['token: non'],
      '5:12',
      'token',
      'must be a mapping with keys such as `request`, or `none`',
    ],
    [
      'auth_server',
      ['token: none', 'auth_server: https://a.example'],
      '6:5',
      'auth_server',
      'no effect with `token: none`',
    ],
    ['token_header', ['token: none', 'token_header: {name: X}'], '6:5', 'token_header', 'no effect'],
    ['token_query', ['token: none', 'token_query: q'], '6:5', 'token_query', 'no effect'],
    ['headers_from_token', ['token: none', 'headers_from_token: {a: b}'], '6:5', 'headers_from_token', 'no effect'],
    ['encoding', ['token: none', 'encoding: json'], '6:5', 'encoding', 'no effect'],
    [
      'an unknown name',
      [`token: {${TOKEN}, header_value: '{acess_token}'}`],
      '5:77',
      'token.header_value',
      'did you mean `access_token`?',
    ],
    [
      'a call in header_value',
      [`token: {${TOKEN}, header_value: {sha256: '{body}'}}`],
      '5:86',
      'token.header_value.sha256',
      'is a part of an API call',
    ],
    [
      'a key of header_value',
      [`token: {${TOKEN}, header_value: {rsa_encrypt: x, key: '{bad}', padding: pkcs1}}`],
      '4:74',
      'credentials.bad',
      'use PEM or a JWK',
    ],
    ['a number', [`token: {${TOKEN}, header_value: 5}`], '5:77', 'token.header_value', 'must be a text'],
    [
      'header_value without a header',
      [`token: {${TOKEN}, header_value: '{access_token}'}`, 'token_query: t'],
      '5:77',
      'token.header_value',
      '`token_query` does',
    ],
    [
      'a refresh token in a token request',
      ["token: {request: {path: /t, values: {a: {sha256: '{refresh_token}'}}}, response: {access_token: t}}"],
      '5:54',
      'token.request.values.a.sha256',
      'unknown placeholder `{refresh_token}`',
    ],
    [
      'an unknown value',
      ["token: {request: {path: /t, values: {a: {text: x}}, query: {q: '{aa}'}}, response: {access_token: t}}"],
      '5:68',
      'token.request.query.q',
      'did you mean `a`?',
    ],
    [
      'in a path',
      ["token: {request: {path: '/{foo-bar}'}, response: {access_token: t}}"],
      '5:29',
      'token.request.path',
      '`{foo-bar}`',
    ],
    [
      'in a nested body',
      ["token: {request: {path: /t, json: {a: {b: '{json:x}'}}}, response: {access_token: t}}"],
      '5:47',
      'token.request.json.a.b',
      'unknown placeholder `{json:x}`',
    ],
    ['in a header', ['token: none', "headers: {X: '{Foo}'}"], '6:18', 'headers.X', 'unknown placeholder `{Foo}`'],
    [
      'in a base URL',
      [`token: {${TOKEN}}`, "auth_server: 'https://{foo-bar}.example'"],
      '6:18',
      'auth_server',
      'is not replaced',
    ],
  ])('%s', (_, lines, place, key, reason) => {
    const problems = problemsOf(file(...lines), surroundings);
    expect(problems).toContainEqual(expect.stringContaining(reason));
    expectProblem(problems.slice(0, 1), `${place} routes./bank/*.${key}`, reason);
  });
});

describe('token: none', () => {
  it('contradicts a provider', () => {
    const text =
      'routes:\n  /x/*: {provider: static, upstream: "https://a.example", token: none, credentials: {token: t}}';
    expectProblem(problemsOf(text), '2:59 routes./x/*.token', '`token: none` contradicts `provider: static`');
  });
});

describe('in production', () => {
  const production = (sign: string, ...more: string[]) =>
    file(
      'token: none',
      'environment: production',
      `sign: [{calls: ['GET /a/{b}'], ${sign}, headers: {X: '{s}'}}]`,
      ...more,
    );

  it.each([
    ['a signature with a private key', "values: {s: {rsa_sha256: x, key: '{pem}'}}"],
    ['an encrypted credential', "values: {s: {rsa_encrypt: '{secret}', key: '${PUBLIC}', padding: pkcs1}}"],
    ['one in a text', "values: {t: {text: '{secret}'}, s: {rsa_encrypt: '{t}', key: '${PUBLIC}', padding: pkcs1}}"],
  ])('%s needs `allow`', (_, values) => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const env = { ...surroundings.env, PUBLIC: String(publicKey.export({ type: 'spki', format: 'pem' })) };
    expectProblem(problemsOf(production(values), { env }), '2:3 routes./bank/*.allow', "such as `allow: ['GET /a/*']`");
    expect(problemsOf(production(values, 'allow: [GET /a/*]'), { env })).toEqual([]);
    expect(problemsOf(production(values).replace('production', 'sandbox'), { env })).toEqual([]);
  });

  it.each([
    ['an HMAC', "values: {s: {hmac_sha256: '{body}', key: '{secret}'}}"],
    ['an encrypted random key', "values: {k: {random: 16}, s: {rsa_encrypt: '{k}', key: '${PUBLIC}', padding: pkcs1}}"],
  ])('%s does not', (_, values) => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const env = { ...surroundings.env, PUBLIC: String(publicKey.export({ type: 'spki', format: 'pem' })) };
    expect(problemsOf(production(values), { env })).toEqual([]);
  });
});

describe('the rules of the built-in providers', () => {
  const signing = providers.filter(({ sign = [] }) => sign.length > 0);

  it.each(signing)('of $name have no problem', (provider: Provider) => {
    const unknown = new Map<string, Secret | undefined>(provider.credentials.map(({ name }) => [name, undefined]));
    expect(signProblems(provider.sign ?? [], signScopeOf(provider, unknown))).toEqual([]);
  });

  it.each(signing)('of $name are switched on by optional credentials', ({ credentials, sign = [] }) => {
    const optional = credentials.filter((field) => field.optional === true).map(({ name }) => name);
    for (const { when } of sign) if (when !== undefined) expect(optional).toContain(when);
  });

  it.each(signing)('of $name have calls below the base URL, without its path', ({ hosts, sign = [] }) => {
    const bases = Object.values(hosts ?? {}).map(({ api }) => new URL(api).pathname.replace(/\/$/, ''));
    for (const call of sign.flatMap(({ calls }) => calls)) {
      for (const base of bases)
        expect(`${call.replace(/^\S+ /, '')}/`.startsWith(`${base}/`) && base !== '').toBe(false);
    }
  });
});
