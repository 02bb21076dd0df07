import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { DerivedValue, SignRule } from '../../src/providers/sign-rule.ts';
import type { SignScope } from '../../src/signing/scope.ts';
import type { SignProblem } from '../../src/signing/scope.ts';
import { signProblems } from '../../src/signing/sign-problems.ts';
import { Signer } from '../../src/signing/signer.ts';
import { CompiledValues, HeaderValue } from '../../src/signing/value-list.ts';
import { scopeOf } from './support.ts';

const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const scope = scopeOf(
  { secret: 'made-up-secret', key: p256.toString(), host: 'x' },
  { tokenHeaders: new Set(['x-token']) },
);

const rule = (fields: Partial<SignRule>): SignRule => ({ calls: ['POST /x'], headers: { A: 'b' }, ...fields });
const value = (v: DerivedValue) => rule({ values: { v } });

/** The path of each problem, then its text. */
const shown = (problems: readonly SignProblem[]) => problems.map(({ path, text }) => [path.join('.'), text]);

describe('a value', () => {
  const cases: [value: DerivedValue, path: string, text: string][] = [
    [{}, '', 'has no function; use one of `text`, `now`'],
    [{ text: 'a', sha256: 'b' }, '.sha256', 'one value has one function, and this has `text` too'],
    [{ text: 'a', zone: '+03:00' }, '.zone', '`text` has no `zone`; remove it'],
    [{ now: 'epoch_s', encoding: 'hex' }, '.encoding', '`now` has no `encoding`; remove it'],
    [{ sha256: 'a', key: '{secret}' }, '.key', '`sha256` has no `key`'],
    [{ hmac_sha256: 'a', key: '{secret}', iv: 'a' }, '.iv', '`hmac_sha256` has no `iv`'],
    [{ hmac_sha256: 'a' }, '', '`hmac_sha256` needs `key`'],
    [{ aes_256_cbc: 'a', key: '{secret}' }, '', '`aes_256_cbc` needs `iv`'],
    [{ rsa_encrypt: 'a', key: '{key}' }, '', '`rsa_encrypt` needs `padding`'],
    [{ ed25519: 'a', key: '{key}', format: 'der' }, '.format', '`ed25519` has no `format`'],
    [{ now: 'YYYY' }, '.now', 'unknown letters `YYYY`'],
    [{ now: 'iso8601', zone: 'EAT' }, '.zone', 'must be an offset from UTC'],
    [{ random: 0 }, '.random', 'must be a number of bytes from 1 to 1024'],
    [{ fields: [] }, '.fields', 'is empty'],
    [{ fields: ['body'] }, '.fields.0', 'must be `json`, `json:NAME`, `form` or `query`'],
    [{ fields: ['json'], item: '{name}{secret}' }, '.item', 'only the placeholders `{name}` and `{value}`'],
    [{ text: '{json:}' }, '.text', '`{json:}` has an empty name'],
    [{ text: '{json:a..b}' }, '.text', 'has an empty name'],
    [{ text: '{json:items[0].price}' }, '.text', 'such as `{json:items.0.price}`'],
    [{ text: '{json:items.*.price}' }, '.text', 'write a dotted path'],
    [{ text: '{jsn:a}' }, '.text', 'unknown placeholder `{jsn:a}`'],
    [{ text: '{foo-bar}' }, '.text', 'unknown placeholder `{foo-bar}`'],
    [{ text: '{nothing?}' }, '.text', 'unknown placeholder `{nothing?}`'],
    [{ text: '{v}' }, '.text', '`{v}` is a value that is not defined yet'],
    [{ text: '{host}' }, '.text', '`{host}` is a part of the call and the name of a credential'],
    [{ text: '{path:id}' }, '.text', '`{path:id}` must be a segment `{id}` of every entry of `calls`'],
    [{ text: '{header:Authorization}' }, '.text', '`{header:Authorization}` cannot be read'],
    [{ text: '{header:author_ization}' }, '.text', 'cannot be read'],
    [{ text: '{header:cookie}' }, '.text', 'cannot be read'],
    [{ text: '{header:X_Token}' }, '.text', 'cannot be read by a rule: it comes with the token'],
    [{ text: '{header:transfer-encoding}' }, '.text', 'it belongs to the connection'],
    [{ text: '{header:host}' }, '.text', 'use `{host}`'],
    [{ text: '{secret}{key}' }, '.text', '`{key}` is a private key, which would be sent; it can only be a `key`'],
    [{ sha256: '{key}' }, '.sha256', '`{key}` is a private key'],
    [{ hmac_sha256: '{key}', key: '{key}' }, '.hmac_sha256', '`{key}` is a private key'],
    [{ hmac_sha256: 'a', key: '{json:k}' }, '.key', 'must not depend on the request'],
    [{ hmac_sha256: 'a', key: '{secret}{path}' }, '.key', 'must not depend on the request'],
    [{ rsa_sha256: 'a', key: '{access_token}' }, '.key', 'must be a credential'],
    [{ hmac_sha256: 'a', key: '{secret}', key_encoding: 'hex' }, '.key', 'is not hex'],
    [{ hmac_sha256: 'a', key: '' }, '.key', 'is empty'],
    [
      { aes_256_cbc: 'a', key: '{secret}', iv: '0123456789abcdef' },
      '.key',
      'is the `key` of `aes_256_cbc` and has 14 bytes, but needs 32',
    ],
    [{ hmac_sha256: 'a', key: 'secret' }, '.key', 'is the text `secret` itself; write `{secret}` for its value'],
    [{ rsa_sha256: 'a', key: 'key' }, '.key', 'is the text `key` itself; write `{key}` for its value'],
    [{ rsa_sha256: 'a', key: '{method}' }, '.key', 'must be a credential'],
    [{ rsa_sha256: 'a', key: '{secret}' }, '.key', 'the key is not a key'],
    [{ rsa_sha256: 'a', key: '{key}' }, '.key', 'the key is an EC key on prime256v1; `rsa_sha256` needs an RSA key'],
    [{ ecdsa_sha512: 'a', key: '{key}' }, '.key', '`ecdsa_sha512` needs an EC key on P-521'],
  ];
  it.each(cases)('%j has a problem', (given, path, text) => {
    expect(shown(signProblems([value(given)], scope))).toEqual([[`0.values.v${path}`, expect.stringContaining(text)]]);
  });

  it.each(['secret', 'body', 'access_token', 'Upper', 'a-b'])('cannot be called %s', (name) => {
    const problems = signProblems([rule({ values: { [name]: { text: 'a' } } })], scope);
    expect(problems.map(({ path }) => path)).toEqual([[0, 'values', name]]);
  });

  it('that depends on the request is no key, through other values too', () => {
    const values: SignRule['values'] = {
      a: { text: '{json:k}' },
      b: { sha256: '{a}{secret}' },
      c: { hmac_sha256: 'x', key: '{secret}' },
      d: { hmac_sha256: 'x', key: '{c}' },
      e: { hmac_sha256: 'x', key: '{b}' },
      f: { hmac_sha256: '{json:k}', key: '{secret}' },
      g: { hmac_sha256: 'x', key: '{f}' },
      h: { ecdsa_sha256: 'x', key: '{c}' },
    };
    const paths = signProblems([rule({ values })], scope).map(({ path }) => path.join('.'));
    expect(paths).toEqual(['0.values.e.key', '0.values.g.key', '0.values.h.key']);
  });

  it('is reported once if it has a problem and is used', () => {
    const values: SignRule['values'] = { a: { text: '{nothing}' }, b: { text: '{a}' } };
    expect(signProblems([rule({ values, headers: { A: '{a}{b}' } })], scope)).toHaveLength(1);
  });

  it('names the unknown placeholder with those that are known, and the credential with a bad key', () => {
    const [unknown] = signProblems([value({ text: '{secert}' })], scope);
    expect(unknown?.unknown?.name).toBe('secert');
    expect(unknown?.unknown?.known).toEqual(expect.arrayContaining(['secret', 'access_token', 'body']));
    const [key] = signProblems([value({ rsa_sha256: 'a', key: '{secret}' })], scope);
    expect(key?.credential).toBe('secret');
    expect(JSON.stringify(key)).not.toContain('made-up');
  });
});

