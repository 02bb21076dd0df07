import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  maskedBody,
  maskedCall,
  maskedHeaders,
  maskedPath,
  maskedQuery,
  maskedUnknownPath,
  maskedUrl,
} from '../../src/telemetry/mask.ts';
import { isSecretName } from '../../src/telemetry/mask-text.ts';

const UUID = '123e4567-e89b-12d3-a456-426614174000';
const TOKEN = 'abcdefghijklmnopqrstuvwxyz0123456789';
const CARD = '4111111111111111';
const JSON_IN_BASE64 = Buffer.from('{"pin":"1234"}').toString('base64url');
/** As long as a header block may be. */
const LONG = 15 * 1024;

const encoded = (text: string) => Array.from(text, (each) => `%${each.charCodeAt(0).toString(16)}`).join('');

describe('headers', () => {
  it('show only the values of allowed names, in any case', () => {
    const shown = maskedHeaders([
      'Content-Type',
      'application/json',
      'AUTHORIZATION',
      'Bearer x',
      'X-Api',
      'y',
      'Cookie',
      'z',
    ]);
    expect(shown).toEqual([
      ['Content-Type', 'application/json'],
      ['AUTHORIZATION', '[redacted]'],
      ['X-Api', '[redacted]'],
      ['Cookie', '[redacted]'],
    ]);
  });

  it.each([
    [
      'x-callback-url',
      `https://shop.example/cb/${TOKEN}?ticket=abc`,
      'https://shop.example/cb/[redacted]?ticket=[redacted]',
    ],
    ['origin', 'https://user:word@shop.example', 'https://[redacted]@shop.example'],
    ['idempotency-key', `order-${'key'.repeat(20)}`, `order-${'key'.repeat(20)}`],
    ['user-agent', 'shop/1.0 254712345678', 'shop/1.0 254•••78'],
    ['traceparent', `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`, `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`],
  ])('%s: %s is shown as %s', (name, value, shown) => {
    expect(maskedHeaders([name, value])).toEqual([[name, shown]]);
  });

  it('are limited in length and number', () => {
    const [[name, value] = []] = maskedHeaders(['user-agent', 'x '.repeat(LONG)]);
    expect([name, value?.length, value?.endsWith('[cut]')]).toEqual(['user-agent', 517, true]);
    const many = maskedHeaders(Array.from({ length: 1000 }, (_, i) => ['accept', `${i}`]).flat());
    expect([many.length, many.at(-1)]).toEqual([201, ['[cut]', '800 more lines']]);
  });
});

describe('paths', () => {
  it.each([
    ['/mpesa/stkpush/v1/processrequest', '/mpesa/stkpush/v1/processrequest'],
    [`/transactions/${UUID}`, `/transactions/${UUID}`],
    [`/auth/refresh/${TOKEN}`, '/auth/refresh/[redacted]'],
    ['/customers/254712345678/limits', '/customers/254•••78/limits'],
    ['/customers/+254712345678', '/customers/+254•••78'],
    ['/customers/%2B254712345678', '/customers/%2B254•••78'],
    ['/customers/254-712-345-678', '/customers/254•••78'],
    ['/to.254712345678.json', '/to.254•••78.json'],
    ['/v1/12345678', '/v1/12345678'],
    ['/v1/2026-11-22/10', '/v1/2026-11-22/10'],
    ['/cards/4111%201111%201111%201111', '/cards/411•••11'],
    ['/cards/4111+1111+1111+1111', '/cards/411•••11'],
    ['/cards/3782-822463-10005', '/cards/378•••05'],
    [`/cards/${encoded(CARD)}`, '/cards/411•••11'],
    [`/cards/${encoded(encoded(CARD))}`, '/cards/411•••11'],
    [`/cards/${CARD}${'0'.repeat(8)}`, '/cards/411•••00'],
    [`/pay/${JSON_IN_BASE64}`, '/pay/[redacted]'],
    [`/pay/${Buffer.from('[{ "pin": 1234 }]').toString('base64')}`, '/pay/[redacted]='],
    ['/pay;pin=1234/x', '/pay;pin=[redacted]/x'],
    ['/proxy/Bearer%20abc', '/proxy/Bearer%20[redacted]'],
    ['', ''],
  ])('%s is shown as %s', (path, shown) => {
    expect(maskedPath(path)).toBe(shown);
  });

  it('that may be token paths show no long segment, not even a UUID', () => {
    expect(maskedUnknownPath(`/paypak/auth/refresh/${UUID}`)).toBe('/paypak/auth/refresh/[redacted]');
    expect(maskedUnknownPath('/mpesax/stkpush')).toBe('/mpesax/stkpush');
    expect(maskedUnknownPath('/a/123456789012345')).toBe('/a/123•••45');
  });

  it.each([maskedPath, maskedUnknownPath])('are cut between two segments and marked (%o)', (mask) => {
    expect(mask(`/pay/${'a/'.repeat(LONG)}`)).toBe(`/pay/${'a/'.repeat(253)}[cut]`);
    expect(mask(`/${'x'.repeat(LONG)}`)).toBe('/[cut]');
    expect(mask(`/${'x/'.repeat(250)}${CARD}`)).not.toContain('4111');
  });

  it('that were masked before do not change', () => {
    for (const path of [`/a/${TOKEN}/254712345678`, `/${'a/'.repeat(LONG)}`]) {
      expect(maskedPath(maskedPath(path))).toBe(maskedPath(path));
    }
  });
});

