import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Redaction } from '../../src/redaction.ts';
import { RecentRequests } from '../../src/telemetry/recent-requests.ts';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import { bucketIndexAt, MAX_BUCKETS, RouteStats, TimeSeries } from '../../src/telemetry/route-stats.ts';

function trailOf(fields: Partial<RequestRecord> = {}): RequestRecord {
  const record = new RequestRecord('request-1', 'POST', []);
  return Object.assign(record, { status: 200, use: 'cached', endedAt: record.startedAt + 12 }, fields);
}

function finished(...records: RequestRecord[]): RouteStats {
  const activity = new RouteStats();
  for (const record of records) activity.finished(record);
  return activity;
}

describe('a record', () => {
  it('keeps no body unless told to, and counts its bytes in any case', () => {
    const record = trailOf();
    record.onRequestBytes(Buffer.from('{"amount":1}'));
    record.onResponseBytes(Buffer.from('ok'));
    expect([record.requestBytes, record.responseBytes, record.keptBodies()]).toEqual([12, 2, undefined]);
  });

  it('keeps the first 16 KiB of a body, whatever the chunks', () => {
    const record = trailOf();
    record.keepBodies();
    for (let i = 0; i < 5; i++) record.onResponseBytes(Buffer.alloc(5000, String(i)));
    const kept = String(record.keptBodies()?.response);
    expect(kept).toBe('0'.repeat(5000) + '1'.repeat(5000) + '2'.repeat(5000) + '3'.repeat(16_384 - 15_000));
    expect(record.responseBytes).toBe(25_000);
  });

  it('holds on to no larger buffer than what it keeps', () => {
    const record = trailOf();
    record.keepBodies();
    record.onRequestBytes(Buffer.alloc(1024 * 1024).subarray(10, 20));
    expect(record.keptBodies()?.request.buffer.byteLength).toBe(10);
  });

  it('shows none of the secrets that went out with it, nor does its line in the log', () => {
    const secret = 'real-token-0123';
    const basic = Buffer.from(`user:${secret}`).toString('base64');
    const record = trailOf({
      ...{ requestId: `id-${secret}`, path: `/pay/${secret}`, query: `?q=${encodeURIComponent(secret)}&p=%72` },
      ...{ requestHeaders: ['user-agent', `curl ${secret}`], responseHeaders: ['server', basic] },
    });
    record.redaction = new Redaction([secret]);
    record.keepBodies();
    record.onRequestBytes(gzipSync(`{"note":"${secret}","amount":1}`));
    record.onResponseBytes(Buffer.from(`{"note":"${secret}","amount":2}`));
    expect(record.redacted(`/pay/${secret}`)).toBe('/pay/[redacted]');
    const recorder = new RecentRequests(1);
    recorder.add(record);
    for (const [listed] of [recorder.since(0), recorder.since(0)]) {
      expect([listed?.requestId, listed?.path, listed?.query]).toEqual([
        ...['id-[redacted]', '/pay/[redacted]', '?q=[redacted]&p=%72'],
      ]);
    }
    const details = recorder.details(1);
    expect(details?.request.headers).toEqual([['user-agent', 'curl [redacted]']]);
    expect(details?.response.headers).toEqual([['server', '[redacted]']]);
    expect(JSON.parse(details?.request.body?.text ?? '')).toEqual({ note: '[redacted]', amount: 1 });
    expect(JSON.parse(details?.response.body?.text ?? '')).toEqual({ note: '[redacted]', amount: 2 });
  });

  it('forgets the answer of the first attempt when there is a second', () => {
    const record = trailOf();
    record.keepBodies();
    record.onAttempt();
    record.onResponseBytes(Buffer.from('dead token'));
    record.onAttempt();
    record.onResponseBytes(Buffer.from('ok'));
    expect([record.attempts.length, record.responseBytes, String(record.keptBodies()?.response)]).toEqual([2, 2, 'ok']);
  });
});

