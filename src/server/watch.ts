import { createHash } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../clock.ts';

/** Events come in bursts while an editor or Kubernetes swaps files. */
const SETTLE_MS = 150;

/** Some mounts deliver no events at all. */
const POLL_MS = 10_000;

/**
 * Tells when the content of any of some files has changed. Folders are watched, not files, since Kubernetes swaps a
 * link beside them; and content is compared, since neither an event nor its absence says anything for sure.
 */
export class FileWatch {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #files: readonly string[] = [];
  #seen = '';
  #watchers: FSWatcher[] = [];
  #cancelSettle: () => void = () => {};
  #cancelPoll: () => void = () => {};

  constructor(clock: Clock, onChange: () => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Watches these files, as they are now, in place of those before. */
  of(files: readonly string[]): void {
    this.close();
    this.#files = files;
    this.#seen = contentOf(files);
    const folders = new Set(files.map((file) => dirname(file)));
    this.#watchers = [...folders].flatMap((folder) => this.#watcherOf(folder));
    this.#poll();
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
    this.#cancelSettle();
    this.#cancelPoll();
  }

  #watcherOf(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#settle());
      // A folder that goes away ends its watcher; the poll goes on.
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  }

  #settle(): void {
    this.#cancelSettle();
    this.#cancelSettle = this.#clock.after(SETTLE_MS, () => this.#compare());
  }

  #poll(): void {
    this.#cancelPoll = this.#clock.after(POLL_MS, () => {
      this.#poll();
      this.#compare();
    });
  }

  #compare(): void {
    const content = contentOf(this.#files);
    if (content === this.#seen) return;
    this.#seen = content;
    this.#onChange();
  }
}

/** A hash over all of them; an unreadable file counts as one with another content. */
function contentOf(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) {
    try {
      hash.update(readFileSync(file)).update('\0');
    } catch (error) {
      hash.update(`unreadable ${String(error)}`);
    }
  }
  return hash.digest('hex');
}
