/** The streams and the environment of a command. */
export interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether stderr is a terminal. Logs go to stderr. */
  readonly tty: boolean;
}

/** The exit codes of all commands. */
export const EXIT = { ok: 0, runtime: 1, usage: 2, config: 3, denied: 4, unreachable: 5 } as const;

/** Whether to use colour: on a terminal, unless `NO_COLOR` (https://no-color.org) or `FORCE_COLOR` says otherwise. */
export function wantsColour(io: Io): boolean {
  if (io.env['NO_COLOR'] !== undefined && io.env['NO_COLOR'] !== '') return false;
  if (io.env['FORCE_COLOR'] !== undefined && io.env['FORCE_COLOR'] !== '0') return true;
  return io.tty;
}
