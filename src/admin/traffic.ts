import { latencyAt } from '../telemetry/latency.ts';
import { type Bucket, BUCKET_MS, BUCKETS, bucketAt } from '../telemetry/series.ts';
import { sumsOf } from './merge.ts';
import type { RouteSnapshot } from './snapshot.ts';

/** The last quarter of an hour of a route. */
export interface Traffic {
  /** Over the last whole minute. */
  readonly perSecond: number;
  /** In the window, or since the start where that is shorter. Milliseconds; undefined if there was no request. */
  readonly p50Ms: number | undefined;
  readonly p95Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly steps: Steps;
  /** Those steps in which anything happened, oldest first. */
  readonly points: readonly Bucket[];
}

/** The steps of the window: `first` up to and including `last`, the last one that is whole. */
export interface Steps {
  readonly first: number;
  readonly last: number;
  /** Whether counts since the start hold nothing older than the window. */
  readonly isWhole: boolean;
}

const STEPS_OF_RATE = 6;

/** @param startedAtMs of the process that runs the longest */
export function stepsUntil(nowMs: number, startedAtMs: number): Steps {
  const last = bucketAt(nowMs) - 1;
  return { first: last - BUCKETS + 1, last, isWhole: nowMs - startedAtMs < BUCKETS * BUCKET_MS };
}

export function trafficOf(route: RouteSnapshot | undefined, steps: Steps): Traffic {
  const points = route?.points ?? [];
  const latency = steps.isWhole ? (route?.counts?.latency ?? []) : latencyOf(points);
  const recent = points.filter(({ step }) => step > steps.last - STEPS_OF_RATE);
  return {
    perSecond: recent.reduce((sum, point) => sum + requestsIn(point), 0) / ((STEPS_OF_RATE * BUCKET_MS) / 1000),
    p50Ms: latencyAt(latency, 0.5),
    p95Ms: latencyAt(latency, 0.95),
    p99Ms: latencyAt(latency, 0.99),
    steps,
    points,
  };
}

export function requestsIn({ statuses }: Bucket): number {
  return statuses.reduce((sum, n) => sum + n, 0);
}

function latencyOf(points: readonly Bucket[]): number[] {
  return points.reduce<number[]>((sum, { latency }) => sumsOf(sum, latency), []);
}
