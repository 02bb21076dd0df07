/** Runs checks one after the other and counts them. One that fails stops none of the others. */
export class Report {
  #passed = 0;
  #failed = 0;

  /** What `run` gives back is a figure worth reading, printed behind the fact. */
  async check(fact: string, run: () => unknown): Promise<void> {
    try {
      const figure = await run();
      this.#passed++;
      this.say(`ok      ${fact}${typeof figure === 'string' ? ` (${figure})` : ''}`);
    } catch (error) {
      this.#failed++;
      const reason = error instanceof Error ? error.message : String(error);
      this.say(`FAILED  ${fact}\n        ${reason.replaceAll('\n', '\n        ')}`);
    }
  }

  say(line: string): void {
    process.stdout.write(`${line}\n`);
  }

  /** Prints the sum. @returns whether all was well, and there was something */
  finish(): boolean {
    this.say(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 && this.#passed > 0;
  }
}
