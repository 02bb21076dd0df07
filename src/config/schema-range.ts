import type { formatDuration, formatSize } from './units.ts';

interface Range {
  readonly min: number;
  readonly max: number;
}

/** A sentence for descriptions: `From 1ms to 24h.` The JSON Schema of a text cannot say it otherwise. */
export function fromTo({ min, max }: Range, format: typeof formatDuration | typeof formatSize): string {
  return `From \`${format(min)}\` to \`${format(max)}\`.`;
}
