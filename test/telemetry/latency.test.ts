import { describe, expect, it } from 'vitest';
import { LATENCY_BOUNDS_MS, latencyAt, latencyBucketOf, newLatencyBuckets } from '../../src/telemetry/latency.ts';

function counted(...durationsMs: number[]): Float64Array {
  const buckets = newLatencyBuckets();
  for (const ms of durationsMs) buckets[latencyBucketOf(ms)]! += 1;
  return buckets;
}

describe('latencyBucketOf', () => {
  it('is the first bucket whose bound is not exceeded', () => {
    for (const [i, bound] of LATENCY_BOUNDS_MS.entries()) {
      expect([latencyBucketOf(bound - 0.01), latencyBucketOf(bound), latencyBucketOf(bound + 0.01)]).toEqual([
        i,
        i,
        i + 1,
      ]);
    }
    expect([latencyBucketOf(0), latencyBucketOf(1e9)]).toEqual([0, LATENCY_BOUNDS_MS.length]);
  });

  it('has increasing bounds', () => {
    expect([...LATENCY_BOUNDS_MS].sort((a, b) => a - b)).toEqual(LATENCY_BOUNDS_MS);
  });
});

describe('latencyAt', () => {
  it('is undefined without a count', () => {
    expect(latencyAt(newLatencyBuckets(), 0.5)).toBeUndefined();
  });

  it('interpolates within the bucket', () => {
    expect(latencyAt(counted(12, 12, 12, 12), 0.5)).toBe(12.5);
    expect(latencyAt(counted(0.5, 0.5, 0.5, 400), 0.75)).toBe(1);
    expect(latencyAt(counted(0.5, 0.5, 0.5, 400), 0.99)).toBeGreaterThan(300);
    expect(latencyAt(counted(0.5, 0.5, 0.5, 400), 0.99)).toBeLessThanOrEqual(500);
  });

  it('is the last bound for durations beyond it', () => {
    expect(latencyAt(counted(70_000, 900_000), 0.5)).toBe(60_000);
  });
});
