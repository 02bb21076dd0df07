import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { readRegularFile } from '../config/disk.ts';
import type { ValidatedConfig } from '../config/load.ts';
import { formatProblem } from '../errors.ts';
import { formatHostPort } from '../http/host-port.ts';
import type { Log } from '../logger.ts';
import { Secret } from '../secret.ts';
import type { Reloads } from '../telemetry/snapshot.ts';

/** @throws Error if a running server cannot apply the configuration */
export function assertNoRestartNeeded(before: Config, after: Config): void {
  if (listenersOf(after) !== listenersOf(before)) {
    throw new Error('to change `listen` or `admin`, or to turn TLS or `client_ca` on or off, restart Wakala');
  }
  if (after.workers !== before.workers) throw new Error('to change the number of `workers`, restart Wakala');
  if (after.tracing?.otlp !== before.tracing?.otlp) throw new Error('to change `tracing`, restart Wakala');
  if (tokenStoreOf(after) !== tokenStoreOf(before)) throw new Error('to change `token_store`, restart Wakala');
}

/** Whether client certificates are requested cannot change after a listener is created. */
function listenersOf({ listen, admin, tls }: Config): string {
  return JSON.stringify([formatHostPort(listen), admin && formatHostPort(admin), tls && tls.clientCa !== undefined]);
}

/** Without `tls`: certificates are renewed, and the next connection uses them. */
function tokenStoreOf({ tokenStore }: Config): string {
  const servers = tokenStore && { ...tokenStore.servers, tls: tokenStore.servers.tls !== undefined };
  return JSON.stringify([servers, tokenStore?.keys], function (this: Record<string, unknown>, key, value: unknown) {
    const original = this[key];
    return original instanceof Secret ? original.reveal() : value;
  });
}

/** An editor or Kubernetes causes several events when it replaces files. */
const SETTLE_MS = 150;

/** Other files in the folder, such as a log, may cause events without a pause. */
const MAX_SETTLE_MS = 1000;

/** Some file systems send no events. */
const POLL_INTERVAL_MS = 10_000;

/**
 * Calls back when the content of a file has changed. It watches folders, since Kubernetes replaces a symbolic link next
 * to the files. It compares the content, since there may be events without a change, and changes without an event.
 */
export class FileWatcher {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  /** By file: a hash of its content when it was last checked. */
  #hashes = new Map<string, string>();
  #watchers: FSWatcher[] = [];
  /** Time of the first event since the last comparison. Epoch milliseconds. */
  #unsettledSinceMs: number | undefined;
  #cancelSettle: () => void = () => {};
  #cancelPoll: () => void = () => {};

  constructor(clock: Clock, onChange: () => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /**
   * Sets the files, without watching them yet. Files that were set before keep their known content.
   * @returns true if one of them is new
   */
  setFiles(files: readonly string[]): boolean {
    const before = this.#hashes;
    this.#hashes = new Map(files.map((file) => [file, before.get(file) ?? hashOf(file)]));
    return files.some((file) => !before.has(file));
  }

  /** Sets the files, and watches them. @returns true if one of them is new */
  watch(files: readonly string[]): boolean {
    const hasNewFile = this.setFiles(files);
    this.close();
    const folders = new Set([...this.#hashes.keys()].map((file) => dirname(file)));
    this.#watchers = [...folders].flatMap((folder) => this.#watchFolder(folder));
    this.#poll();
    return hasNewFile;
  }

  /** @returns true if a file has changed since it was last checked */
  check(): boolean {
    const before = this.#hashes;
    this.#hashes = new Map([...before.keys()].map((file) => [file, hashOf(file)]));
    return [...this.#hashes].some(([file, hash]) => before.get(file) !== hash);
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
    this.#unsettledSinceMs = undefined;
    this.#cancelSettle();
    this.#cancelPoll();
  }

  #watchFolder(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#settle());
      // The watcher of a deleted folder ends. The poll continues.
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  }

  #settle(): void {
    const nowMs = this.#clock.now();
    this.#unsettledSinceMs ??= nowMs;
    const restMs = this.#unsettledSinceMs + MAX_SETTLE_MS - nowMs;
    this.#cancelSettle();
    this.#cancelSettle = this.#clock.after(Math.max(0, Math.min(SETTLE_MS, restMs)), () => this.#compare());
  }

  #poll(): void {
    this.#cancelPoll = this.#clock.after(POLL_INTERVAL_MS, () => {
      this.#poll();
      this.#compare();
    });
  }

  #compare(): void {
    this.#unsettledSinceMs = undefined;
    if (this.check()) this.#onChange();
  }
}

/** A file that cannot be read has another hash than any content. */
function hashOf(file: string): string {
  try {
    return createHash('sha256').update(readRegularFile(file).bytes).digest('hex');
  } catch (error) {
    return `unreadable: ${String(error)}`;
  }
}

interface ReloadContext {
  /** Reads the configuration. Does not throw for an invalid one. */
  readonly readConfig: () => ValidatedConfig;
  /** Applies a valid configuration as a whole. If it throws, the old one stays in use. */
  readonly apply: (config: Config, texts: ReadonlyMap<string, string>) => void;
  readonly log: Log;
  readonly clock: Clock;
}

export const NO_RELOADS: Reloads = { taken: 0, refused: 0, failure: undefined };

/** Applies a changed configuration as a whole. If it is invalid, the old one stays in use. */
export class Reloader {
  readonly #context: ReloadContext;
  readonly #watcher: FileWatcher;
  #reloads = NO_RELOADS;

  constructor(context: ReloadContext) {
    this.#context = context;
    this.#watcher = new FileWatcher(context.clock, () => this.reload('a file changed'));
  }

  get reloads(): Reloads {
    return this.#reloads;
  }

  /** Remembers the content of the files at the time when they are read. Call it before `watch`. */
  setFiles(files: readonly string[]): void {
    this.#watcher.setFiles(files);
  }

  /** Watches the files, and reloads if one has changed since `setFiles`. */
  watch(files: readonly string[]): void {
    this.#watcher.watch(files);
    if (this.#watcher.check()) this.reload('a file changed');
  }

  reload(reason: string): void {
    const { log } = this.#context;
    // Check before reading, so that a change during the reading causes another reload.
    this.#watcher.check();
    let found = this.#context.readConfig();
    // A new file may have changed between the reading and the first check. Read again.
    while (this.#watcher.watch(found.files)) found = this.#context.readConfig();
    if (found.config === undefined) {
      for (const { file, line, column, message } of found.problems)
        log.error('config_error', { file, line, column }, message);
      const [first] = found.problems;
      const others = found.problems.length > 1 ? `, and ${found.problems.length - 1} more` : '';
      this.#failed(first === undefined ? 'the file could not be read' : formatProblem(first) + others);
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
    this.#watcher.close();
  }

  #failed(problem: string): void {
    const failure = `reload refused; the old configuration stays in use: ${problem}`;
    this.#reloads = { ...this.#reloads, refused: this.#reloads.refused + 1, failure };
    this.#context.log.error('config_reload_refused', { error: problem });
  }
}