describe('queries', () => {
  it.each([
    ['', ''],
    ['?limit=20&offset=0', '?limit=20&offset=0'],
    ['?access_token=abc&x=1', '?access_token=[redacted]&x=1'],
    ['?msisdn=254712345678', '?msisdn=254•••78'],
    ['?phone=%2B254+712+345+678', '?phone=%2B254•••78'],
    [`?cursor=${TOKEN}`, '?cursor=[redacted]'],
    [`?id=${UUID}`, `?id=${UUID}`],
    ['?api_key=k&apiKey=k&api-key=k', '?api_key=[redacted]&apiKey=[redacted]&api-key=[redacted]'],
    ['?254712345678', '?254•••78'],
    [`?${TOKEN}`, '?[redacted]'],
    ['?254712345678=yes', '?254•••78=yes'],
    ['?n=4111+1111+1111+1111', '?n=411•••11'],
    ['?n=4111%201111%201111%201111', '?n=411•••11'],
    [`?n=${encoded(CARD)}&m=1`, '?n=411•••11&m=1'],
    ['?p%69n=1234', '?p%69n=[redacted]'],
    ['?ticket=ab12', '?ticket=[redacted]'],
    ['?authorization=Bearer%20abc', '?authorization=[redacted]'],
    ['?x=Bearer%20abc.def', '?x=Bearer%20[redacted]'],
    ['?x=Bearer+abc.def', '?x=Bearer+[redacted]'],
    ['?to=/cb?token=abc', '?to=/cb?token=[redacted]'],
    ['?to=cb%3Fpin%3D1234%26a%3D1', '?to=cb%3Fpin%3D[redacted]%26a%3D1'],
    ['?data={%22pin%22:%221234%22}', '?data={%22pin%22:%22[redacted]%22}'],
  ])('%s is shown as %s', (query, shown) => {
    expect(maskedQuery(query)).toBe(shown);
  });

  it('are cut between two pairs and marked', () => {
    expect(maskedQuery(`?a=1&${'b=2&'.repeat(LONG)}`)).toBe(`?a=1&${'b=2&'.repeat(127)}[cut]`);
    expect(maskedQuery(`?a=1&pin=${'x'.repeat(LONG)}`)).toBe('?a=1&[cut]');
  });
});

describe('calls and URLs', () => {
  it('are masked in all parts', () => {
    expect(maskedCall('POST /pay/254712345678?ticket=abc')).toBe('POST /pay/254•••78?ticket=[redacted]');
    expect(maskedCall('GET /balance')).toBe('GET /balance');
    expect(maskedUrl('http://127.0.0.1:3000/cb/254712345678?token=abc')).toBe(
      'http://127.0.0.1:3000/cb/254•••78?token=[redacted]',
    );
    expect(maskedUrl('no URL?token=abc')).toBe('no URL?token=[redacted]');
    expect(maskedCall(`POST /${'x'.repeat(LONG)}?${'y'.repeat(LONG)}`)).toBe('POST /[cut]?[cut]');
  });
});

