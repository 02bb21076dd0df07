import { setTimeout as delay } from 'node:timers/promises';

/** Undoes in reverse order what a scenario started. */
export class Scope {
  readonly #undo: (() => unknown)[] = [];

  onEnd(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  async end(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
  }
}

/** Runs something that starts servers and processes, and ends those whatever comes of it. */
export async function within<T>(run: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = new Scope();
  try {
    return await run(scope);
  } finally {
    await scope.end();
  }
}

/** Runs `step` for 0, 1, 2, ... up to `count`, `workers` of them at a time. */
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
 * Waits until `check` holds, for things that tell nobody when they change, such as the files in /proc.
 * @returns whether it held within `timeoutMs`
 */
export async function eventually(timeoutMs: number, check: () => boolean | Promise<boolean>): Promise<boolean> {
  const untilMs = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() >= untilMs) return false;
    await delay(20);
  }
  return true;
}

/** Settles as `promise` does, or fails after `timeoutMs`. */
export async function inTime<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took more than ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
