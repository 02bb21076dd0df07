/** Called once, when its deadline is reached. */
export interface DeadlineOwner {
  onDeadline(): void;
}

/**
 * Deadlines of the same duration. They expire in the order in which they were started, so a linked list and a single
 * timer are enough. Starting, restarting and clearing a deadline touches no timer.
 */
export class Deadlines {
  readonly #ms: number;
  /** Entry of a circular, doubly linked list, earliest deadline first. */
  readonly #list = new Deadline(this, undefined);
  #isTimerSet = false;

  /** @param ms at most 2^31 - 1 */
  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Expires in `ms` from now. */
  start(owner: DeadlineOwner): Deadline {
    const deadline = new Deadline(this, owner);
    this.restart(deadline);
    return deadline;
  }

  /** Expires in `ms` from now, whatever its time was before. */
  restart(deadline: Deadline): void {
    deadline.clear();
    deadline.linkBefore(this.#list, performance.now() + this.#ms);
    if (!this.#isTimerSet) this.#setTimer(this.#ms);
  }

  #setTimer(ms: number): void {
    this.#isTimerSet = true;
    // Does not keep the process alive: the connections of a waiting request do.
    setTimeout(() => this.#run(), ms).unref();
  }

  #run(): void {
    this.#isTimerSet = false;
    // A timer can fire up to a millisecond early.
    const now = performance.now() + 1;
    try {
      for (let next = this.#list.next; next !== this.#list && next.dueAt <= now; next = this.#list.next) {
        next.clear();
        next.owner?.onDeadline();
      }
    } finally {
      const { next } = this.#list;
      if (next !== this.#list && !this.#isTimerSet) this.#setTimer(next.dueAt - performance.now());
    }
  }
}

/** One deadline. A cleared deadline never calls its owner. */
export class Deadline {
  readonly owner: DeadlineOwner | undefined;
  next: Deadline = this;
  /** Milliseconds on the scale of `performance.now`. */
  dueAt = 0;
  readonly #deadlines: Deadlines;
  #previous: Deadline = this;

  constructor(deadlines: Deadlines, owner: DeadlineOwner | undefined) {
    this.#deadlines = deadlines;
    this.owner = owner;
  }

  restart(): void {
    this.#deadlines.restart(this);
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
