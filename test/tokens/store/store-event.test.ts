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

describe('news', () => {
  it.each<StoreEvent>([
    { kind: 'posted', generation: 7 },
    FAILED,
    { kind: 'failed', generation: 7, code: 'token_denied' },
    { ...FAILED, retryAfterS: 1 },
    { ...FAILED, retryAfterS: 3600 },
    { ...FAILED, reason: { kind: 'network', code: 'ECONNREFUSED', host: 'auth.example.com' } },
  ])('arrive as they were sent: %j', (news) => {
    expect(decryptEvent(encryptEvent(news, context()), context())).toEqual(news);
  });

  it('stay short enough to be read, whatever the reason is', () => {
    const reason = { kind: 'network', code: 'C'.repeat(100), host: 'h'.repeat(270) } as const;
    const event = failureEvent(new ProxyError('token_unavailable', '', { retryAfterS: 3600, reason }), 2 ** 52);
    expect(event).toMatchObject({ reason });
    expect(decryptEvent(encryptEvent(event as StoreEvent, context()), context())).toEqual(event);
    const endless = new ProxyError('token_unavailable', '', { reason: { ...reason, host: 'h'.repeat(271) } });
    expect(failureEvent(endless, 7)).not.toHaveProperty('reason');
  });

  it.each([{ kind: 'from a later version' }, { kind: 'toString' }, { kind: 'http_status' }, 'network', null])(
    'lose a reason that this version does not know: %j',
    (reason) => {
      const { cipher, name, clock } = context();
      const text = cipher.encryptJson({ ...FAILED, sentAtMs: clock.now(), reason }, `${name}\0news`);
      expect(decryptEvent(text, context())).toEqual(FAILED);
    },
  );

  it('are opened by nobody who has another key, for no other credential, and after no change', () => {
    const text = encryptEvent(FAILED, context());
    const other = context('credential', new Secret('another encryption key for tests, long enough'));
    expect(() => decryptEvent(text, other)).toThrow(CipherError);
    expect(() => decryptEvent(text, context('another'))).toThrow(CipherError);
    for (let i = 0; i < text.length - 1; i++) {
      const changed = text.slice(0, i) + (text[i] === 'x' ? 'y' : 'x') + text.slice(i + 1);
      expect(() => decryptEvent(changed, context())).toThrow(CipherError);
    }
  });

  it('are not taken for a token, nor a token for news', () => {
    const { cipher: seal, name } = context();
    const token = makeToken('canary', undefined, { lifetimeMs: 3_600_000, source: 'expires_in' }, 0);
    expect(() => decryptEvent(seal.encrypt(token, name, 7), context())).toThrow(CipherError);
    expect(() => seal.decrypt(encryptEvent(FAILED, context()), name, 7, 1000, 0)).toThrow(CipherError);
  });

  it.each([
    '',
    '.',
    '{}',
    JSON.stringify(FAILED),
    JSON.stringify({ kind: 'posted', generation: 9 }),
    'x'.repeat(10_000),
  ])('are nothing that is not sealed: %.40s', (text) => {
    expect(() => decryptEvent(text, context())).toThrow(CipherError);
  });

  it('longer than any are not decrypted', () => {
    const { cipher: seal, name } = context();
    const text = seal.encryptJson({ ...FAILED, sentAtMs: 0, more: 'x'.repeat(1000) }, `${name}\0news`);
    expect(() => decryptEvent(text, context())).toThrow('it is too long');
  });

  it.each<[what: string, changed: object]>([
    ...[1e9, 3601, 0, -1, 1.5, NaN, Infinity, 'soon', '30', null, [30]].map((retryAfterS): [string, object] => [
      `with a wait of ${JSON.stringify(retryAfterS)}`,
      { retryAfterS },
    ]),
    ...['upstream_reset', 'canary', '', 5, null].map((code): [string, object] => [`with the code ${code}`, { code }]),
    ...['7', 7.5, 1e300, NaN, null].map((generation): [string, object] => [`of turn ${generation}`, { generation }]),
    ['of an unknown kind', { kind: 'other' }],
    ['that tell no time', { sentAtMs: undefined }],
    ['that tell a time that is none', { sentAtMs: 'now' }],
    ['that are more than a minute old', { sentAtMs: new ManualClock().now() - 60_001 }],
    ['of more than a minute from now', { sentAtMs: new ManualClock().now() + 60_001 }],
  ])('%s are dropped', (_, changed) => {
    const { cipher: seal, name, clock } = context();
    const text = seal.encryptJson({ ...FAILED, sentAtMs: clock.now(), ...changed }, `${name}\0news`);
    expect(decryptEvent(text, context())).toBeUndefined();
  });

  it.each([null, 'text', 7, []])('that are %j are dropped', (value) => {
    const { cipher: seal, name } = context();
    expect(decryptEvent(seal.encryptJson(value as object, `${name}\0news`), context())).toBeUndefined();
  });
});

describe('a failure', () => {
  it('is told with its code and wait, and without its words', () => {
    const cause = new Error('canary');
    const reason = { kind: 'credentials_refused', status: 401 } as const;
    const error = new ProxyError('token_denied', 'canary', { reason, retryAfterS: 9, cause });
    const news = failureEvent(error, 7);
    expect(news).toEqual({ kind: 'failed', generation: 7, code: 'token_denied', retryAfterS: 9, reason });
    const told = errorFromEvent(news as StoreEvent & { kind: 'failed' });
    expect(told).toMatchObject({ code: 'token_denied', outcome: 'not_sent', retryAfterS: 9, reason });
    expect(told.message).toBe(
      'Another process of wakala was refused the token. The log of that process has the reason.',
    );
  });

  it('that is a fault of the program is not told', () => {
    expect(failureEvent(new TypeError('canary'), 7)).toBeUndefined();
  });
});
