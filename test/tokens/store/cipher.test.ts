import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/secret.ts';
import { CipherError, TokenCipher } from '../../../src/tokens/store/cipher.ts';
import { makeToken } from '../../../src/tokens/token.ts';

const OLD = new Secret('the old encryption key, long enough');
const NEW = new Secret('the new encryption key, long enough');
const HOUR_MS = 3_600_000;
const TOKEN = makeToken('canary-token', 'canary-refresh', { lifetimeMs: HOUR_MS, source: 'expires_in' }, 1_000_000);

const open = (seal: TokenCipher, sealed: string, name = 'credential', generation = 7) =>
  seal.decrypt(sealed, name, generation, HOUR_MS / 2, 9_000_000);

describe('a sealed token', () => {
  it('is the same when it is opened, with its times on the clock of the one who opens it', () => {
    const seal = new TokenCipher([NEW]);
    const token = open(seal, seal.encrypt(TOKEN, 'credential', 7));
    expect([token.accessToken.reveal(), token.refreshToken?.reveal()]).toEqual(['canary-token', 'canary-refresh']);
    expect(token).toMatchObject({ generation: 7, lifetimeSource: 'expires_in', fingerprint: TOKEN.fingerprint });
    // Half of its hour is left.
    expect(token.expiresAtMs).toBe(9_000_000 + HOUR_MS / 2);
    expect(token.issuedAtMs).toBe(9_000_000 - HOUR_MS / 2);
    expect(token.refreshAtMs).toBe(token.expiresAtMs - 30_000);
  });

  it('may have no refresh token', () => {
    const seal = new TokenCipher([NEW]);
    const alone = makeToken('canary-token', undefined, { lifetimeMs: HOUR_MS, source: 'jwt' }, 0);
    expect(open(seal, seal.encrypt(alone, 'credential', 7)).refreshToken).toBeUndefined();
  });

  it('keeps the headers that came with it', () => {
    const seal = new TokenCipher([NEW]);
    const headers = [['X-App-Code', new Secret('canary-7310')]] as const;
    const with7310 = makeToken('canary-token', undefined, { lifetimeMs: HOUR_MS, source: 'jwt' }, 0, headers);
    const sealed = seal.encrypt(with7310, 'credential', 7);
    expect(open(seal, sealed).headers.map(([name, value]) => [name, value.reveal()])).toEqual([
      ['X-App-Code', 'canary-7310'],
    ]);
    expect(open(seal, seal.encrypt(TOKEN, 'credential', 7)).headers).toEqual([]);
  });

  it('keeps the token endpoints that its issuer named', () => {
    const seal = new TokenCipher([NEW]);
    const endpoints = ['https://login.example/token'];
    expect(open(seal, seal.encrypt({ ...TOKEN, endpoints }, 'credential', 7)).endpoints).toEqual(endpoints);
    expect(open(seal, seal.encrypt(TOKEN, 'credential', 7)).endpoints).toBeUndefined();
  });

  it('shows nothing of itself, and is another text each time', () => {
    const seal = new TokenCipher([NEW]);
    const texts = [seal.encrypt(TOKEN, 'credential', 7), seal.encrypt(TOKEN, 'credential', 7)];
    expect(texts[0]).not.toBe(texts[1]);
    for (const text of texts) {
      const [, bytes = ''] = text.split('.');
      expect(Buffer.from(bytes, 'base64url').toString('latin1') + text).not.toMatch(/canary/);
    }
  });

  it('is opened by a key that came before', () => {
    const sealed = new TokenCipher([OLD]).encrypt(TOKEN, 'credential', 7);
    expect(open(new TokenCipher([NEW, OLD]), sealed).accessToken.reveal()).toBe('canary-token');
  });

  it('is not opened by another key, and the error names none', () => {
    const sealed = new TokenCipher([OLD]).encrypt(TOKEN, 'credential', 7);
    const opening = () => open(new TokenCipher([NEW]), sealed);
    expect(opening).toThrow(CipherError);
    expect(opening).toThrow(/^it was sealed with another encryption key \([0-9a-f]{8}\)$/);
  });

  it('is not opened in the place of another credential, nor as a later generation', () => {
    const seal = new TokenCipher([NEW]);
    const sealed = seal.encrypt(TOKEN, 'credential', 7);
    expect(() => open(seal, sealed, 'another')).toThrow('it was changed, or is of another credential');
    expect(() => open(seal, sealed, 'credential', 8)).toThrow('it was changed, or is of another credential');
  });

  it('is not opened after any change of any byte', () => {
    const seal = new TokenCipher([NEW]);
    const [id = '', text = ''] = seal.encrypt(TOKEN, 'credential', 7).split('.');
    const bytes = Buffer.from(text, 'base64url');
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(() => open(seal, `${id}.${changed.toString('base64url')}`)).toThrow(CipherError);
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(() => open(seal, `${id}.${bytes.subarray(0, length).toString('base64url')}`)).toThrow(CipherError);
    }
    for (const nonsense of ['', '.', id, `${id}.`, 'x.y', '{}']) {
      expect(() => open(seal, nonsense)).toThrow(CipherError);
    }
  });
});