describe('a rule', () => {
  const cases: [rule: Partial<SignRule>, path: string, text: string][] = [
    [{ calls: [] }, '.calls', 'is empty'],
    [{ calls: ['/x'] }, '.calls.0', 'must be `METHOD /path`'],
    [{ calls: ['POST x'] }, '.calls.0', 'must be `METHOD /path`'],
    [{ calls: ['post /x'] }, '.calls.0', '`post` is not a method'],
    [{ calls: ['GET /a', 'GET /a*b'] }, '.calls.1', '`*` is allowed only at the end'],
    [{ calls: ['GET /a/{b}c'] }, '.calls.0', 'a placeholder is a whole segment'],
    [{ calls: ['GET /{a}*'] }, '.calls.0', 'a placeholder is a whole segment'],
    [{ calls: ['GET /{a}/{a}'] }, '.calls.0', 'has `{a}` twice'],
    [{ calls: ['GET /a?b=c'] }, '.calls.0', 'query'],
    [{ calls: ['GET /a//b'] }, '.calls.0', '`//`'],
    [{ calls: ['GET /a/../b'] }, '.calls.0', '`..`'],
    [{ headers: {} }, '', 'puts its values nowhere'],
    [{ json: { a: 'b' }, form: { a: 'b' } }, '.form', 'a body is JSON or a form'],
    [{ headers: { 'X-A': 'b', x_a: 'c' } }, '.headers.x_a', 'is the same header as another'],
    [{ headers: { 'X A': 'b' } }, '.headers.X A', 'is not a header name'],
    [{ headers: { Authorization: 'b' } }, '.headers.Authorization', 'only on a route with `token: none`'],
    [{ headers: { A: 'b\nc' } }, '.headers.A', 'has a line break'],
    [{ headers: { Cookie: 'b' } }, '.headers.Cookie', 'cannot be set by a rule'],
    [{ headers: { 'X-Token': 'b' } }, '.headers.X-Token', 'it comes with the token'],
    [{ headers: { Via: 'b' } }, '.headers.Via', 'Wakala writes it'],
    [{ headers: { Host: 'b' } }, '.headers.Host', 'it belongs to the connection'],
    [{ headers: { 'Content-Length': '1' } }, '.headers.Content-Length', 'it belongs to the connection'],
    [{ headers: { Connection: 'b' } }, '.headers.Connection', 'it belongs to the connection'],
    [{ headers: { 'Proxy-X': 'b' } }, '.headers.Proxy-X', 'it belongs to the connection'],
    [{ json: { a: '{nothing}' } }, '.json.a', 'unknown placeholder `{nothing}`'],
    [{ calls: ['GET /{a}', 'GET /b'], headers: { A: '{path:a}' } }, '.headers.A', 'of every entry of `calls`'],
  ];
  it.each(cases)('%j has a problem', (given, path, text) => {
    expect(shown(signProblems([rule(given)], scope))).toEqual([[`0${path}`, expect.stringContaining(text)]]);
  });

  it('may set Authorization without a token', () => {
    expect(signProblems([rule({ headers: { Authorization: 'b' } })], { ...scope, maySetAuthorization: true })).toEqual(
      [],
    );
  });

  it('with a problem is never applied', () => {
    expect(() => new Signer([rule({ headers: { A: '{nothing}' } })], scope)).toThrow(TypeError);
  });

  it('may use a credential whose value is not known yet', () => {
    const emulated: SignScope = { ...scope, credentials: new Map([['key', undefined]]) };
    const values: SignRule['values'] = {
      a: { rsa_sha256: '{key}', key: '{key}' },
      b: { hmac_sha256: 'a', key: '{key}' },
    };
    expect(signProblems([rule({ values })], emulated)).toEqual([]);
  });
});

