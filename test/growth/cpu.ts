const SMALL = 16 * 1024;

/** CPU time for 64 KiB that needs no comparison. */
const FLOOR_MS = 20;

/** Linear code takes 4 times as long for 4 times the input. Quadratic code takes 16 times as long. */
const MAX_GROWTH = 8;

/** Maximum CPU time for 16 KiB, the size limit of a request head. */
const MAX_SMALL_MS = 250;

const RUNS = 5;

/**
 * Compares the CPU time that `run` needs for inputs of 16 KiB and 64 KiB.
 * @param make creates an input of about the given number of bytes
 * @returns undefined if the time grows linearly, else the measurements
 */
export function superlinear(run: (input: string) => unknown, make: (bytes: number) => string): string | undefined {
  const [small, large] = [make(SMALL), make(SMALL * 4)];
  const firstMs = cpuMs(run, small);
  if (firstMs > MAX_SMALL_MS) return `${Math.round(firstMs)} ms for 16 KiB`;
  const largeMs = fastest(run, large, FLOOR_MS);
  if (largeMs < FLOOR_MS) return undefined;
  const smallMs = fastest(run, small, 0);
  if (largeMs < MAX_GROWTH * smallMs) return undefined;
  return `${smallMs.toFixed(1)} ms for 16 KiB, ${largeMs.toFixed(1)} ms for 64 KiB`;
}

/** The lowest CPU time of several runs. Stops after a run that took less than `enoughMs`. */
function fastest(run: (input: string) => unknown, input: string, enoughMs: number): number {
  let least = Infinity;
  for (let i = 0; i < RUNS && least >= enoughMs; i++) least = Math.min(least, cpuMs(run, input));
  return least;
}

function cpuMs(run: (input: string) => unknown, input: string): number {
  const before = process.cpuUsage();
  run(input);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
