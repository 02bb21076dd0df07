import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A new folder, deleted when the test ends. */
export function folder(): string {
  const path = mkdtempSync(join(realpathSync(tmpdir()), 'wakala-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Counts calls, and lets a test wait for the next. */
export class Calls {
  count = 0;
  #next: PromiseWithResolvers<undefined> = Promise.withResolvers();

  readonly call = (): void => {
    this.count += 1;
    this.#next.resolve(undefined);
    this.#next = Promise.withResolvers();
  };

  async until(count: number): Promise<void> {
    while (this.count < count) await this.#next.promise;
  }
}

/** A mounted ConfigMap of Kubernetes: files are links through `..data`, which is a link to a folder with a date. */
export class ConfigMap {
  readonly path = folder();
  #versions = 0;

  constructor(files: Readonly<Record<string, string>>) {
    this.swap(files);
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), this.file(name));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Replaces all files at once. */
  swap(files: Readonly<Record<string, string>>): void {
    this.#versions += 1;
    const version = `..2026_01_01_09_00_0${this.#versions}`;
    mkdirSync(join(this.path, version));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.path, version, name), text);
    symlinkSync(version, join(this.path, '..data_tmp'));
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'));
    if (this.#versions > 1) rmSync(join(this.path, `..2026_01_01_09_00_0${this.#versions - 1}`), { recursive: true });
  }
}

/** Writes a new file and renames it over the old one, as editors do. */
export function rewrite(file: string, text: string): void {
  writeFileSync(`${file}.swp`, text);
  renameSync(`${file}.swp`, file);
}
