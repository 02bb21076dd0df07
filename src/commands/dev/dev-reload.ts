import type { Reloads } from '../../telemetry/snapshot.ts';
import type { Config } from '../../config/config.ts';
import type { ValidatedConfig } from '../../config/load.ts';
import { formatProblem } from '../../errors.ts';
import { NO_RELOADS } from '../../server/reload.ts';
import type { Emulated, Emulation } from './dev-emulators.ts';

interface DevReloadContext {
  /** As the user calls the file. */
  readonly file: string;
  /** Reads the configuration anew. Never throws for a bad one. */
  readonly examine: () => ValidatedConfig;
  /** Puts a good configuration to work, all of it or, if it throws, none. */
  readonly apply: (config: Config) => void;
  readonly emulation: Emulation;
}

/** Takes a changed file over when it is asked to, all or nothing: with a bad one the old configuration serves on. */
export class DevReload {
  readonly #context: DevReloadContext;
  #reloads = NO_RELOADS;
  #underWay: Promise<readonly string[]> | undefined;
  #closed = false;

  constructor(context: DevReloadContext) {
    this.#context = context;
  }

  get reloads(): Reloads {
    return this.#reloads;
  }

  /** Never rejects; one at a time. @returns what came of it, in lines for the user */
  async reload(): Promise<readonly string[]> {
    if (this.#closed) return [];
    this.#underWay ??= this.#reload().finally(() => (this.#underWay = undefined));
    return await this.#underWay;
  }

  /** From now on nothing is taken over; resolves when none is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#underWay;
  }

  async #reload(): Promise<readonly string[]> {
    try {
      const { config, problems, warnings } = this.#context.examine();
      if (config === undefined) {
        const [first = 'it could not be read', ...more] = problems.map(formatProblem);
        return [first, ...more, this.#refused(more.length === 0 ? first : `${first}, and ${more.length} more`, '')];
      }
      const started = await this.#take(config);
      this.#reloads = { ...this.#reloads, taken: this.#reloads.taken + 1, failure: undefined };
      const warned = warnings.map((warning) => `warning: ${formatProblem(warning)}`);
      return [...warned, ...started.notes.map((note) => `note: ${note}`), this.#taken(config, started)];
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return [this.#refused(why, `: ${why}`)];
    }
  }

  async #take(config: Config): Promise<Emulated['started']> {
    const { emulation, apply } = this.#context;
    const emulated = await emulation.emulate(config);
    try {
      apply(emulated.config);
    } catch (error) {
      await emulated.started.close();
      throw error;
    }
    emulation.adopt(emulated.started);
    return emulated.started;
  }

  #taken({ routes }: Config, { emulators }: Emulated['started']): string {
    const count = routes.length === 1 ? '1 route' : `${routes.length} routes`;
    const also = emulators.map(({ provider, apiUrl }) => `; ${provider.name} is now emulated at ${apiUrl}`);
    return `${this.#context.file} is read again: ${count}${also.join('')}. c shows the curl lines`;
  }

  #refused(why: string, shown: string): string {
    const failure = `reload refused, the old configuration serves on: ${why}`;
    this.#reloads = { ...this.#reloads, refused: this.#reloads.refused + 1, failure };
    return `${this.#context.file} is not taken over, the old configuration serves on${shown}`;
  }
}