describe('a later rule that changes what an earlier one signed', () => {
  const reads = (text: string, call = 'POST /x') => ({ calls: [call], headers: { A: text } });
  const fields = (f: DerivedValue) => ({ calls: ['POST /x'], values: { f }, headers: { A: '{f}' } });
  const json = { json: { a: '1' } };
  const cases: [earlier: SignRule, later: Partial<SignRule>, path: string | undefined][] = [
    [reads('{body}'), json, 'json.a'],
    [reads('{body_minified}'), json, 'json.a'],
    [reads('{json:a.b}'), json, 'json.a'],
    [reads('{json:b}'), json, undefined],
    [reads('{header:content-digest}'), json, 'json.a'],
    [reads('{form:a}'), { form: { a: '1' } }, 'form.a'],
    [reads('{target}'), { query: { a: '1' } }, 'query.a'],
    [reads('{query:b}'), { query: { a: '1' } }, undefined],
    [reads('{path}'), { query: { a: '1' } }, undefined],
    [reads('{header:x-b}'), { headers: { X_B: '1' } }, 'headers.X_B'],
    [reads('1'), { headers: { a: '2' } }, 'headers.a'],
    [fields({ fields: ['json'] }), json, 'json.a'],
    [fields({ fields: ['json'], except: ['a'] }), json, undefined],
    [fields({ fields: ['json'], except: ['b'] }), json, 'json.a'],
    [fields({ fields: ['json:a.c'], except: ['a'] }), json, 'json.a'],
    [fields({ fields: ['json:b'] }), json, undefined],
    [fields({ fields: ['query'] }), json, undefined],
    [fields({ fields: ['query', 'form'], except: ['b'] }), { form: { a: '1', b: '2' } }, 'form.a'],
    [fields({ fields: ['query'], except: ['a'] }), { query: { a: '1' } }, undefined],
    [fields({ fields: ['query'] }), { query: { a: '1' } }, 'query.a'],
    [reads('{body}', 'GET /x'), json, undefined],
    [reads('{body}', 'POST /y'), json, undefined],
    [reads('{body}', '* /*'), json, 'json.a'],
    [reads('{body}', 'POST /{any}'), json, 'json.a'],
    [reads('{body}', 'POST /x/*'), json, undefined],
    [reads('{body}', 'POST /x*'), json, 'json.a'],
    [reads('{body}', 'POST /{any}/*'), json, undefined],
    [reads('{body}', 'POST /'), json, undefined],
  ];
  it.each(cases)('%j, then %j: %s', (earlier, later, path) => {
    const rules = [earlier, { calls: ['POST /x'], ...later }];
    expect(signProblems(rules, scope).map((problem) => problem.path.join('.'))).toEqual(
      path === undefined ? [] : [`1.${path}`],
    );
    expect(signProblems([...rules].reverse(), scope).filter(({ path: at }) => at[1] !== 'headers')).toEqual([]);
  });
});

