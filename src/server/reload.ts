import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Reloads } from '../telemetry/snapshot.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { readRegularFile } from '../config/disk.ts';
import { formatAddress } from '../config/values.ts';
import { type ConfigProblem, formatProblem } from '../errors.ts';
import type { Log } from '../logger.ts';

/** @throws Error if a running server cannot take a configuration over */
export function assertNoRestartNeeded(before: Config, after: Config): void {
  if (listenersOf(after) !== listenersOf(before)) {
    throw new Error('`listen`, `admin`, and turning TLS or `client_ca` on or off take a restart');
  }
  if (after.workers !== before.workers) throw new Error('another number of `workers` takes a restart');
  if (after.tracing?.otlp !== before.tracing?.otlp) throw new Error('another `tracing` takes a restart');
  if (storeOf(after) !== storeOf(before)) throw new Error('another `token_store` takes a restart');
}

function listenersOf({ listen, admin, tls }: Config): string {
  return (
    [listen, admin].map((address) => (address === undefined ? 'off' : formatAddress(address))).join() + tlsKind(tls)
  );
}

/** Whether certificates are asked for is settled when the listener is made. */
function tlsKind(tls: Config['tls']): string {
  if (tls === undefined) return '';
  return tls.clientCa === undefined ? ' tls' : ' mutual tls';
}

function storeOf({ tokenStore }: Config): string {
  return JSON.stringify([tokenStore?.url.reveal(), tokenStore?.keys.map((key) => key.reveal())]);
}

/** Events come in bursts while an editor or Kubernetes swaps files. */
const SETTLE_MS = 150;

/** Some mounts deliver no events at all. */
const POLL_MS = 10_000;

/**
 * Tells when the content of any of some files has changed. Folders are watched, not files, since Kubernetes swaps a
 * link beside them; and content is compared, since neither an event nor its absence says anything for sure.
 */
export class FileWatcher {
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

/** A configuration as it was found on disk: the good one, or what is wrong with it. */
export interface ExaminedConfig {
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
  /** Every file that it was read from, or should have been. */
  readonly files: readonly string[];
  /** What was read, by absolute path. */
  readonly texts: ReadonlyMap<string, string>;
}

interface ReloadContext {
  /** Reads the configuration anew. Never throws for a bad one. */
  readonly examine: () => ExaminedConfig;
  /** Puts a good configuration to work, all of it or, if it throws, none. */
  readonly apply: (config: Config, texts: ReadonlyMap<string, string>) => void;
  readonly log: Log;
  readonly clock: Clock;
}

export const NO_RELOADS: Reloads = { taken: 0, refused: 0, failure: undefined };

/** Takes a changed configuration over, all or nothing: with a bad one the old one serves on. */
export class Reloader {
  readonly #context: ReloadContext;
  readonly #watch: FileWatcher;
  #reloads = NO_RELOADS;

  constructor(context: ReloadContext) {
    this.#context = context;
    this.#watch = new FileWatcher(context.clock, () => this.reload('a file changed'));
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
      for (const { file, line, column, message } of found.problems)
        log.error('config_error', { file, line, column }, message);
      const [first] = found.problems;
      const more = found.problems.length > 1 ? `, and ${found.problems.length - 1} more` : '';
      this.#failed(first === undefined ? 'it could not be read' : formatProblem(first) + more);
      return;
    }
    for (const { file, line, column, message } of found.warnings)
      log.warn('config_warning', { file, line, column }, message);
    try {
      this.#context.apply(found.config, found.texts);
      this.#reloads = { ...this.#reloads, taken: this.#reloads.taken + 1, failure: undefined };
      log.info('config_reloaded', { reason, routes: found.config.routes.length });
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
    this.#context.log.error('config_reload_refused', { error: why });
  }
}
