import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Child, finish, type Finished } from './child.ts';
import { assignment, parseDockerfile } from './dockerfile.ts';
import type { Engine, ImageSettings, Running } from './engine.ts';
import { PlainBuild } from './plain-build.ts';
import type { Recipe } from './recipe.ts';

/**
 * For machines where no container can run: builds the same files, and runs them with another root directory, as another
 * user without privileges. No limits, no read-only mounts, no namespaces.
 */
export class Chroot implements Engine {
  readonly isContainer = false;
  readonly name = 'chroot, without containers';
  readonly root: string;
  readonly settings: ImageSettings;
  readonly #volumes: string[] = [];

  static async build(directory: string, recipe: Recipe, text: string): Promise<Chroot> {
    const dockerfile = parseDockerfile(text);
    const build = new PlainBuild(directory, recipe, dockerfile);
    let image: { root: string; settings: ImageSettings } | undefined;
    for (const stage of dockerfile.stages) image = await build.add(stage);
    if (image === undefined) throw new Error('the Dockerfile has no stage');
    await addNull(image.root);
    return new Chroot(image.root, image.settings);
  }

  private constructor(root: string, settings: ImageSettings) {
    this.root = root;
    this.settings = settings;
  }

  volume(target: string): string {
    const directory = path.join(this.root, target);
    mkdirSync(directory, { recursive: true });
    this.#volumes.push(target);
    return directory;
  }

  run(args: readonly string[], user?: string): Promise<Finished> {
    return finish(this.#inside([...this.settings.entrypoint, ...args], user), { env: this.#environment() });
  }

  async start(args: readonly string[]): Promise<Running> {
    const { entrypoint, command, healthcheck, stopSignal } = this.settings;
    const startedMs = Date.now();
    const inside = this.#inside([...entrypoint, ...(args.length > 0 ? args : command)]);
    const child = new Child(inside, { env: this.#environment() });
    await child.until(/"event":"ready"/);
    return {
      output: child,
      pid: child.pid,
      healthcheck: () => finish(this.#inside(healthcheck), { env: this.#environment() }),
      stop: () => {
        child.kill(stopSignal as NodeJS.Signals);
        return child.exited;
      },
      memory: () => undefined,
      changes: () => Promise.resolve(this.#changedSince(startedMs)),
    };
  }

  async close(): Promise<void> {
    // What runs ends with this process, and the directory is the caller's.
  }

  #inside(command: readonly string[], user = this.settings.user): string[] {
    const identity = [`--userspec=${user}`, '--groups='];
    return ['setpriv', '--no-new-privs', '--inh-caps=-all', 'chroot', ...identity, this.root, ...command];
  }

  #environment(): NodeJS.ProcessEnv {
    const { PATH = '' } = process.env;
    return { PATH, ...Object.fromEntries(this.settings.environment.map(assignment)) };
  }

  #changedSince(startedMs: number): string[] {
    const files = readdirSync(this.root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return files
      .map((entry) => path.join(entry.parentPath, entry.name))
      .filter((file) => statSync(file).ctimeMs > startedMs)
      .map((file) => file.slice(this.root.length))
      .filter((file) => file !== '/dev/null' && !this.#volumes.some((volume) => file.startsWith(`${volume}/`)));
  }
}

/** Node wants /dev/null; making it takes a right that root may lack, and then a file does. */
async function addNull(root: string): Promise<void> {
  const file = path.join(root, 'dev/null');
  const { code } = await finish(['mknod', '-m', '666', file, 'c', '1', '3']);
  if (code !== 0) writeFileSync(file, '');
}
