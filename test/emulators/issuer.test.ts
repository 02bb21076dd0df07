import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Issuer, type IssuerOptions } from '../../src/emulators/issuer.ts';
import { ManualClock } from '../support/manual-clock.ts';

function setUp(options: Partial<IssuerOptions> = {}) {
  const clock = new ManualClock();
  const issuer = new Issuer({
    subject: 'test',
    format: 'opaque',
    accessLifetimeS: 60,
    refreshLifetimeS: 600,
    singleToken: false,
    fixedToken: undefined,
    clock,
    random: randomBytes,
    ...options,
  });
  return { clock, issuer };
}

describe('issuer', () => {
  it('accepts a token until the last millisecond of its lifetime', async () => {
    const { clock, issuer } = setUp();
    const { accessToken } = issuer.issue();
    await clock.advance(59_999);
    expect(issuer.accepts(accessToken)).toBe(true);
    await clock.advance(1);
    expect(issuer.accepts(accessToken)).toBe(false);
    expect(issuer.liveTokenCount()).toBe(0);
  });

  it('accepts a rotating refresh token once and issues a new one', () => {
    const { issuer } = setUp();
    const first = issuer.issue();
    const second = issuer.refresh(first.refreshToken!, { rotate: true });
    expect(second?.refreshToken).not.toBe(first.refreshToken);
    expect(issuer.accepts(second!.accessToken)).toBe(true);
    expect(issuer.refresh(first.refreshToken!, { rotate: true })).toBeUndefined();
    expect(issuer.refresh(second!.refreshToken!, { rotate: true })).toBeDefined();
  });

  it('accepts a refresh token repeatedly without rotation', () => {
    const { issuer } = setUp();
    const { refreshToken } = issuer.issue();
    expect(issuer.refresh(refreshToken!, { rotate: false })?.refreshToken).toBeUndefined();
    expect(issuer.refresh(refreshToken!, { rotate: false })).toBeDefined();
  });

  it('refuses an expired refresh token', async () => {
    const { clock, issuer } = setUp();
    const { refreshToken } = issuer.issue();
    await clock.advance(600_000);
    expect(issuer.refresh(refreshToken!, { rotate: true })).toBeUndefined();
  });

  it('invalidates the previous token in single-token mode', () => {
    const { issuer } = setUp({ singleToken: true });
    const first = issuer.issue();
    const second = issuer.issue();
    expect([issuer.accepts(first.accessToken), issuer.accepts(second.accessToken)]).toEqual([false, true]);
  });

  it('writes issuer, subject, issue time and expiry into a JWT', () => {
    const { clock, issuer } = setUp({ format: 'jwt' });
    const { accessToken } = issuer.issue();
    const [header = '', payload = '', signature = ''] = accessToken.split('.');
    const decode = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString());
    expect(decode(header)).toEqual({ alg: 'none', typ: 'JWT' });
    expect(decode(payload)).toMatchObject({
      iss: 'wakala-emulator',
      sub: 'test',
      iat: clock.now() / 1000,
      exp: clock.now() / 1000 + 60,
    });
    expect(signature).toMatch(/^[\w-]+$/);
  });

  it('issues as many refused tokens as requested', () => {
    const { issuer } = setUp();
    issuer.refuseNext = 2;
    const accepted = [issuer.issue(), issuer.issue(), issuer.issue()].map((each) => issuer.accepts(each.accessToken));
    expect(accepted).toEqual([false, false, true]);
  });

  it('accepts a fixed token at the start and again after expiry and reset', () => {
    const { issuer } = setUp({ fixedToken: 'fixed' });
    expect(issuer.accepts('fixed')).toBe(true);
    issuer.expireAll();
    expect(issuer.accepts('fixed')).toBe(false);
    issuer.reset();
    expect(issuer.accepts('fixed')).toBe(true);
  });
});
