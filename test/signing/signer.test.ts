import { describe, expect, it } from 'vitest';
import type { SignRule } from '../../src/providers/sign-rule.ts';
import { Signer } from '../../src/signing/signer.ts';
import { countingBytes, header, NOW_MS, requestOf, scopeOf, signed } from './support.ts';

const scope = scopeOf({ secret: 'made-up-secret', label: 'public-label' }, { publicCredentials: new Set(['label']) });

/** A rule that writes a template into the header X-V. */
const shows = (text: string, calls = ['* /*']): SignRule => ({ calls, headers: { 'X-V': text } });

describe('the calls of a rule', () => {
  const cases: [pattern: string, call: string, expected: string | undefined][] = [
    ['POST /v1/pay', 'POST /v1/pay', ''],
    ['POST /v1/pay', 'GET /v1/pay', undefined],
    ['* /v1/pay', 'PATCH /v1/pay', ''],
    ['GET /v1/pay', 'HEAD /v1/pay', undefined],
    ['POST /v1/pay', 'POST /v1/pay/', undefined],
    ['POST /v1/pay/', 'POST /v1/pay', undefined],
    ['POST /v1/pay', 'POST /V1/pay', undefined],
    ['POST /v1/pay', 'POST /v1/p%61y', undefined],
    ['POST /v1/pay', 'POST /v1%2fpay', undefined],
    ['POST /v1/pay', 'POST //v1/pay', undefined],
    ['POST /v1/pay', 'POST /v1/pay;x=1', undefined],
    ['GET /a/{x}/b', 'GET /a/1/b', '1'],
    ['GET /a/{x}/b', 'GET /a//b', undefined],
    ['GET /a/{x}', 'GET /a/', undefined],
    ['GET /a/{x}', 'GET /a/1/2', undefined],
    ['GET /a/{x}', 'GET /a/%31%2F', '%31%2F'],
    ['GET /a/{x}/*', 'GET /a/1/', '1'],
    ['GET /a/{x}/*', 'GET /a/1/2/3', '1'],
    ['GET /a/{x}/*', 'GET /a/1', undefined],
    ['GET /a*', 'GET /abc/d', ''],
    ['* /*', 'GET /', ''],
  ];
  it.each(cases)('%s matches %s: %s', async (pattern, call, expected) => {
    const rule = shows(pattern.includes('{x}') ? '{path:x}' : '', [pattern]);
    const request = requestOf(call);
    const signer = new Signer([rule], scope).for(request.method, request.path);
    expect(signer && header(await signer.sign(request), 'X-V')).toBe(expected);
  });

  it('apply once for each rule, from top to bottom', async () => {
    const rules = [
      { calls: ['GET /a/*', 'GET /a/b'], headers: { 'X-A': '1' } },
      { calls: ['GET /a/b', 'GET /a/{c}'], headers: { 'X-B': '{header:x-a}' } },
      { calls: ['POST /a/b'], headers: { 'X-C': '3' } },
    ];
    const { headers } = await signed(rules, scope, requestOf('GET /a/b'));
    expect(headers).toEqual(['X-A', '1', 'X-B', '1']);
  });

  it('of which several match name the segments by the first', async () => {
    const rule = shows('{path:x}', ['GET /{x}/{y}', 'GET /{y}/{x}']);
    expect(header(await signed([rule], scope, requestOf('GET /a/b')), 'X-V')).toBe('a');
  });
});

describe('a placeholder', () => {
  const request = requestOf('POST /pay/1?a=b%20c&d=', {
    basePath: '/base',
    body: '{ "n": 1.50, "s": "é{secret}", "o": {"a.b": [false, "x"]} }',
    headers: ['X-One', 'a b', 'content-type', 'application/json'],
  });
  const cases: [template: string, expected: string][] = [
    ['{method} {host}', 'POST api.example.com'],
    ['{path}', '/base/pay/1'],
    ['{call_path}', '/pay/1'],
    ['{query}', 'a=b%20c&d='],
    ['{target}', '/base/pay/1?a=b%20c&d='],
    ['{body_minified}', '{"n":1.50,"s":"é{secret}","o":{"a.b":[false,"x"]}}'],
    ['{query:a}|{query:d}|{query:e?}', 'b c||'],
    ['{json:n}|{json:s}|{json:missing?}', '1.50|é{secret}|'],
    [String.raw`{json:o.a\.b.0}{json:o.a\.b.1}`, 'falsex'],
    ['{header:X-ONE}|{header:missing?}', 'a b|'],
    ['{access_token} {secret} {label}', 'emulated-token made-up-secret public-label'],
    ['\\{method} {}', '{method} {}'],
  ];
  it.each(cases)('%s', async (template, expected) => {
    const value = header(await signed([shows(template)], scope, request), 'X-V') ?? '';
    expect(Buffer.from(value, 'latin1').toString()).toBe(expected);
  });

  it('of the body is empty if there is no body', async () => {
    const get = requestOf('GET /x');
    expect(header(await signed([shows('[{body}{body_minified}{json:a?}]')], scope, get), 'X-V')).toBe('[]');
  });

  it('of a form reads a form', async () => {
    const headers = ['Content-Type', 'Application/X-WWW-Form-Urlencoded;charset=UTF-8'];
    const form = requestOf('POST /x', { body: 'a=1+2&b=%26', headers });
    expect(header(await signed([shows('{form:a}{form:b}{form:c?}')], scope, form), 'X-V')).toBe('1 2&');
  });
});

