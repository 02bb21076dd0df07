import { setTimeout as delay } from 'node:timers/promises';

/** Collects cleanup functions and runs them in reverse order. */
export class Scope {
  readonly #cleanups: (() => unknown)[] = [];

  onEnd(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  async end(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }
}

/** Runs a function with a scope and ends the scope afterwards, also after an error. */
export async function withScope<T>(run: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = new Scope();
  try {
    return await run(scope);
  } finally {
    await scope.end();
  }
}

/** Runs `step` for the numbers from 0 to `count - 1`, at most `workers` at a time. */
export async function inParallel(
  count: number,
  workers: number,
  step: (number: number, worker: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async (worker: number) => {
    while (next < count) await step(next++, worker);
  };
  await Promise.all(Array.from({ length: Math.min(workers, count) }, (_, worker) => work(worker)));
}

/**
 * Polls until `check` returns true, for state without events, such as files in /proc.
 * @returns whether it became true within `timeoutMs`
 */
export async function eventually(timeoutMs: number, check: () => boolean | Promise<boolean>): Promise<boolean> {
  const untilMs = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() >= untilMs) return false;
    await delay(20);
  }
  return true;
}

/** Settles like `promise`, or rejects after `timeoutMs`. */
export async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took more than ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
