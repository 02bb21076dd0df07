import { describe, expect, it } from 'vitest';
import { RequestRecord } from '../../src/telemetry/request-record.ts';
import { bucketIndexAt, MAX_BUCKETS, RouteStats, TimeSeries } from '../../src/telemetry/route-stats.ts';

function recordOf(fields: Partial<RequestRecord> = {}): RequestRecord {
  const record = new RequestRecord('request-1', 'POST', []);
  return Object.assign(record, { status: 200, use: 'cached', endedAt: record.startedAt + 12 }, fields);
}

function finished(...records: RequestRecord[]): RouteStats {
  const stats = new RouteStats();
  for (const record of records) stats.finished(record);
  return stats;
}

describe('RouteStats', () => {
  it('counts by the first digit of the status, and disconnected clients under 0', () => {
    const { counts } = finished(
      ...[200, 201, 302, 404, 502].map((status) => recordOf({ status })),
      recordOf({ status: 0, clientLeft: true }),
    );
    expect([...(counts?.statuses ?? [])]).toEqual([1, 0, 2, 1, 1, 1]);
  });

  it('adds up durations and counts them in buckets', () => {
    const { counts } = finished(recordOf(), recordOf());
    expect(counts?.latency.sumMs).toBeCloseTo(24);
    expect(counts?.latency.buckets.reduce((sum, count) => sum + count)).toBe(2);
  });

  it.each([
    ['answered', { use: 'replayed', refusals: 1 }],
    ['refused', { use: 'replayed', refusals: 2 }],
    ['failed', { use: 'replayed', refusals: 1, status: 502, code: 'upstream_reset' }],
  ] as const)('counts a replayed request as %s', (outcome, fields) => {
    const { counts } = finished(recordOf(fields));
    expect(counts?.replays).toEqual({ answered: 0, refused: 0, failed: 0, [outcome]: 1 });
    expect(counts?.uses.replayed).toBe(1);
    expect(counts?.refusals).toBe(fields.refusals);
  });

  it('keeps the last failure until the provider responds again', () => {
    const failed = recordOf({ status: 502, code: 'upstream_unreachable', detail: 'refused' });
    const stats = finished(failed);
    expect(stats.failure).toMatchObject({ code: 'upstream_unreachable', detail: 'refused', requestId: 'request-1' });
    stats.finished(recordOf({ status: 413, code: 'body_too_large' }));
    expect(stats.failure?.code).toBe('upstream_unreachable');
    stats.finished(recordOf({ status: 0, clientLeft: true }));
    expect(stats.failure?.code).toBe('upstream_unreachable');
    stats.finished(recordOf({ status: 404 }));
    expect(stats.failure).toBeUndefined();
  });

  it('has no counters before the first request', () => {
    const stats = new RouteStats();
    stats.tick(1, 0);
    expect([stats.counts, stats.buckets(1)]).toEqual([undefined, []]);
    stats.tick(2, 1);
    expect([stats.counts, stats.buckets(2).map(({ exchanges }) => exchanges)]).toEqual([undefined, [1]]);
  });
});

describe('TimeSeries', () => {
  it('has what each bucket added, and leaves out quiet buckets', () => {
    const stats = finished(recordOf());
    stats.tick(100, 1);
    stats.tick(101, 1);
    stats.finished(recordOf({ status: 500 }));
    stats.finished(recordOf({ status: 404, refusals: 2 }));
    stats.tick(102, 3);
    const buckets = stats.buckets(102);
    expect(
      buckets.map(({ index, statuses, exchanges, refusals }) => ({ index, statuses, exchanges, refusals })),
    ).toEqual([
      { index: 100, statuses: [0, 0, 1, 0, 0, 0], exchanges: 1, refusals: 0 },
      { index: 102, statuses: [0, 0, 0, 0, 1, 1], exchanges: 2, refusals: 2 },
    ]);
    expect(buckets.map(({ latency }) => latency.reduce((sum, count) => sum + count))).toEqual([1, 2]);
  });

  it('keeps 90 buckets of 10 seconds', () => {
    const series = new TimeSeries();
    series.tick(1, undefined, 1);
    expect(series.buckets(MAX_BUCKETS)).toHaveLength(1);
    expect(series.buckets(MAX_BUCKETS + 1)).toEqual([]);
    for (let index = 2; index < 500; index++) series.tick(index, undefined, index);
    expect(series.buckets(499).map(({ index }) => index)).toEqual(
      Array.from({ length: MAX_BUCKETS }, (_, i) => 410 + i),
    );
  });

  it('has the same buckets in every process', () => {
    expect([bucketIndexAt(0), bucketIndexAt(9999), bucketIndexAt(10_000)]).toEqual([0, 0, 1]);
  });
});
