import type { Reloads } from '../admin/listener.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { type ConfigProblem, formatProblem } from '../errors.ts';
import type { Log } from '../log.ts';
import { FileWatch } from './watch.ts';

/** A configuration as it was found on disk: the good one, or what is wrong with it. */
export interface Found {
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
  /** Every file that it was read from, or should have been. */
  readonly files: readonly string[];
  /** What was read, by absolute path. */
  readonly texts: ReadonlyMap<string, string>;
}

export interface ReloadContext {
  /** Reads the configuration anew. Never throws for a bad one. */
  readonly examine: () => Found;
  /** Puts a good configuration to work, all of it or, if it throws, none. */
  readonly apply: (config: Config, texts: ReadonlyMap<string, string>) => void;
  readonly log: Log;
  readonly clock: Clock;
}

export const NO_RELOADS: Reloads = { taken: 0, refused: 0, failure: undefined };

/** Takes a changed configuration over, all or nothing: with a bad one the old one serves on. */
export class Reloader {
  readonly #context: ReloadContext;
  readonly #watch: FileWatch;
  #reloads = NO_RELOADS;

  constructor(context: ReloadContext) {
    this.#context = context;
    this.#watch = new FileWatch(context.clock, () => this.reload('a file changed'));
  }

  get reloads(): Reloads {
    return this.#reloads;
  }

  /** Takes down the files as they are when they are read, before `watch`. */
  note(files: readonly string[]): void {
    this.#watch.note(files);
  }

  /** Watches these files, and takes over what has changed since they were noted. */
  watch(files: readonly string[]): void {
    this.#watch.of(files);
    if (this.#watch.look()) this.reload('a file changed');
  }

  reload(reason: string): void {
    const { log } = this.#context;
    // Before they are read, so that a change in between is seen as one.
    this.#watch.look();
    let found = this.#context.examine();
    // A file that was not known before may have changed since it was read.
    while (this.#watch.of(found.files)) found = this.#context.examine();
    if (found.config === undefined) {
      for (const { file, line, column, message } of found.problems) log.error({ file, line, column }, message);
      const [first] = found.problems;
      const more = found.problems.length > 1 ? `, and ${found.problems.length - 1} more` : '';
      this.#failed(first === undefined ? 'it could not be read' : formatProblem(first) + more);
      return;
    }
    for (const { file, line, column, message } of found.warnings) log.warn({ file, line, column }, message);
    try {
      this.#context.apply(found.config, found.texts);
      this.#reloads = { ...this.#reloads, taken: this.#reloads.taken + 1, failure: undefined };
      log.info({ reason, routes: found.config.routes.length }, 'configuration reloaded');
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    this.#watch.close();
  }

  #failed(why: string): void {
    const failure = `reload refused, the old configuration serves on: ${why}`;
    this.#reloads = { ...this.#reloads, refused: this.#reloads.refused + 1, failure };
    this.#context.log.error({ error: why }, 'reload refused; the old configuration serves on');
  }
}