describe('signature_impossible', () => {
  const json = (body: string, headers = ['Content-Type', 'application/json']) =>
    requestOf('POST /x', { body, headers });
  const cases: [fact: string, rule: SignRule, request: ReturnType<typeof requestOf>, named: string][] = [
    ['a missing member', shows('{json:a.b}'), json('{"a":{}}'), 'no member `a.b`'],
    ['a member that is null', shows('{json:a}'), json('{"a":null}'), '`a`'],
    ['a missing header', shows('{header:x-a}'), json('{}'), 'no header `x-a`'],
    [
      'a header with two lines',
      shows('{header:x-a}'),
      json('{}', ['X-A', '1', 'x-a', '2']),
      'header `x-a` more than once',
    ],
    [
      'a header in two spellings',
      shows('{header:x-a}'),
      json('{}', ['X-A', '1', 'x_a', '2']),
      'header `x-a` more than once',
    ],
    ['a missing parameter', shows('{query:a}'), json('{}'), 'no parameter `a`'],
    ['a parameter that occurs twice', shows('{query:a}'), requestOf('GET /x?a=1&a=2'), '`a` occurs twice'],
    ['a form field without the type of a form', shows('{form:a}'), json('a=1'), 'Content-Type'],
    ['a body with a Content-Encoding', shows('{body}'), json('{}', ['Content-Encoding', 'gzip']), 'Content-Encoding'],
    [
      'a target in a body with a Content-Encoding',
      { calls: ['* /*'], json: { a: 'b' } },
      json('{}', ['content-encoding', 'br']),
      'Content-Encoding',
    ],
    ['a body that is an array', { calls: ['* /*'], json: { a: 'b' } }, json('[]'), 'not a JSON object'],
    ['a body that is missing', { calls: ['* /*'], json: { a: 'b' } }, requestOf('POST /x'), 'body is empty'],
    ['a line break in a header', shows('{json:a}'), json(String.raw`{"a":"x\r\nX-Evil: 1"}`), 'header `X-V`'],
    ['a missing token', shows('{access_token}'), requestOf('GET /x', { accessToken: undefined }), '{access_token}'],
  ];
  it.each(cases)('%s', async (_, rule, request, named) => {
    const failure = signed([rule], scope, request);
    await expect(failure).rejects.toMatchObject({ code: 'signature_impossible', outcome: 'not_sent', status: 400 });
    await expect(failure).rejects.toThrow(named);
    await expect(failure).rejects.toThrow('The signing rule for `* /*` needs it. Nothing was sent.');
    await expect(failure).rejects.not.toThrow('Evil');
  });
});

