/** Told once, when its time is up. */
export interface DeadlineOwner {
  onDeadline(): void;
}

/**
 * Deadlines of one length. The one set first is due first, so a list and a single timer do for all of them: setting,
 * moving and clearing one costs no timer.
 */
export class Deadlines {
  readonly #ms: number;
  /** A ring through this entry, soonest first. */
  readonly #ring = new Deadline(this, undefined);
  #armed = false;

  /** @param ms at most 2^31 - 1 */
  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Due in `ms` from now. */
  start(owner: DeadlineOwner): Deadline {
    const deadline = new Deadline(this, owner);
    this.restart(deadline);
    return deadline;
  }

  /** Due in `ms` from now, whenever it was due before. */
  restart(deadline: Deadline): void {
    deadline.clear();
    deadline.linkBefore(this.#ring, performance.now() + this.#ms);
    if (!this.#armed) this.#arm(this.#ms);
  }

  #arm(ms: number): void {
    this.#armed = true;
    // What waits for an answer keeps the process alive by its connections.
    setTimeout(() => this.#run(), ms).unref();
  }

  #run(): void {
    this.#armed = false;
    // A timer may be early by less than its own unit.
    const now = performance.now() + 1;
    try {
      for (let next = this.#ring.next; next !== this.#ring && next.dueAt <= now; next = this.#ring.next) {
        next.clear();
        next.owner?.onDeadline();
      }
    } finally {
      const { next } = this.#ring;
      if (next !== this.#ring && !this.#armed) this.#arm(next.dueAt - performance.now());
    }
  }
}

/** One deadline; cleared, it never comes. */
export class Deadline {
  readonly owner: DeadlineOwner | undefined;
  next: Deadline = this;
  /** On the scale of `performance.now`. Milliseconds. */
  dueAt = 0;
  readonly #all: Deadlines;
  #previous: Deadline = this;

  constructor(all: Deadlines, owner: DeadlineOwner | undefined) {
    this.#all = all;
    this.owner = owner;
  }

  restart(): void {
    this.#all.restart(this);
  }

  linkBefore(other: Deadline, dueAt: number): void {
    this.dueAt = dueAt;
    this.next = other;
    this.#previous = other.#previous;
    other.#previous.next = this;
    other.#previous = this;
  }

  clear(): void {
    this.next.#previous = this.#previous;
    this.#previous.next = this.next;
    this.next = this;
    this.#previous = this;
  }
}
