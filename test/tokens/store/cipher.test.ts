import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/secret.ts';
import { CipherError, TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { makeToken } from '../../../src/tokens/token.ts';

const OLD = new Secret('the old encryption key, long enough');
const NEW = new Secret('the new encryption key, long enough');
const HOUR_MS = 3_600_000;
const CONTEXT = ['credential', '7'].join('\0');
const TOKEN = makeToken('canary-token', 'canary-refresh', { lifetimeMs: HOUR_MS, source: 'expires_in' }, 1_000_000);

const decrypt = (cipher: TokenCipher, encrypted: string, name = 'credential', generation = 7) =>
  cipher.decrypt(encrypted, name, generation, HOUR_MS / 2, 9_000_000);

describe('an encrypted token', () => {
  it('is the same after decryption, with its times on the clock of the reader', () => {
    const cipher = new TokenCipher([NEW]);
    const token = decrypt(cipher, cipher.encrypt(TOKEN, 'credential', 7));
    expect([token.accessToken.reveal(), token.refreshToken?.reveal()]).toEqual(['canary-token', 'canary-refresh']);
    expect(token).toMatchObject({ generation: 7, lifetimeSource: 'expires_in', fingerprint: TOKEN.fingerprint });
    // Half of its hour is left.
    expect(token.expiresAtMs).toBe(9_000_000 + HOUR_MS / 2);
    expect(token.issuedAtMs).toBe(9_000_000 - HOUR_MS / 2);
    expect(token.refreshAtMs).toBe(token.expiresAtMs - 30_000);
  });

  it('has the fields that other versions of Wakala read and write', () => {
    const cipher = new TokenCipher([NEW]);
    const fields = { a: 'canary-token', r: 'canary-refresh', l: HOUR_MS, s: 'expires_in' };
    expect(cipher.decryptJson(cipher.encrypt(TOKEN, 'credential', 7), CONTEXT)).toEqual(fields);
    const token = decrypt(cipher, cipher.encryptJson(fields, CONTEXT));
    expect(token).toMatchObject({ generation: 7, fingerprint: TOKEN.fingerprint });
  });

  it('has the clock of the token endpoint, whatever that of the process that requested it', () => {
    const cipher = new TokenCipher([NEW]);
    for (const clockMs of [0, 5_000_000]) {
      // It was issued half an hour ago, at 60,000,000 by the clock of the token endpoint.
      const token = {
        ...TOKEN,
        issuedAtMs: clockMs,
        expiresAtMs: clockMs + HOUR_MS,
        clockSkewMs: 60_000_000 - clockMs,
      };
      const { clockSkewMs = 0 } = decrypt(cipher, cipher.encrypt(token, 'credential', 7));
      expect(9_000_000 + clockSkewMs).toBe(60_000_000 + HOUR_MS / 2);
    }
    expect(decrypt(cipher, cipher.encrypt(TOKEN, 'credential', 7)).clockSkewMs).toBeUndefined();
  });

  it('may have no refresh token', () => {
    const cipher = new TokenCipher([NEW]);
    const plain = makeToken('canary-token', undefined, { lifetimeMs: HOUR_MS, source: 'jwt' }, 0);
    expect(decrypt(cipher, cipher.encrypt(plain, 'credential', 7)).refreshToken).toBeUndefined();
  });

  it('keeps the headers of its token response', () => {
    const cipher = new TokenCipher([NEW]);
    const headers = [['X-App-Code', new Secret('canary-7310')]] as const;
    const with7310 = makeToken('canary-token', undefined, { lifetimeMs: HOUR_MS, source: 'jwt' }, 0, headers);
    const encrypted = cipher.encrypt(with7310, 'credential', 7);
    expect(decrypt(cipher, encrypted).headers.map(([name, value]) => [name, value.reveal()])).toEqual([
      ['X-App-Code', 'canary-7310'],
    ]);
    expect(decrypt(cipher, cipher.encrypt(TOKEN, 'credential', 7)).headers).toEqual([]);
  });

  it('keeps the token endpoints that the metadata of its issuer named', () => {
    const cipher = new TokenCipher([NEW]);
    const endpoints = ['https://login.example/token'];
    expect(decrypt(cipher, cipher.encrypt({ ...TOKEN, endpoints }, 'credential', 7)).endpoints).toEqual(endpoints);
    expect(decrypt(cipher, cipher.encrypt(TOKEN, 'credential', 7)).endpoints).toBeUndefined();
  });

  it('contains nothing readable, and is another text each time', () => {
    const cipher = new TokenCipher([NEW]);
    const texts = [cipher.encrypt(TOKEN, 'credential', 7), cipher.encrypt(TOKEN, 'credential', 7)];
    expect(texts[0]).not.toBe(texts[1]);
    for (const text of texts) {
      const [, bytes = ''] = text.split('.');
      expect(Buffer.from(bytes, 'base64url').toString('latin1') + text).not.toMatch(/canary/);
    }
  });

  it('is decrypted with a previous key', () => {
    const encrypted = new TokenCipher([OLD]).encrypt(TOKEN, 'credential', 7);
    expect(decrypt(new TokenCipher([NEW, OLD]), encrypted).accessToken.reveal()).toBe('canary-token');
  });

  it('is not decrypted with another key, and the error names the key by its id only', () => {
    const encrypted = new TokenCipher([OLD]).encrypt(TOKEN, 'credential', 7);
    const decryption = () => decrypt(new TokenCipher([NEW]), encrypted);
    expect(decryption).toThrow(CipherError);
    expect(decryption).toThrow(/^encrypted with another key \([0-9a-f]{8}\)$/);
  });

  it('is not decrypted for another credential, or as another generation', () => {
    const cipher = new TokenCipher([NEW]);
    const encrypted = cipher.encrypt(TOKEN, 'credential', 7);
    expect(() => decrypt(cipher, encrypted, 'another')).toThrow('changed, or belongs to another credential');
    expect(() => decrypt(cipher, encrypted, 'credential', 8)).toThrow('changed, or belongs to another credential');
  });

  it('is not decrypted after a change of any byte', () => {
    const cipher = new TokenCipher([NEW]);
    const [id = '', text = ''] = cipher.encrypt(TOKEN, 'credential', 7).split('.');
    const bytes = Buffer.from(text, 'base64url');
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(() => decrypt(cipher, `${id}.${changed.toString('base64url')}`)).toThrow(CipherError);
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decrypt(cipher, `${id}.${bytes.subarray(0, length).toString('base64url')}`)).toThrow(CipherError);
    }
    for (const nonsense of ['', '.', id, `${id}.`, 'x.y', '{}']) {
      expect(() => decrypt(cipher, nonsense)).toThrow(CipherError);
    }
  });
});
