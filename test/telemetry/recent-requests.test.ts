import { describe, expect, it } from 'vitest';
import { RecentRequests } from '../../src/telemetry/recent-requests.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';

function recordOf(fields: Partial<RequestRecord> = {}): RequestRecord {
  const record = new RequestRecord('request-1', 'POST', []);
  return Object.assign(record, { status: 200, use: 'cached', endedAt: record.startedAt + 12 }, fields);
}

describe('RecentRequests', () => {
  it('returns requests after a number, newest first', () => {
    const requests = new RecentRequests(4);
    const records = [1, 2, 3].map(() => recordOf());
    for (const record of records) requests.add(record);
    expect(requests.since(0).map(({ number }) => number)).toEqual([3, 2, 1]);
    expect(records[0]).toMatchObject({ ...requests.since(0)[2], hasHeaders: true });
    expect(requests.since(2).map(({ number }) => number)).toEqual([3]);
    expect([requests.since(3), requests.dropped]).toEqual([[], 0]);
  });

  it('replaces the oldest requests and counts them', () => {
    const requests = new RecentRequests(4);
    for (let i = 0; i < 10; i++) requests.add(recordOf());
    expect(requests.since(0).map(({ number }) => number)).toEqual([10, 9, 8, 7]);
    expect(requests.dropped).toBe(6);
    expect(requests.since(8).map(({ number }) => number)).toEqual([10, 9]);
  });

  it('keeps a record as it was when it was added', () => {
    const requests = new RecentRequests(4);
    const record = recordOf({ path: '/a' });
    record.onAttempt(performance.now()).status = 401;
    record.onAttempt(performance.now()).status = 200;
    requests.add(record);
    record.path = '/b';
    record.attempts[1]!.status = 500;
    const [kept] = requests.since(0);
    expect([kept?.path, kept?.attempts.map(({ status }) => status)]).toEqual(['/a', [401, 200]]);
    for (let i = 0; i < 4; i++) requests.add(recordOf());
    expect([kept?.path, requests.since(0).map(({ attempts }) => attempts.length)]).toEqual(['/a', [0, 0, 0, 0]]);
  });

  it('keeps headers of failed requests, of requests with bodies, and of all while it is viewed', () => {
    const requests = new RecentRequests(8);
    const headers = ['host', 'localhost'];
    const withBodies = recordOf({ requestHeaders: headers });
    withBodies.keepBodies();
    for (const record of [
      recordOf({ requestHeaders: headers }),
      recordOf({ requestHeaders: headers, status: 404 }),
      recordOf({ requestHeaders: headers, code: 'upstream_reset' }),
      withBodies,
    ]) {
      requests.add(record);
    }
    const shown = () =>
      requests
        .since(0)
        .map(({ number, hasHeaders }) => hasHeaders && requests.details(number)?.request.headers.length === 1);
    expect(shown().reverse()).toEqual([false, true, true, true]);
    requests.add(recordOf({ requestHeaders: headers }));
    expect(shown()[0]).toBe(true);
    const later = performance.now() + 60_001;
    requests.add(recordOf({ requestHeaders: headers, endedAt: later }));
    expect(shown()[0]).toBe(false);
  });

  it('returns text of clients masked and cut, and masks it once', () => {
    const requests = new RecentRequests(4);
    const long = 'a'.repeat(15_000);
    const headers = ['authorization', 'Bearer x', 'user-agent', long];
    const record = recordOf({
      path: '/pay/254712345678',
      query: `?pin=1234&${long}`,
      status: 500,
      requestHeaders: headers,
    });
    record.keepBodies();
    record.onRequestBytes(Buffer.from('{"pin":"1234"}'));
    requests.add(record);
    const [shown] = requests.since(0);
    expect(shown).toMatchObject({ path: '/pay/254•••78', query: '?pin=[redacted]&[cut]' });
    expect(requests.since(0)[0]).toBe(shown);
    expect(requests.details(1)?.request).toEqual({
      headers: [
        ['authorization', '[redacted]'],
        ['user-agent', '[cut]'],
      ],
      body: { text: '{\n  "pin": "[redacted]"\n}', cut: 0 },
    });
    for (let i = 0; i < 4; i++) requests.add(recordOf({ path: `/${i}` }));
    expect(requests.since(0).map(({ path }) => path)).toEqual(['/3', '/2', '/1', '/0']);
    expect([requests.details(1), requests.details(0), requests.details(6)]).toEqual([undefined, undefined, undefined]);
  });

  it('returns the original request to resend it', () => {
    const requests = new RecentRequests(4);
    requests.add(recordOf({ path: '/pay/254712345678', status: 500, requestHeaders: ['authorization', 'Bearer x'] }));
    expect(requests.unmasked(1)).toMatchObject({
      path: '/pay/254712345678',
      requestHeaders: ['authorization', 'Bearer x'],
    });
    expect(requests.unmasked(2)).toBeUndefined();
  });

  it('records at most 100 successful requests in a second, and all that fail', () => {
    const requests = new RecentRequests(1000);
    for (let i = 0; i < 150; i++) requests.add(recordOf({ endedAt: 5000 + i }));
    for (let i = 0; i < 50; i++) requests.add(recordOf({ endedAt: 5200, status: i % 2 === 0 ? 502 : 0 }));
    expect([requests.since(0).length, requests.dropped]).toEqual([150, 50]);
    requests.add(recordOf({ endedAt: 6000 }));
    expect([requests.since(0).length, requests.dropped]).toEqual([151, 50]);
  });
});