describe('names of fields', () => {
  it.each([
    ...['pin', 'PIN', 'newPin', 'new_pin', 'mpin', 'customerPIN', 'PINCode', 'otp', 'smsOtp', 'passkey', 'password'],
    ...[
      'cvc',
      'cvc2',
      'cvv',
      'CVV2',
      'card[cvc]',
      'card_number',
      'securityCode',
      'pan',
      'track2',
      'x-api-key',
      'apikey',
    ],
    ...[
      'access_token',
      'refreshToken',
      'client_secret',
      'consumer_key',
      'ticket',
      'session_id',
      'sid',
      'jwt',
      'Bearer',
    ],
    ...['SecurityCredential', 'signature', 'auth', 'Authorization', 'Set-Cookie', 'key'],
  ])('%s is secret', (name) => {
    expect(isSecretName(name)).toBe(true);
  });

  it.each([
    ...[
      'amount',
      'shipping',
      'spinner',
      'phone',
      'msisdn',
      'PhoneNumber',
      'idempotency_key',
      'span',
      'company',
      'status',
    ],
    ...['description', 'reference', 'currency', 'TransactionType', 'expand', 'option', 'monkey', 'TransAmount'],
  ])('%s is not secret', (name) => {
    expect(isSecretName(name)).toBe(false);
  });
});

