import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { DerivedValue } from '../../src/providers/sign-rule.ts';
import { hasTool } from '../support/tools.ts';
import { header, requestOf, scopeOf, signed } from './support.ts';

const BODY = '{"amount":1.00,"note":"ż 😀\\n"}';
const HEX_KEY = '00ff10203040506070801f2f3f4f5f6f7f8f9fafbfcfdfefff0102030405060a';
const IV = '000102030405060708090a0b0c0d0e0f';

const folder = mkdtempSync(join(tmpdir(), 'wakala-openssl-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Its output. @throws Error unless it succeeds */
function openssl(args: readonly string[], input: string | Buffer = ''): Buffer {
  return execFileSync('openssl', args, { input, stdio: ['pipe', 'pipe', 'ignore'] });
}

/** The path of a new file. */
function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function newKey(...args: readonly string[]): {
  readonly key: string;
  readonly file: string;
  readonly publicFile: string;
} {
  const key = openssl(['genpkey', ...args]).toString();
  const name = args.join('-').replaceAll(/[^\w-]/g, '_');
  const publicFile = file(`${name}.pub`, openssl(['pkey', '-pubout'], key));
  return { key, file: file(name, key), publicFile };
}

/** What a function makes of the body. */
async function computed(value: DerivedValue, credentials: Record<string, string> = {}): Promise<Buffer> {
  const rule = { calls: ['POST /x'], values: { v: value }, headers: { 'X-V': '{v}' } };
  const request = await signed([rule], scopeOf(credentials), requestOf('POST /x', { body: BODY }));
  return Buffer.from(header(request, 'X-V') ?? '', 'base64');
}

/** ASN.1 of the two numbers of an ECDSA signature (RFC 3279 2.2.3). */
function derOf(p1363: Buffer): Buffer {
  const numbers = [p1363.subarray(0, p1363.length / 2), p1363.subarray(p1363.length / 2)].map((bytes) => {
    const first = Math.max(
      0,
      bytes.findIndex((byte) => byte !== 0),
    );
    const number = Buffer.concat([Buffer.alloc((bytes[first] ?? 0) > 0x7f ? 1 : 0), bytes.subarray(first)]);
    return Buffer.concat([Buffer.from([2, number.length]), number]);
  });
  const content = Buffer.concat(numbers);
  return Buffer.concat([
    Buffer.from(content.length > 0x7f ? [0x30, 0x81, content.length] : [0x30, content.length]),
    content,
  ]);
}

/** Has openssl verify a signature of the body. */
function verified(hash: string, publicFile: string, signature: Buffer, ...options: readonly string[]): string {
  const signatureFile = file('signature', signature);
  return openssl(['dgst', `-${hash}`, '-verify', publicFile, ...options, '-signature', signatureFile], BODY).toString();
}

describe.runIf(hasTool('openssl'))('openssl', () => {
  const rsa = newKey('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
  const p256 = newKey('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256');
  const p521 = newKey('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521');
  const ed25519 = newKey('-algorithm', 'ED25519');
  const key = '{k}';

  it('makes the same RSA signature', async () => {
    const expected = openssl(['dgst', '-sha256', '-sign', rsa.file], BODY);
    expect(await computed({ rsa_sha256: '{body}', key }, { k: rsa.key })).toEqual(expected);
  });

  it('accepts the RSA-PSS signature, whose salt has 32 bytes', async () => {
    const signature = await computed({ rsa_pss_sha256: '{body}', key }, { k: rsa.key });
    const options = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:32'];
    expect(verified('sha256', rsa.publicFile, signature, ...options)).toContain('Verified OK');
  });

  it.each([
    ['ecdsa_sha256', 'sha256', p256, 64],
    ['ecdsa_sha512', 'sha512', p521, 132],
  ] as const)('accepts the signature of %s in both formats', async (name, hash, pair, bytes) => {
    const der = await computed({ [name]: '{body}', key }, { k: pair.key });
    expect(verified(hash, pair.publicFile, der)).toContain('Verified OK');
    const p1363 = await computed({ [name]: '{body}', key, format: 'p1363' }, { k: pair.key });
    expect(p1363).toHaveLength(bytes);
    expect(verified(hash, pair.publicFile, derOf(p1363))).toContain('Verified OK');
  });

  it('makes the same Ed25519 signature', async () => {
    const expected = openssl(['pkeyutl', '-sign', '-rawin', '-inkey', ed25519.file, '-in', file('body', BODY)]);
    expect(await computed({ ed25519: '{body}', key }, { k: ed25519.key })).toEqual(expected);
  });

  it.each([
    ['pkcs1', ['rsa_padding_mode:pkcs1']],
    ['oaep_sha1', ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha1', 'rsa_mgf1_md:sha1']],
    ['oaep_sha256', ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_mgf1_md:sha256']],
  ] as const)('decrypts what was encrypted for a key or a certificate, padded by %s', async (padding, options) => {
    const config = file('req.cnf', '[req]\ndistinguished_name=dn\n[dn]\n');
    const certificate = openssl(['req', '-x509', '-config', config, '-key', rsa.file, '-subj', '/CN=bank']).toString();
    for (const k of [openssl(['pkey', '-pubout'], rsa.key).toString(), certificate]) {
      const encrypted = await computed({ rsa_encrypt: '{body}', key, padding }, { k });
      const how = options.flatMap((option) => ['-pkeyopt', option]);
      const decrypted = openssl(['pkeyutl', '-decrypt', '-inkey', rsa.file, ...how], encrypted);
      expect(decrypted.toString()).toBe(BODY);
    }
  });

  it.each(['sha256', 'sha512'] as const)('makes the same %s', async (name) => {
    expect(await computed({ [name]: '{body}' })).toEqual(openssl(['dgst', `-${name}`, '-binary'], BODY));
  });

  it.each([
    ['hmac_sha256', 'sha256'],
    ['hmac_sha512', 'sha512'],
  ] as const)('makes the same %s, with the key in each encoding', async (name, hash) => {
    const hmac = (hexKey: string) =>
      openssl(['dgst', `-${hash}`, '-mac', 'HMAC', '-macopt', `hexkey:${hexKey}`, '-binary'], BODY);
    const base64 = Buffer.from(HEX_KEY, 'hex').toString('base64');
    const input = { [name]: '{body}', key };
    expect(await computed({ ...input, key_encoding: 'hex' }, { k: HEX_KEY })).toEqual(hmac(HEX_KEY));
    expect(await computed({ ...input, key_encoding: 'base64' }, { k: base64 })).toEqual(hmac(HEX_KEY));
    expect(await computed(input, { k: 'geheim ż' })).toEqual(hmac(Buffer.from('geheim ż').toString('hex')));
  });

  it('makes the same ciphertext with AES-256-CBC', async () => {
    const value: DerivedValue = { aes_256_cbc: '{body}', key, iv: '{iv}', key_encoding: 'hex' };
    const expected = openssl(['enc', '-aes-256-cbc', '-K', HEX_KEY, '-iv', IV], BODY);
    expect(await computed(value, { k: HEX_KEY, iv: IV })).toEqual(expected);
  });

  it.each([
    ['the older format', ['rsa', '-traditional']],
    ['DER', ['pkey', '-outform', 'der']],
  ])('writes keys that are read: %s', async (_, args) => {
    const text = openssl(args, rsa.key);
    const k = text.includes('-----BEGIN') ? text.toString() : text.toString('base64');
    const expected = openssl(['dgst', '-sha256', '-sign', rsa.file], BODY);
    expect(await computed({ rsa_sha256: '{body}', key }, { k })).toEqual(expected);
  });

  it('writes EC keys with their parameters, which are read', async () => {
    const k = openssl(['ec'], p256.key).toString();
    const parameters = openssl(['ecparam', '-name', 'prime256v1']).toString();
    const der = await computed({ ecdsa_sha256: '{body}', key }, { k: parameters + k });
    expect(verified('sha256', p256.publicFile, der)).toContain('Verified OK');
  });
});
