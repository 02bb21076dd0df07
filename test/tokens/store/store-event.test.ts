import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { Secret } from '../../../src/secret.ts';
import { CipherError, TokenCipher } from '../../../src/tokens/store/cipher.ts';
import {
  decryptEvent,
  encryptEvent,
  errorFromEvent,
  failureEvent,
  type StoreEvent,
} from '../../../src/tokens/store/coordinator.ts';
import { makeToken } from '../../../src/tokens/token.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const KEY = new Secret('an encryption key for tests, long enough');

function context(name = 'credential', key = KEY) {
  return { cipher: new TokenCipher([key]), name, clock: new ManualClock() };
}

const FAILED: StoreEvent = { kind: 'failed', generation: 7, code: 'token_unavailable', retryAfterS: 30 };

describe('an event', () => {
  it.each<StoreEvent>([
    { kind: 'stored', generation: 7 },
    FAILED,
    { kind: 'failed', generation: 7, code: 'token_denied' },
    { ...FAILED, retryAfterS: 1 },
    { ...FAILED, retryAfterS: 3600 },
    { ...FAILED, reason: { kind: 'network', code: 'ECONNREFUSED', host: 'auth.example.com' } },
  ])('is the same after encryption and decryption: %j', (event) => {
    expect(decryptEvent(encryptEvent(event, context()), context())).toEqual(event);
  });

  it('is short enough to be read, whatever its reason is', () => {
    const reason = { kind: 'network', code: 'C'.repeat(100), host: 'h'.repeat(270) } as const;
    const event = failureEvent(new ProxyError('token_unavailable', '', { retryAfterS: 3600, reason }), 2 ** 52);
    expect(event).toMatchObject({ reason });
    expect(decryptEvent(encryptEvent(event as StoreEvent, context()), context())).toEqual(event);
    const endless = new ProxyError('token_unavailable', '', { reason: { ...reason, host: 'h'.repeat(271) } });
    expect(failureEvent(endless, 7)).not.toHaveProperty('reason');
  });

  it.each([{ kind: 'from a later version' }, { kind: 'toString' }, { kind: 'http_status' }, 'network', null])(
    'loses a reason that this version does not know: %j',
    (reason) => {
      const { cipher, name, clock } = context();
      const text = cipher.encryptJson({ ...FAILED, sentAtMs: clock.now(), reason }, `${name}\0news`);
      expect(decryptEvent(text, context())).toEqual(FAILED);
    },
  );

  it('is not decrypted with another key, for another credential, or after a change', () => {
    const text = encryptEvent(FAILED, context());
    const other = context('credential', new Secret('another encryption key for tests, long enough'));
    expect(() => decryptEvent(text, other)).toThrow(CipherError);
    expect(() => decryptEvent(text, context('another'))).toThrow(CipherError);
    for (let i = 0; i < text.length - 1; i++) {
      const changed = text.slice(0, i) + (text[i] === 'x' ? 'y' : 'x') + text.slice(i + 1);
      expect(() => decryptEvent(changed, context())).toThrow(CipherError);
    }
  });

  it('is not decrypted as a token, nor a token as an event', () => {
    const { cipher, name } = context();
    const token = makeToken('canary', undefined, { lifetimeMs: 3_600_000, source: 'expires_in' }, 0);
    expect(() => decryptEvent(cipher.encrypt(token, name, 7), context())).toThrow(CipherError);
    expect(() => cipher.decrypt(encryptEvent(FAILED, context()), name, 7, 1000, 0)).toThrow(CipherError);
  });

  it.each([
    '',
    '.',
    '{}',
    JSON.stringify(FAILED),
    JSON.stringify({ kind: 'posted', generation: 9 }),
    'x'.repeat(10_000),
  ])('is not read if it is not encrypted: %.40s', (text) => {
    expect(() => decryptEvent(text, context())).toThrow(CipherError);
  });

  it('is not decrypted if it is too long', () => {
    const { cipher, name } = context();
    const text = cipher.encryptJson({ ...FAILED, sentAtMs: 0, more: 'x'.repeat(1000) }, `${name}\0news`);
    expect(() => decryptEvent(text, context())).toThrow('too long');
  });

  it.each<[what: string, changed: object]>([
    ...[1e9, 3601, 0, -1, 1.5, NaN, Infinity, 'soon', '30', null, [30]].map((retryAfterS): [string, object] => [
      `with a wait of ${JSON.stringify(retryAfterS)}`,
      { retryAfterS },
    ]),
    ...['upstream_reset', 'canary', '', 5, null].map((code): [string, object] => [`with the code ${code}`, { code }]),
    ...['7', 7.5, 1e300, NaN, null].map((generation): [string, object] => [
      `with the generation ${generation}`,
      { generation },
    ]),
    ['of an unknown kind', { kind: 'other' }],
    ['without a time', { sentAtMs: undefined }],
    ['with a time that is not a number', { sentAtMs: 'now' }],
    ['that is more than a minute old', { sentAtMs: new ManualClock().now() - 60_001 }],
    ['from more than a minute ahead', { sentAtMs: new ManualClock().now() + 60_001 }],
  ])('%s is ignored', (_, changed) => {
    const { cipher, name, clock } = context();
    const text = cipher.encryptJson({ ...FAILED, sentAtMs: clock.now(), ...changed }, `${name}\0news`);
    expect(decryptEvent(text, context())).toBeUndefined();
  });

  it.each([null, 'text', 7, []])('that is %j is ignored', (value) => {
    const { cipher, name } = context();
    expect(decryptEvent(cipher.encryptJson(value as object, `${name}\0news`), context())).toBeUndefined();
  });
});

describe('an event on the wire', () => {
  it('has the names that earlier versions read', () => {
    const { cipher, name } = context();
    const event = cipher.decryptJson(encryptEvent({ kind: 'stored', generation: 7 }, context()), `${name}\0news`);
    expect(event).toEqual({ kind: 'posted', generation: 7, sentAtMs: new ManualClock().now() });
  });
});

describe('a failed exchange', () => {
  it('is sent with its code, reason and wait, but without its message', () => {
    const cause = new Error('canary');
    const reason = { kind: 'credentials_refused', status: 401 } as const;
    const error = new ProxyError('token_denied', 'canary', { reason, retryAfterS: 9, cause });
    const event = failureEvent(error, 7);
    expect(event).toEqual({ kind: 'failed', generation: 7, code: 'token_denied', retryAfterS: 9, reason });
    const received = errorFromEvent(event as StoreEvent & { kind: 'failed' });
    expect(received).toMatchObject({ code: 'token_denied', outcome: 'not_sent', retryAfterS: 9, reason });
    expect(received.message).toBe(
      'The provider refused the token request of another Wakala process. See the log of that process.',
    );
  });

  it('is not sent if the cause is a bug', () => {
    expect(failureEvent(new TypeError('canary'), 7)).toBeUndefined();
  });
});
