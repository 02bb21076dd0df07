/** What a command may touch of the world around it. */
export interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether stderr, where logs go, is a terminal. */
  readonly tty: boolean;
}

/** Exit codes of every command. */
export const EXIT = { ok: 0, runtime: 1, usage: 2, config: 3, denied: 4, unreachable: 5 } as const;

/** Colour only on a terminal; https://no-color.org and its counterpart decide against that. */
export function wantsColour(io: Io): boolean {
  if (io.env['NO_COLOR'] !== undefined && io.env['NO_COLOR'] !== '') return false;
  if (io.env['FORCE_COLOR'] !== undefined && io.env['FORCE_COLOR'] !== '0') return true;
  return io.tty;
}
