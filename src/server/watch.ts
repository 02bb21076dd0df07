import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../clock.ts';
import { readRegularFile } from '../config/disk.ts';

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
  /** Files by their content, as it was last looked at. */
  #seen = new Map<string, string>();
  #watchers: FSWatcher[] = [];
  #cancelSettle: () => void = () => {};
  #cancelPoll: () => void = () => {};

  constructor(clock: Clock, onChange: () => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /**
   * Takes these files in place of those before, as they were seen then, and new ones as they are now.
   * @returns true if there is a new one
   */
  note(files: readonly string[]): boolean {
    const before = this.#seen;
    this.#seen = new Map(files.map((file) => [file, before.get(file) ?? contentOf(file)]));
    return files.some((file) => !before.has(file));
  }

  /** Notes these files, and watches them from now on. @returns true if there is a new one */
  of(files: readonly string[]): boolean {
    const isNew = this.note(files);
    this.close();
    const folders = new Set([...this.#seen.keys()].map((file) => dirname(file)));
    this.#watchers = [...folders].flatMap((folder) => this.#watcherOf(folder));
    this.#poll();
    return isNew;
  }

  /** Takes the files as they are now for seen: to be called before they are read. @returns true if any has changed */
  look(): boolean {
    const before = this.#seen;
    this.#seen = new Map([...before.keys()].map((file) => [file, contentOf(file)]));
    return [...this.#seen].some(([file, content]) => before.get(file) !== content);
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
    if (this.look()) this.#onChange();
  }
}

/** A hash of it; an unreadable file counts as one with another content. */
function contentOf(file: string): string {
  try {
    return createHash('sha256').update(readRegularFile(file).bytes).digest('hex');
  } catch (error) {
    return `unreadable: ${String(error)}`;
  }
}