describe('a group of members', () => {
  const rule: SignRule = { calls: ['* /*'], values: { n: { now: 'epoch_s' } }, json: { a: '{n}', b: '{json:id}' } };
  const cases: [fact: string, body: string, expected: string][] = [
    ['is appended', '{"id":"7"}', '{"id":"7","a":"1767268800","b":"7"}'],
    [
      'is replaced where it stands if a part of it is there',
      '{"b" : null , "id":"7"}',
      '{"b" : "7" , "id":"7","a":"1767268800"}',
    ],
    ['is replaced if it is empty', '{"a":"","b":null,"id":"7"}', '{"a":"1767268800","b":"7","id":"7"}'],
    ['is replaced if a part of it is empty', '{"a":"1","b":"","id":"7"}', '{"a":"1767268800","b":"7","id":"7"}'],
    ['stays if the app sent all of it', '{ "a":1, "b":"x" }', '{ "a":1, "b":"x" }'],
  ];
  it.each(cases)('%s', async (_, body, expected) => {
    expect(String((await signed([rule], scope, requestOf('POST /x', { body }))).body)).toBe(expected);
  });

  it('of a query is appended, and one that the app sent stays', async () => {
    const query: SignRule = { calls: ['* /*'], query: { sig: 'a b&', t: '1' } };
    expect((await signed([query], scope, requestOf('GET /x'))).query).toBe('?sig=a%20b%26&t=1');
    expect((await signed([query], scope, requestOf('GET /x?q=1&t=0'))).query).toBe('?q=1&t=1&sig=a%20b%26');
    expect((await signed([query], scope, requestOf('GET /x?t=0&sig=x'))).query).toBe('?t=0&sig=x');
    expect((await signed([query], scope, requestOf('GET /x?t=0&sig='))).query).toBe('?t=1&sig=a%20b%26');
  });

  it('of a form is appended', async () => {
    const form: SignRule = { calls: ['* /*'], form: { pin: '{secret}' } };
    const headers = ['content-type', 'application/x-www-form-urlencoded'];
    const { body } = await signed([form], scope, requestOf('POST /x', { body: 'a=%41', headers }));
    expect(String(body)).toBe('a=%41&pin=made-up-secret');
    const empty = await signed([form], scope, requestOf('POST /x', { body: 'pin=&a=1', headers }));
    expect(String(empty.body)).toBe('pin=made-up-secret&a=1');
  });

  it('stays, but headers of the same rule are set', async () => {
    const both: SignRule = { ...rule, json: { a: '1' }, headers: { 'X-V': '{body}' } };
    const { body, headers } = await signed([both], scope, requestOf('POST /x', { body: '{"a":"app"}' }));
    expect(String(body)).toBe('{"a":"app"}');
    expect(headers.slice(-2)).toEqual(['X-V', '{"a":"app"}']);
  });
});

describe('headers', () => {
  it('of a rule replace those of the app in every spelling', async () => {
    const headers = ['x-v', '1', 'X_V', '2', 'xv', '3', 'X-Other', '4'];
    expect((await signed([shows('own')], scope, requestOf('GET /x', { headers }))).headers).toEqual([
      'X-Other',
      '4',
      'X-V',
      'own',
    ]);
  });

  it('of the app that describe the body go when the body changes, and those of the rule stay', async () => {
    const headers = ['Digest', '1', 'content-digest', '2', 'Content_MD5', '3', 'Repr-Digest', '4', 'X-Other', '5'];
    const rule: SignRule = {
      calls: ['* /*'],
      json: { a: 'b' },
      headers: { 'Content-Digest': 'own' },
    };
    const changed = await signed([rule], scope, requestOf('POST /x', { body: '{}', headers }));
    expect(changed.headers).toEqual(['X-Other', '5', 'Content-Digest', 'own']);
    const later = [{ calls: ['* /*'], headers: { Digest: 'own' } }, rule];
    expect(header(await signed(later, scope, requestOf('POST /x', { body: '{}', headers })), 'Digest')).toBe('own');
    const unchanged = await signed([shows('v')], scope, requestOf('POST /x', { body: '{}', headers }));
    expect(unchanged.headers).toEqual([...headers, 'X-V', 'v']);
  });

  it('of the app are not changed in its list', async () => {
    const headers = ['X-V', '1'];
    await signed([shows('own')], scope, requestOf('GET /x', { headers }));
    expect(headers).toEqual(['X-V', '1']);
  });
});

it('shows each rule the request after the rules above it', async () => {
  const rules: SignRule[] = [
    { calls: ['* /*'], json: { a: '1' }, query: { q: '{json:a?}' } },
    { calls: ['* /*'], values: { v: { text: '{body}{query}' } }, headers: { 'X-V': '{v}' } },
  ];
  expect(header(await signed(rules, scope, requestOf('POST /x', { body: '{}' })), 'X-V')).toBe('{"a":"1"}q=1');
});

it('shows each rule the form and the query that the rules above it wrote', async () => {
  const rules = (['form', 'query'] as const).flatMap((target) => [
    { calls: ['POST /x'], [target]: { b: `{${target}:a}1` } },
    { calls: ['POST /x'], headers: { [target]: `{${target}:a}{${target}:b}` } },
  ]);
  const headers = ['Content-Type', 'application/x-www-form-urlencoded'];
  const request = requestOf('POST /x?a=q', { body: 'a=f', headers });
  const result = await signed(rules, scopeOf({}), request);
  expect([result.query, String(result.body)]).toEqual(['?a=q&b=q1', 'a=f&b=f1']);
  expect(header(result, 'form')).toBe('ff1');
  expect(header(result, 'query')).toBe('qq1');
});

