import {
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  verify,
} from 'node:crypto';
import { stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { decryptedPkcs1, EMULATED_PRIVATE_KEY, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';
import type { DerivedValue, SignRule } from '../../src/providers/sign-rule.ts';
import type { SignScope } from '../../src/signing/scope.ts';
import { HeaderValue } from '../../src/signing/value-list.ts';
import { header, NOW_MS, requestOf, scopeOf, signed } from './support.ts';

const TEXT = 'a text of 27 bytes: £ and é';

/** The value of a function, as a header of a call. */
async function valueOf(value: DerivedValue, scope: SignScope = scopeOf({}), call = requestOf('GET /x')) {
  const rule = { calls: ['* /*'], values: { v: value }, headers: { 'X-V': '{v}' } };
  return header(await signed([rule], scope, call), 'X-V') ?? '';
}

describe('a function without key', () => {
  const hash = (name: string) => createHash(name).update('abc').digest();
  const cases: [value: DerivedValue, expected: string][] = [
    [{ text: 'a\\{b} {c d' }, 'a{b} {c d'],
    [{ text: 'abc', encoding: 'base64' }, 'YWJj'],
    [{ text: 'a/b c', percent: true }, 'a%2Fb%20c'],
    [{ text: '£' }, Buffer.from('£').toString('latin1')],
    [{ text: '??>', encoding: 'base64' }, 'Pz8+'],
    [{ text: '??>', encoding: 'base64url' }, 'Pz8-'],
    [{ text: '??>', encoding: 'base64', percent: true }, 'Pz8%2B'],
    [{ text: 'jk', encoding: 'HEX' }, '6A6B'],
    [{ now: 'epoch_ms' }, String(NOW_MS)],
    [{ now: 'epoch_s', plus: 60_000 }, '1767268860'],
    [{ now: 'iso8601', zone: '+03:00', percent: true }, '2026-01-01T15%3A00%3A00%2B03%3A00'],
    [{ random: 4 }, '00010203'],
    [{ random: 3, encoding: 'base64' }, 'AAEC'],
    [{ uuid: 'v4' }, '00010203-0405-4607-8809-0a0b0c0d0e0f'],
    [{ uuid: 'v4', encoding: 'hex' }, '00010203040546078809 0a0b0c0d0e0f'.replace(' ', '')],
    [{ uuid: 'v7' }, `${NOW_MS.toString(16).padStart(12, '0').replace(/^.{8}/, '$&-')}-7607-8809-0a0b0c0d0e0f`],
    [{ sha256: 'abc' }, hash('sha256').toString('base64')],
    [{ sha256: 'abc', encoding: 'HEX' }, hash('sha256').toString('hex').toUpperCase()],
    [{ sha512: 'abc', encoding: 'base64url' }, hash('sha512').toString('base64url')],
  ];
  it.each(cases)('%j', async (value, expected) => {
    expect(await valueOf(value)).toBe(expected);
  });
});

describe('`fields`', () => {
  const json = { body: '{"b":"2","a":1.0,"e":"","sub":{"z":true,"y":"x"},"null":{"a":null}}' };
  const form = { body: 'b=2&a=x%20y', headers: ['content-type', 'application/x-www-form-urlencoded; charset=utf-8'] };
  const cases: [options: Omit<DerivedValue, 'fields'>, fields: string[], call: object, expected: string][] = [
    [{ except: ['sub', 'null'] }, ['json'], json, 'b=2&a=1.0&e='],
    [{ except: ['sub', 'null'], sort: true, empty: 'drop' }, ['json'], json, 'a=1.0&b=2'],
    [{ item: '\\{{name}:{value}}', join: '', sort: true }, ['json:sub'], json, '{y:x}{z:true}'],
    [{ except: ['sub', 'null', 'e'], sort: true }, ['json', 'json:sub'], json, 'a=1.0&b=2&y=x&z=true'],
    [{}, ['form'], form, 'b=2&a=x y'],
    [{ sort: true }, ['query', 'form'], form, 'a=x y&b=2&c=3'],
    [{ except: ['sub', 'null', 'e'], encoding: 'base64' }, ['json'], json, Buffer.from('b=2&a=1.0').toString('base64')],
  ];
  it.each(cases)('with %j of %j', async (options, fields, call, expected) => {
    expect(await valueOf({ fields, ...options }, scopeOf({}), requestOf('POST /x?c=3', call))).toBe(expected);
  });

  it.each([
    ['an object', ['json']],
    ['a member that is null', ['json:null']],
    ['a missing object', ['json:nothing']],
    ['a form that is JSON', ['form']],
  ])('refuses %s', async (_, fields) => {
    const call = requestOf('POST /x', json);
    await expect(valueOf({ fields }, scopeOf({}), call)).rejects.toMatchObject({ code: 'signature_impossible' });
  });
});

describe('a signature verifies', () => {
  const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
  const edwards = generateKeyPairSync('ed25519');
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  const p1363 = { dsaEncoding: 'ieee-p1363' } as const;
  const cases: [
    name: string,
    options: DerivedValue,
    pair: typeof rsa,
    hash: string | null,
    how: object,
    bytes?: number,
  ][] = [
    ['rsa_sha256', {}, rsa, 'sha256', {}, 256],
    ['rsa_pss_sha256', {}, rsa, 'sha256', pss, 256],
    ['ecdsa_sha256', {}, p256, 'sha256', {}],
    ['ecdsa_sha256', { format: 'p1363' }, p256, 'sha256', p1363, 64],
    ['ecdsa_sha512', { format: 'der' }, p521, 'sha512', {}],
    ['ecdsa_sha512', { format: 'p1363' }, p521, 'sha512', p1363, 132],
    ['ed25519', {}, edwards, null, {}, 64],
  ];
  it.each(cases)('%s %j', async (name, options, pair, hash, how, bytes) => {
    const value = { [name]: TEXT, key: '{k}', ...options };
    const result = Buffer.from(await valueOf(value, scopeOf({ k: pem(pair.privateKey) })), 'base64');
    expect(verify(hash, Buffer.from(TEXT), { key: pair.publicKey, ...how }, result)).toBe(true);
    if (bytes !== undefined) expect(result).toHaveLength(bytes);
  });
});

describe('encryption with RSA', () => {
  const scope = scopeOf({ k: EMULATED_PUBLIC_KEY, long: 'x'.repeat(246) });
  const cases: [
    padding: DerivedValue['padding'] & string,
    decrypt: (bytes: Buffer) => Buffer | undefined,
    maxBytes: number,
  ][] = [
    ['pkcs1', (bytes) => decryptedPkcs1(bytes.toString('base64')), 245],
    ['oaep_sha1', (bytes) => privateDecrypt({ key: EMULATED_PRIVATE_KEY, oaepHash: 'sha1' }, bytes), 214],
    ['oaep_sha256', (bytes) => privateDecrypt({ key: EMULATED_PRIVATE_KEY, oaepHash: 'sha256' }, bytes), 190],
  ];
  it.each(cases)('with %s can be undone', async (padding, decrypt, maxBytes) => {
    const encrypt = (text: string) => valueOf({ rsa_encrypt: text, key: '{k}', padding }, scope);
    expect(decrypt(Buffer.from(await encrypt(TEXT), 'base64'))?.toString()).toBe(TEXT);
    expect(decrypt(Buffer.from(await encrypt('x'.repeat(maxBytes)), 'base64'))).toHaveLength(maxBytes);
    await expect(encrypt('x'.repeat(maxBytes + 1))).rejects.toMatchObject({ code: 'signature_impossible' });
  });
});

it('encrypts with AES-256-CBC', async () => {
  const key = Buffer.alloc(32, 7);
  const iv = Buffer.alloc(16, 9);
  const scope = scopeOf({ k: key.toString('hex'), i: iv.toString('hex') });
  const text = await valueOf({ aes_256_cbc: TEXT, key: '{k}', iv: '{i}', key_encoding: 'hex', encoding: 'hex' }, scope);
  const decipher = createDecipheriv('aes-256-cbc', key, iv);
  expect(decipher.update(text, 'hex', 'utf8') + decipher.final('utf8')).toBe(TEXT);
});

describe('a key that is made of the access token', () => {
  const scope = scopeOf({ secret: 'made-up-secret' });

  it('is one for HMAC', async () => {
    const key = 'emulated-token:made-up-secret';
    const value = { hmac_sha256: TEXT, key: '{access_token}:{secret}', encoding: 'hex' } as const;
    expect(await valueOf(value, scope)).toBe(createHmac('sha256', key).update(TEXT).digest('hex'));
    const ofToken = new HeaderValue(value, { ...scope, hasRequest: false }, ({ text }) => expect.unreachable(text));
    expect(await ofToken.compute('emulated-token', NOW_MS)).toBe(await valueOf(value, scope));
  });

  it('is one for AES, through another value', async () => {
    const values: SignRule['values'] = {
      digest: { sha256: '{access_token}', encoding: 'hex' },
      v: { aes_256_cbc: TEXT, key: '{digest}', iv: '00000000000000000000000000000000', key_encoding: 'hex' },
    };
    const call = requestOf('GET /x');
    const text = header(await signed([{ calls: ['* /*'], values, headers: { 'X-V': '{v}' } }], scope, call), 'X-V');
    const key = createHash('sha256').update('emulated-token').digest();
    const decipher = createDecipheriv('aes-256-cbc', key, Buffer.alloc(16));
    expect(decipher.update(text ?? '', 'base64', 'utf8') + decipher.final('utf8')).toBe(TEXT);
  });
});

it('refuses a computed key of the wrong length, and does not show it', async () => {
  const rule = {
    calls: ['* /*'],
    values: {
      k: { random: 31, encoding: 'hex' },
      v: { aes_256_cbc: 'x', key: '{k}', iv: '{k}', key_encoding: 'hex' },
    },
    headers: { 'X-V': '{v}' },
  } as const;
  const failure = signed([rule], scopeOf({}), requestOf('GET /x'));
  await expect(failure).rejects.toThrow('The `key` has 31 bytes, but needs 32.');
  await expect(failure).rejects.not.toThrow('0001');
});

it('other work of the thread pool does not wait for all signatures', async () => {
  const scope = scopeOf({ pem: EMULATED_PRIVATE_KEY });
  let done = 0;
  const signatures = Array.from({ length: 64 }, async () => {
    const signature = await valueOf({ rsa_sha256: TEXT, key: '{pem}' }, scope);
    done += 1;
    return signature;
  });
  await stat('.');
  expect(done).toBeLessThan(32);
  expect(new Set(await Promise.all(signatures)).size).toBe(1);
});