describe('bodies', () => {
  const shown = (value: unknown) => JSON.parse(maskedBody(Buffer.from(JSON.stringify(value)))) as unknown;

  it('hide secret fields, phone numbers and tokens of JSON, at any depth', () => {
    const body = {
      Password: 'x',
      Amount: 100,
      PhoneNumber: 254712345678,
      number: CARD,
      account: 4111111111111111,
      sold: 99_999_999,
      nested: [{ PartyA: '254712345678', passkey: 5, note: 'paid by +254 and more', at: '2026-11-22T10:00:00.000Z' }],
      opaque: TOKEN,
      CallBackURL: 'https://app.example/callbacks/mpesa/with/a/long/path',
      id: UUID,
      token: null,
    };
    expect(shown(body)).toEqual({
      ...body,
      Password: '[redacted]',
      PhoneNumber: '254•••78',
      number: '411•••11',
      account: '411•••11',
      nested: [{ ...body.nested[0], PartyA: '254•••78', passkey: '[redacted]' }],
      opaque: '[redacted]',
    });
  });

  it.each([
    ['grant_type=x&client_secret=abc&phone=254712345678', 'grant_type=x&client_secret=[redacted]&phone=254•••78'],
    ['number=4111%201111%201111%201111&cvc=123&note=a', 'number=411•••11&cvc=[redacted]&note=a'],
    ['number=4111+1111+1111+1111&exp=12', 'number=411•••11&exp=12'],
    ['card%5Bcvc%5D=123&a=1', 'card%5Bcvc%5D=[redacted]&a=1'],
    [
      '<Password>hunter2</Password><Msisdn>254712345678</Msisdn>',
      '<Password>[redacted]</Password><Msisdn>254•••78</Msisdn>',
    ],
    ['<ns:pin type="x">12 34</ns:pin><a>b</a>', '<ns:pin type="x">[redacted]</ns:pin><a>b</a>'],
    [`{"Password": "hunter2", "data": "${TOKEN}", "cut o`, '{"Password": "[redacted]", "data": "[redacted]", "cut o'],
    ['{"password": "two words", "a": 1', '{"password": "[redacted]", "a": 1'],
    ['{"password": "a\\"b\\\\", "a": 1', '{"password": "[redacted]", "a": 1'],
    ['{"card": {"a": "}", "b": ["x"]}, "c": 1', '{"card": [redacted], "c": 1'],
    ['{"p\\u0069n": "1234", "a": 1', '{"p\\u0069n": "[redacted]", "a": 1'],
    ['{"body": "{\\"pin\\": \\"1234\\"}", "a": 1', '{"body": "{\\"pin\\": \\"[redacted]\\"}", "a": 1'],
    ['Sent to 254712345678.', 'Sent to 254•••78.'],
    ['Authorization: Bearer abc\nA: b', 'Authorization: [redacted]\nA: b'],
    [
      '--x\r\nContent-Disposition: form-data; name="pin"\r\n\r\n1234\r\n--x--',
      '--x\r\nContent-Disposition: form-data; name="pin"\r\n\r\n[redacted]\r\n--x--',
    ],
    ['', ''],
  ])('of other formats, or cut, hide them too: %s', (text, masked) => {
    expect(maskedBody(Buffer.from(text))).toBe(masked);
  });

  describe('of cut JSON', () => {
    const SECRETS = {
      pin: 'canary-1',
      mpin: 71_717,
      nested: { CVC2: 717, deeper: [{ otp: 'canary 2, with "quotes" and }' }] },
      card: { number: 'canary-3', list: ['canary-4', { a: 'canary-5' }] },
      phone: '254717171717',
      msisdn: 254717171717,
      spaced: '4717 1717 1717 1717',
      escaped: '%34%37%31%37%31%37%31%37%31%37%31%37%31%37%31%37',
      note: 'Bearer canary-6',
      callback: `https://user:canary-7@shop.example/${'canary8'.repeat(5)}?token=canary-9`,
      embedded: JSON.stringify({ password: 'canary-10', body: JSON.stringify({ secret: 'canary-11' }) }),
      base64: Buffer.from('{"a":"canary-12"}').toString('base64'),
      opaque: 'canary13'.repeat(4),
    };
    const text = JSON.stringify({ ...SECRETS, amount: 100, end: 'of it' });
    const LEAKS = /canary|7171|"717"|%34%37%31|eyJhI/;

    it('hide what they hide when complete', () => {
      const whole = maskedBody(Buffer.from(text));
      const cut = maskedBody(Buffer.from(text.slice(0, -1)), { isCut: true });
      expect(whole).not.toMatch(LEAKS);
      expect(cut).not.toMatch(LEAKS);
      for (const kept of ['"amount":', '"end":', 'https://', 'shop.example/', 'nested']) {
        expect([whole, cut].map((shown) => shown.includes(kept))).toEqual([true, true]);
      }
    });

    it('hide secrets wherever they are cut', () => {
      for (let length = 1; length < text.length; length++) {
        const cut = maskedBody(Buffer.from(text.slice(0, length)), { isCut: true });
        expect(cut.replace('[cut]', '')).not.toMatch(LEAKS);
      }
    });
  });

  it('that are cut within a number or a word are shown without it', () => {
    expect(maskedBody(Buffer.from('Paid by 2547123'), { isCut: true })).toBe('Paid by [cut]');
    expect(maskedBody(Buffer.from(`Paid with ${TOKEN.slice(0, 30)}`), { isCut: true })).toBe('Paid with [cut]');
    expect(maskedBody(Buffer.from('Shillings, é').subarray(0, -1), { isCut: true })).toBe('Shillings, [cut]');
  });

  it('are only counted if they are binary, or cannot be decoded', () => {
    expect(maskedBody(Buffer.from([0, 1, 2, 3]))).toBe('4 bytes that are no text');
    expect(maskedBody(gzipSync('hello').subarray(0, 10), { codings: 'gzip' })).toBe('10 bytes that are no text');
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['gzip, br', (text: string) => brotliCompressSync(gzipSync(text))],
  ])('are decoded from %s, as far as possible if they are cut', (codings, encode) => {
    expect(maskedBody(encode('{"pin":"1234"}'), { codings })).toBe('{\n  "pin": "[redacted]"\n}');
    const encoded = encode(Array.from({ length: 20_000 }, (_, i) => `line ${i * 7919}`).join(', '));
    const shown = maskedBody(encoded.subarray(0, -1000), { codings, isCut: true });
    expect(shown).toMatch(/^line 0, line 7919, .*\[cut\]$/s);
  });

  it('have no secret, also if it is in a body that is longer than 1 MiB when decoded, or behind the end', () => {
    const secret = 'the real token of this route';
    const redact = (text: string) => text.replaceAll(secret, '[redacted]');
    const long = gzipSync(`${secret} ${'a b '.repeat(500_000)}`);
    expect(maskedBody(long, { codings: 'gzip', redact }).slice(0, 14)).toBe('[redacted] a b');
    const atTheEnd = `${'a b '.repeat(16 * 1024 - 2)}${secret}`;
    expect(maskedBody(Buffer.from(atTheEnd), { redact })).not.toContain('the real');
  });

  it('are limited to 64 KiB after decompression', () => {
    for (const bytes of [100_000, 100_000_000]) {
      const shown = maskedBody(gzipSync(Buffer.alloc(bytes, 'a b ')), { codings: 'gzip' });
      expect(shown.length).toBeGreaterThan(16 * 1024);
      expect(shown.length).toBeLessThanOrEqual(64 * 1024 + 6);
      expect(shown).toMatch(/\[cut\]$/);
    }
  });

  it('do not grow when they are nested deeply', () => {
    const deep = '['.repeat(8192) + ']'.repeat(8192);
    expect(maskedBody(Buffer.from(deep)).length).toBeLessThan(64 * 1024);
    const wide = `${'['.repeat(60)}${'0,'.repeat(8000)}0${']'.repeat(60)}`;
    expect(maskedBody(Buffer.from(wide))).toMatch(/\n\[cut\]$/);
  });
});