describe('the recorder', () => {
  it('gives the newest first, and those after a number', () => {
    const recorder = new RecentRequests(4);
    const records = [1, 2, 3].map(() => trailOf());
    for (const record of records) recorder.add(record);
    expect(recorder.since(0).map(({ number }) => number)).toEqual([3, 2, 1]);
    expect(records[0]).toMatchObject({ ...recorder.since(0)[2], hasHeaders: true });
    expect(recorder.since(2).map(({ number }) => number)).toEqual([3]);
    expect([recorder.since(3), recorder.dropped]).toEqual([[], 0]);
  });

  it('overwrites the oldest, and counts them', () => {
    const recorder = new RecentRequests(4);
    for (let i = 0; i < 10; i++) recorder.add(trailOf());
    expect(recorder.since(0).map(({ number }) => number)).toEqual([10, 9, 8, 7]);
    expect(recorder.dropped).toBe(6);
    expect(recorder.since(8).map(({ number }) => number)).toEqual([10, 9]);
  });

  it('keeps what a record said when it was added, whatever becomes of it', () => {
    const recorder = new RecentRequests(4);
    const record = trailOf({ path: '/a' });
    record.onAttempt().status = 401;
    record.onAttempt().status = 200;
    recorder.add(record);
    record.path = '/b';
    record.attempts[1]!.status = 500;
    const [kept] = recorder.since(0);
    expect([kept?.path, kept?.attempts.map(({ status }) => status)]).toEqual(['/a', [401, 200]]);
    for (let i = 0; i < 4; i++) recorder.add(trailOf());
    expect([kept?.path, recorder.since(0).map(({ attempts }) => attempts.length)]).toEqual(['/a', [0, 0, 0, 0]]);
  });

  it('keeps headers of what failed, of what has its bodies kept, and of all while somebody looks', () => {
    const recorder = new RecentRequests(8);
    const headers = ['host', 'localhost'];
    const withBodies = trailOf({ requestHeaders: headers });
    withBodies.keepBodies();
    for (const record of [
      trailOf({ requestHeaders: headers }),
      trailOf({ requestHeaders: headers, status: 404 }),
      trailOf({ requestHeaders: headers, code: 'upstream_reset' }),
      withBodies,
    ]) {
      recorder.add(record);
    }
    const shown = () =>
      recorder
        .since(0)
        .map(({ number, hasHeaders }) => hasHeaders && recorder.details(number)?.request.headers.length === 1);
    expect(shown().reverse()).toEqual([false, true, true, true]);
    recorder.add(trailOf({ requestHeaders: headers }));
    expect(shown()[0]).toBe(true);
    const later = performance.now() + 60_001;
    recorder.add(trailOf({ requestHeaders: headers, endedAt: later }));
    expect(shown()[0]).toBe(false);
  });

  it('gives what a client wrote masked and cut, and masks it once', () => {
    const recorder = new RecentRequests(4);
    const long = 'a'.repeat(15_000);
    const headers = ['authorization', 'Bearer x', 'user-agent', long];
    const record = trailOf({
      path: '/pay/254712345678',
      query: `?pin=1234&${long}`,
      status: 500,
      requestHeaders: headers,
    });
    record.keepBodies();
    record.onRequestBytes(Buffer.from('{"pin":"1234"}'));
    recorder.add(record);
    const [shown] = recorder.since(0);
    expect(shown).toMatchObject({ path: '/pay/254•••78', query: '?pin=[redacted]&[cut]' });
    expect(recorder.since(0)[0]).toBe(shown);
    expect(recorder.details(1)?.request).toEqual({
      headers: [
        ['authorization', '[redacted]'],
        ['user-agent', '[cut]'],
      ],
      body: { text: '{\n  "pin": "[redacted]"\n}', cut: 0 },
    });
    for (let i = 0; i < 4; i++) recorder.add(trailOf({ path: `/${i}` }));
    expect(recorder.since(0).map(({ path }) => path)).toEqual(['/3', '/2', '/1', '/0']);
    expect([recorder.details(1), recorder.details(0), recorder.details(6)]).toEqual([undefined, undefined, undefined]);
  });

  it('gives a request as it came, to be sent again', () => {
    const recorder = new RecentRequests(4);
    recorder.add(trailOf({ path: '/pay/254712345678', status: 500, requestHeaders: ['authorization', 'Bearer x'] }));
    expect(recorder.unmasked(1)).toMatchObject({
      path: '/pay/254712345678',
      requestHeaders: ['authorization', 'Bearer x'],
    });
    expect(recorder.unmasked(2)).toBeUndefined();
  });

  it('keeps a hundred in a second of those that go well, and all that fail', () => {
    const recorder = new RecentRequests(1000);
    for (let i = 0; i < 150; i++) recorder.add(trailOf({ endedAt: 5000 + i }));
    for (let i = 0; i < 50; i++) recorder.add(trailOf({ endedAt: 5200, status: i % 2 === 0 ? 502 : 0 }));
    expect([recorder.since(0).length, recorder.dropped]).toEqual([150, 50]);
    recorder.add(trailOf({ endedAt: 6000 }));
    expect([recorder.since(0).length, recorder.dropped]).toEqual([151, 50]);
  });
});