describe('values of token requests', () => {
  const tokenScope = { ...scope, names: ['refresh_token'], hasRequest: false };
  const problemsOf = (values: Record<string, DerivedValue>) => {
    const problems: SignProblem[] = [];
    const compiled = new CompiledValues(values, tokenScope, (problem) => problems.push(problem));
    return { compiled, problems };
  };

  it('know credentials, earlier values and the refresh token only', async () => {
    const { compiled, problems } = problemsOf({
      a: { text: '{secret}' },
      b: { text: '{a}{refresh_token}', encoding: 'hex' },
    });
    expect(problems).toEqual([]);
    const { byName, secrets } = await compiled.compute(() => 'rt', 0);
    expect(byName.get('b')).toBe(Buffer.from('made-up-secretrt').toString('hex'));
    expect(secrets).toHaveLength(2);
    const bad = problemsOf({ a: { text: '{body}' }, b: { text: '{access_token}' }, c: { fields: ['json'] } });
    expect(bad.problems.map(({ path }) => path.join('.'))).toEqual(['a.text', 'b.text', 'c.fields']);
  });
});

describe('the computed value of the header with the token', () => {
  const headerScope = { ...scope, hasRequest: false };

  it('knows credentials and the token', async () => {
    const given = { text: '{access_token}:{secret}', encoding: 'base64' } as const;
    const header = new HeaderValue(given, headerScope, ({ text }) => expect.unreachable(text));
    expect(await header.compute('token', 0)).toBe(Buffer.from('token:made-up-secret').toString('base64'));
  });

  it('is refused if it cannot be sent in a header', async () => {
    const header = new HeaderValue({ text: '{access_token}\n' }, headerScope, ({ text }) => expect.unreachable(text));
    await expect(header.compute('made-up-token', 0)).rejects.toMatchObject({ code: 'signature_impossible' });
  });

  it('is never computed from a template with a problem', async () => {
    const problems: SignProblem[] = [];
    const header = new HeaderValue({ text: '{path}' }, headerScope, (problem) => problems.push(problem));
    expect(problems.map(({ path }) => path)).toEqual([['text']]);
    await expect(header.compute('made-up-token', 0)).rejects.toMatchObject({ code: 'signature_impossible' });
  });
});