describe('a second attempt', () => {
  it('starts from the request of the app, with new times and tokens, and keeps `uuid` and `random`', async () => {
    let calls = 0;
    const changing = {
      ...scope,
      randomBytes: (size: number) => {
        calls += 1;
        return Buffer.concat([Buffer.from([calls]), countingBytes(size - 1)]);
      },
    };
    const rule: SignRule = {
      calls: ['* /*'],
      values: { id: { uuid: 'v4' }, n: { random: 2 }, at: { now: 'epoch_s' } },
      json: { t: '{at}' },
      headers: { 'X-V': '{id} {n} {at} {access_token}' },
    };
    const call = new Signer([rule], changing).for('POST', '/x');
    const first = await call?.sign(requestOf('POST /x', { body: '{}' }));
    const later = { body: '{}', nowMs: NOW_MS + 5000, accessToken: 'next-token' };
    const second = await call?.sign(requestOf('POST /x', later));
    const id = '01000102-0304-4506-8708-090a0b0c0d0e';
    expect(first && header(first, 'X-V')).toBe(`${id} 0200 1767268800 emulated-token`);
    expect(second && header(second, 'X-V')).toBe(`${id} 0200 1767268805 next-token`);
    expect(String(second?.body)).toBe('{"t":"1767268805"}');
    const other = await new Signer([rule], changing).for('POST', '/x')?.sign(requestOf('POST /x', { body: '{}' }));
    expect(other && header(other, 'X-V')).not.toContain(id);
  });
});

describe('the values that must not be shown', () => {
  it('are those with a secret, a key, random bytes or the token in them', async () => {
    const rule: SignRule = {
      calls: ['* /*'],
      values: {
        at: { now: 'epoch_s' },
        id: { uuid: 'v4' },
        open: { text: '{label}{at}{json:a}' },
        digest: { sha256: '{body}' },
        nonce: { random: 2 },
        basic: { text: 'u:{secret}', encoding: 'base64' },
        hash: { sha256: '{basic}', encoding: 'hex' },
        mac: { hmac_sha256: '{open}', key: '{label}' },
        bearer: { text: '{access_token}', encoding: 'hex' },
      },
      headers: { 'X-V': '{mac}' },
    };
    const { secrets } = await signed([rule], scope, requestOf('POST /x', { body: '{"a":"b"}' }));
    expect(secrets).toHaveLength(5);
    expect(secrets.slice(0, 2)).toEqual(['0001', Buffer.from('u:made-up-secret').toString('base64')]);
    expect(secrets.at(-1)).toBe(Buffer.from('emulated-token').toString('hex'));
  });

  it('are those that read what an earlier rule wrote a secret into', async () => {
    const rules: SignRule[] = [
      { calls: ['* /*'], json: { pin: '{secret}' }, headers: { 'X-Key': '{secret}', 'X-Open': '1' } },
      {
        calls: ['* /*'],
        values: {
          whole: { text: '{body}', encoding: 'base64' },
          key: { text: '{header:x-key}', encoding: 'hex' },
          open: { text: '{header:x-open}{query}' },
        },
        headers: { 'X-V': '{body}' },
      },
    ];
    const { secrets } = await signed(rules, scope, requestOf('POST /x', { body: '{}' }));
    expect(secrets).toEqual([
      Buffer.from('{"pin":"made-up-secret"}').toString('base64'),
      Buffer.from('made-up-secret').toString('hex'),
    ]);
    const inQuery: SignRule = { calls: ['* /*'], values: { t: { text: '{target}' } }, headers: { 'X-V': '{t}' } };
    const call = requestOf('GET /x?access_token=emulated-token');
    expect((await signed([inQuery], { ...scope, hasTokenInQuery: true }, call)).secrets).toHaveLength(1);
    expect((await signed([inQuery], scope, call)).secrets).toEqual([]);
  });
});

describe('the body is needed', () => {
  const cases: [needsBody: boolean, rule: Omit<SignRule, 'calls'>][] = [
    [false, { headers: { A: '{method}{target}{header:x}' } }],
    [false, { query: { a: '1' }, values: { q: { fields: ['query'] } } }],
    [true, { json: { a: '1' } }],
    [true, { form: { a: '1' } }],
    [true, { headers: { A: '{json:a?}' } }],
    [true, { headers: { A: '{v}' }, values: { v: { sha256: '{body}' } } }],
    [true, { headers: { A: '{v}' }, values: { v: { fields: ['form'] } } }],
  ];
  it.each(cases)('%s for %j', (needsBody, rule) => {
    expect(new Signer([{ calls: ['* /*'], ...rule }], scope).for('POST', '/x')?.needsBody).toBe(needsBody);
  });

  it('passes a body that no rule reads', async () => {
    const request = requestOf('POST /x', { body: '\u0000' });
    expect((await signed([shows('v')], scope, request)).body).toBe(request.body);
  });
});