describe('the activity of a route', () => {
  it('counts by the first digit of the status, and those that left under 0', () => {
    const { counts } = finished(
      ...[200, 201, 302, 404, 502].map((status) => trailOf({ status })),
      trailOf({ status: 0, clientLeft: true }),
    );
    expect([...(counts?.statuses ?? [])]).toEqual([1, 0, 2, 1, 1, 1]);
  });

  it('sums durations, and counts them in buckets', () => {
    const { counts } = finished(trailOf(), trailOf());
    expect(counts?.latency.sumMs).toBeCloseTo(24);
    expect(counts?.latency.buckets.reduce((sum, count) => sum + count)).toBe(2);
  });

  it.each([
    ['answered', { use: 'replayed', refusals: 1 }],
    ['refused', { use: 'replayed', refusals: 2 }],
    ['failed', { use: 'replayed', refusals: 1, status: 502, code: 'upstream_reset' }],
  ] as const)('counts a second attempt as %s', (outcome, fields) => {
    const { counts } = finished(trailOf(fields));
    expect(counts?.replays).toEqual({ answered: 0, refused: 0, failed: 0, [outcome]: 1 });
    expect(counts?.uses.replayed).toBe(1);
    expect(counts?.refusals).toBe(fields.refusals);
  });

  it('knows the last failure until the provider answers again', () => {
    const failed = trailOf({ status: 502, code: 'upstream_unreachable', detail: 'refused' });
    const activity = finished(failed);
    expect(activity.failure).toMatchObject({ code: 'upstream_unreachable', detail: 'refused', requestId: 'request-1' });
    activity.finished(trailOf({ status: 413, code: 'body_too_large' }));
    expect(activity.failure?.code).toBe('upstream_unreachable');
    activity.finished(trailOf({ status: 0, clientLeft: true }));
    expect(activity.failure?.code).toBe('upstream_unreachable');
    activity.finished(trailOf({ status: 404 }));
    expect(activity.failure).toBeUndefined();
  });

  it('has no counts where nobody called, for there may be many routes', () => {
    const activity = new RouteStats();
    activity.tick(1, 0);
    expect([activity.counts, activity.buckets(1)]).toEqual([undefined, []]);
    activity.tick(2, 1);
    expect([activity.counts, activity.buckets(2).map(({ exchanges }) => exchanges)]).toEqual([undefined, [1]]);
  });
});

describe('the last quarter of an hour', () => {
  it('holds what each step added, and nothing for quiet ones', () => {
    const activity = finished(trailOf());
    activity.tick(100, 1);
    activity.tick(101, 1);
    activity.finished(trailOf({ status: 500 }));
    activity.finished(trailOf({ status: 404, refusals: 2 }));
    activity.tick(102, 3);
    const points = activity.buckets(102);
    expect(
      points.map(({ index: step, statuses, exchanges, refusals }) => ({ step, statuses, exchanges, refusals })),
    ).toEqual([
      { step: 100, statuses: [0, 0, 1, 0, 0, 0], exchanges: 1, refusals: 0 },
      { step: 102, statuses: [0, 0, 0, 0, 1, 1], exchanges: 2, refusals: 2 },
    ]);
    expect(points.map(({ latency }) => latency.reduce((sum, count) => sum + count))).toEqual([1, 2]);
  });

  it('ends after ninety steps of ten seconds', () => {
    const series = new TimeSeries();
    series.tick(1, undefined, 1);
    expect(series.buckets(MAX_BUCKETS)).toHaveLength(1);
    expect(series.buckets(MAX_BUCKETS + 1)).toEqual([]);
    for (let step = 2; step < 500; step++) series.tick(step, undefined, step);
    expect(series.buckets(499).map(({ index: step }) => step)).toEqual(
      Array.from({ length: MAX_BUCKETS }, (_, i) => 410 + i),
    );
  });

  it('has the same steps in every process', () => {
    expect([bucketIndexAt(0), bucketIndexAt(9999), bucketIndexAt(10_000)]).toEqual([0, 0, 1]);
  });
});
