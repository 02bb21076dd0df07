import { describe, expect, it } from 'vitest';
import { type CallbackReport, Callbacks, isLoopbackUrl } from '../../src/emulators/callbacks.ts';
import { HandClock, listener } from './support.ts';

function setUp() {
  const clock = new HandClock();
  const reports: CallbackReport[] = [];
  const { promise, resolve } = Promise.withResolvers<CallbackReport>();
  const onCallback = (report: CallbackReport) => {
    reports.push(report);
    resolve(report);
  };
  return {
    clock,
    reports,
    reported: promise,
    callbacks: new Callbacks({ provider: 'test', clock, delayMs: 500, onCallback }),
  };
}

describe('callbacks', () => {
  it.each(['127.0.0.1', 'localhost'])('are delivered to %s after the delay', async (host) => {
    const { clock, callbacks, reported } = setUp();
    const app = await listener(204);
    const url = `http://${host}:${app.port}/hook?a=1`;
    callbacks.send(url, () => ({ hello: 'there' }));
    const next = app.next();
    clock.advance(499);
    expect(clock.waiting).toBe(1);
    clock.advance(1);
    expect((await next).body.toString()).toBe('{"hello":"there"}');
    expect(await reported).toEqual({ provider: 'test', url, status: 204 });
  });

  it.each([
    'http://192.0.2.1/hook',
    'http://example.test/hook',
    'http://127.0.0.1.example.test/hook',
    'http://localhost.example.test/hook',
    'http://127.0.0.1@example.test/hook',
    'http://0.0.0.0/hook',
    'http://[::]/hook',
    'http://[::ffff:192.0.2.1]/hook',
    'http://169.254.169.254/latest',
    'file:///etc/hosts',
    'not a url',
  ])('are not delivered to %s', (url) => {
    const { clock, callbacks, reports } = setUp();
    callbacks.send(url, () => ({}));
    expect(reports).toEqual([{ provider: 'test', url, error: 'not delivered: not a loopback address' }]);
    expect(clock.waiting).toBe(0);
  });

  it.each(['http://127.0.0.1/', 'http://127.9.8.7:80/', 'http://[::1]:3000/', 'https://localhost/', 'http://0x7f.1/'])(
    'take %s for loopback',
    (url) => expect(isLoopbackUrl(url)).toBe(true),
  );

  it('do not follow a redirect', async () => {
    const { clock, callbacks, reported } = setUp();
    const target = await listener();
    const app = await listener(307, { location: `${target.url}/elsewhere` });
    callbacks.send(app.url, () => ({}));
    clock.advance(500);
    expect((await reported).status).toBe(307);
    expect(target.received).toEqual([]);
  });

  it('that cannot be delivered are reported and shown, and nothing else happens', async () => {
    const { clock, callbacks, reported } = setUp();
    callbacks.send('http://127.0.0.1:1/', () => ({}));
    clock.advance(500);
    expect((await reported).error).toContain('ECONNREFUSED');
    expect(callbacks.recent()).toEqual([
      { url: 'http://127.0.0.1:1/', status: null, error: expect.stringContaining('ECONNREFUSED') as string },
    ]);
  });

  it('that wait when it closes are never sent', () => {
    const { clock, callbacks } = setUp();
    callbacks.send('http://127.0.0.1:1/', () => ({}));
    callbacks.close();
    expect(clock.waiting).toBe(0);
  });
});
