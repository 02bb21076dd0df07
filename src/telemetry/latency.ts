/** Upper bounds of the latency buckets, inclusive. Milliseconds. The last bucket has no upper bound. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000,
  15_000, 20_000, 30_000, 60_000,
];

export function newLatencyBuckets(): Float64Array {
  return new Float64Array(LATENCY_BOUNDS_MS.length + 1);
}

/** Index of the bucket for a duration. */
export function latencyBucketOf(ms: number): number {
  let low = 0;
  let high = LATENCY_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ms <= (LATENCY_BOUNDS_MS[middle] ?? 0)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Estimates a quantile, by linear interpolation within its bucket.
 * @param quantile from 0 to 1
 * @returns milliseconds; undefined if the buckets are empty
 */
export function latencyAt(buckets: ArrayLike<number>, quantile: number): number | undefined {
  let total = 0;
  for (let i = 0; i < buckets.length; i++) total += buckets[i] ?? 0;
  if (total === 0) return undefined;
  let rank = quantile * total;
  for (let i = 0; i < buckets.length; i++) {
    const count = buckets[i] ?? 0;
    const from = i === 0 ? 0 : (LATENCY_BOUNDS_MS[i - 1] ?? 0);
    if (count > 0 && rank <= count) return from + ((LATENCY_BOUNDS_MS[i] ?? from) - from) * (rank / count);
    rank -= count;
  }
  return LATENCY_BOUNDS_MS.at(-1);
}
