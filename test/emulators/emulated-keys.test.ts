import { constants, publicEncrypt, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decryptedPkcs1, EMULATED_PUBLIC_KEY } from '../../src/emulators/emulated-keys.ts';

function encrypt(message: Uint8Array, padding: number): Buffer {
  return publicEncrypt({ key: EMULATED_PUBLIC_KEY, padding }, message);
}

describe('decryptedPkcs1', () => {
  it.each(['', 'p', 'emulated-password', 'x'.repeat(245)])('decrypts %j', (text) => {
    expect(decryptedPkcs1(encrypt(Buffer.from(text), constants.RSA_PKCS1_PADDING).toString('base64'))?.toString()).toBe(
      text,
    );
  });

  it.each([
    ['OAEP padding', encrypt(Buffer.from('p'), constants.RSA_PKCS1_OAEP_PADDING)],
    ['another length', randomBytes(255)],
    ['nothing', Buffer.alloc(0)],
    ['padding of seven bytes', encrypt(block(7), constants.RSA_NO_PADDING)],
    ['a block of type 1', encrypt(block(20, 1), constants.RSA_NO_PADDING)],
    ['no end of the padding', encrypt(Buffer.alloc(256, 1).fill(0, 0, 1).fill(2, 1, 2), constants.RSA_NO_PADDING)],
  ])('refuses %s', (_, encrypted) => {
    expect(decryptedPkcs1(encrypted.toString('base64'))).toBeUndefined();
  });
});

/** A block with `length` bytes of padding. */
function block(length: number, type = 2): Buffer {
  const all = Buffer.alloc(256, 0x61);
  all[0] = 0;
  all[1] = type;
  all[2 + length] = 0;
  return all;
}
