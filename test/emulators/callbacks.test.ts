import { describe, expect, it } from 'vitest';
import { type CallbackReport, Callbacks, isLoopbackUrl } from '../../src/emulators/callbacks.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { startCallbackServer } from './support.ts';

function setUp() {
  const clock = new ManualClock();
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
  it.each(['127.0.0.1', 'localhost'])('are sent to %s after the delay', async (host) => {
    const { clock, callbacks, reported } = setUp();
    const app = await startCallbackServer(204);
    const url = `http://${host}:${app.port}/hook?a=1`;
    callbacks.send(url, () => ({ hello: 'there' }));
    const next = app.next();
    await clock.advance(499);
    expect(clock.timers).toBe(1);
    await clock.advance(1);
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
  ])('are not sent to %s', (url) => {
    const { clock, callbacks, reports } = setUp();
    callbacks.send(url, () => ({}));
    expect(reports).toEqual([{ provider: 'test', url, error: 'not delivered: not a loopback address' }]);
    expect(clock.timers).toBe(0);
  });

  it.each(['http://127.0.0.1/', 'http://127.9.8.7:80/', 'http://[::1]:3000/', 'https://localhost/', 'http://0x7f.1/'])(
    '%s is a loopback URL',
    (url) => expect(isLoopbackUrl(url)).toBe(true),
  );

  it('do not follow a redirect', async () => {
    const { clock, callbacks, reported } = setUp();
    const target = await startCallbackServer();
    const app = await startCallbackServer(307, { location: `${target.url}/elsewhere` });
    callbacks.send(app.url, () => ({}));
    await clock.advance(500);
    expect((await reported).status).toBe(307);
    expect(target.received).toEqual([]);
  });

  it('that fail are reported and listed', async () => {
    const { clock, callbacks, reported } = setUp();
    callbacks.send('http://127.0.0.1:1/', () => ({}));
    await clock.advance(500);
    expect((await reported).error).toContain('ECONNREFUSED');
    expect(callbacks.recent()).toEqual([
      { url: 'http://127.0.0.1:1/', status: null, error: expect.stringContaining('ECONNREFUSED') as string },
    ]);
  });

  it('that are pending at close are never sent', () => {
    const { clock, callbacks } = setUp();
    callbacks.send('http://127.0.0.1:1/', () => ({}));
    callbacks.close();
    expect(clock.timers).toBe(0);
  });
});
