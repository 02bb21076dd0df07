import type { Config } from '../../config/config.ts';
import type { ValidatedConfig } from '../../config/load.ts';
import type { Emulators } from '../../emulators/emulator.ts';
import { formatProblem } from '../../errors.ts';
import { NO_RELOADS } from '../../server/reload.ts';
import type { Reloads } from '../../telemetry/snapshot.ts';
import type { DevEmulators } from './dev-emulators.ts';

interface DevReloadContext {
  /** The path of the configuration file, as the user typed it. */
  readonly file: string;
  /** Reads and validates the configuration file. Does not throw if it is invalid. */
  readonly validate: () => ValidatedConfig;
  /** Makes the server use a configuration. Throws, and changes nothing, if that needs a restart. */
  readonly apply: (config: Config) => void;
  readonly emulators: DevEmulators;
}

/** Reloads the configuration of `wakala dev` on demand. An invalid file changes nothing. */
export class DevReload {
  readonly #context: DevReloadContext;
  #reloads = NO_RELOADS;
  #pending: Promise<readonly string[]> | undefined;
  #isClosed = false;

  constructor(context: DevReloadContext) {
    this.#context = context;
  }

  get reloads(): Reloads {
    return this.#reloads;
  }

  /** Reloads the file, or joins a reload in progress. Never rejects. @returns the result, as lines for the user */
  async reload(): Promise<readonly string[]> {
    if (this.#isClosed) return [];
    this.#pending ??= this.#reload().finally(() => (this.#pending = undefined));
    return await this.#pending;
  }

  /** Ends reloading. Resolves when none is in progress. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pending;
  }

  async #reload(): Promise<readonly string[]> {
    try {
      const { config, problems, warnings } = this.#context.validate();
      if (config === undefined) {
        const [first = 'it could not be read', ...more] = problems.map(formatProblem);
        this.#recordFailure(more.length === 0 ? first : `${first}, and ${more.length} more`);
        return [first, ...more, this.#notLoaded('')];
      }
      const started = await this.#apply(config);
      this.#reloads = { ...this.#reloads, taken: this.#reloads.taken + 1, failure: undefined };
      return [
        ...warnings.map((warning) => `warning: ${formatProblem(warning)}`),
        ...started.notes.map((note) => `note: ${note}`),
        this.#loaded(config, started),
      ];
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#recordFailure(reason);
      return [this.#notLoaded(`: ${reason}`)];
    }
  }

  /** @returns the emulators that were started for the configuration */
  async #apply(config: Config): Promise<Emulators> {
    const { emulators, apply } = this.#context;
    const emulated = await emulators.emulate(config);
    try {
      apply(emulated.config);
    } catch (error) {
      await emulated.started.close();
      throw error;
    }
    emulators.keep(emulated.started);
    return emulated.started;
  }

  #recordFailure(reason: string): void {
    const failure = `reload refused; the old configuration stays in use: ${reason}`;
    this.#reloads = { ...this.#reloads, refused: this.#reloads.refused + 1, failure };
  }

  #loaded({ routes }: Config, { emulators }: Emulators): string {
    const count = routes.length === 1 ? '1 route' : `${routes.length} routes`;
    const added = emulators.map(({ provider, apiUrl }) => `${provider.name} is now emulated at ${apiUrl}. `).join('');
    return `${this.#context.file} was reloaded: ${count}. ${added}Press c for the curl commands.`;
  }

  #notLoaded(reason: string): string {
    return `${this.#context.file} was not loaded${reason}. The old configuration stays active.`;
  }
}
