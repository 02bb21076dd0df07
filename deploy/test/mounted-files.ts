import { chownSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** The image's user. */
const USER = 65532;

/**
 * Files in a directory as Kubernetes lays out those of a ConfigMap or Secret: each is a link through `..data`, which is
 * a link to a directory of its own for each version, and changes for all files in one step.
 */
export class MountedFiles {
  readonly #directory: string;
  #version = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Puts these files in the place of all former ones. Only the image's user may read them. */
  write(files: Readonly<Record<string, string>>): void {
    const former = `..version_${this.#version}`;
    const version = `..version_${++this.#version}`;
    mkdirSync(this.#at(version));
    for (const [name, content] of Object.entries(files)) {
      const file = this.#at(version, name);
      writeFileSync(file, content, { mode: 0o400 });
      chownSync(file, USER, USER);
    }
    symlinkSync(version, this.#at('..data_tmp'));
    renameSync(this.#at('..data_tmp'), this.#at('..data'));
    if (this.#version > 1) rmSync(this.#at(former), { recursive: true });
    else for (const name of Object.keys(files)) symlinkSync(path.join('..data', name), this.#at(name));
  }

  #at(...names: string[]): string {
    return path.join(this.#directory, ...names);
  }
}
