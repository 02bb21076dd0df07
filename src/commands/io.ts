import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { setNonBlocking } from '../http/node-internals.ts';
import type { Output, WriteNow } from '../telemetry/output.ts';

/** The streams and the environment of a command. */
export interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Where log lines go. Undefined: to `stderr`. */
  readonly log?: Output;
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

/**
 * Writes to standard output (1) or standard error (2) of this process. For a pipe, a socket and, on Linux, a terminal,
 * it never waits for the reader. Node's own streams wait for terminals, and keep everything that a pipe does not take.
 */
export function writerOf(descriptor: 1 | 2): WriteNow {
  // Creating Node's stream makes a pipe or socket non-blocking. Node itself writes warnings to it.
  const stream = descriptor === 1 ? process.stdout : process.stderr;
  stream.on('error', () => undefined);
  const own = reopened(descriptor);
  if (own !== undefined) return (bytes) => writeSync(own, bytes);
  return (bytes) => {
    setNonBlocking(stream);
    return writeSync(descriptor, bytes);
  };
}

/**
 * Opens a pipe or terminal once more. Other processes share the inherited descriptor and may make it blocking; Node does
 * so when it exits. Undefined where this is not possible: for files, sockets, and outside of Linux.
 */
function reopened(descriptor: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    if (!isatty(descriptor) && !fstatSync(descriptor).isFIFO()) return undefined;
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
}
