import { execFileSync } from 'node:child_process';
import type { ReadStream } from 'node:tty';

/** The ends of a terminal that a command talks to. */
export interface Terminal {
  readonly input: Pick<ReadStream, 'isTTY' | 'setRawMode' | 'setEncoding' | 'on' | 'off' | 'resume' | 'pause'>;
  /** Whether what goes to stdout is seen on a terminal. */
  readonly screen: boolean;
}

export function thisTerminal(): Terminal {
  return { input: process.stdin, screen: process.stdout.isTTY };
}

/** Whether keys can be read one by one, and somebody sees what they do. */
export function hasKeys({ input, screen }: Terminal): boolean {
  return input.isTTY && screen && inForeground();
}

/** A job that its shell put into the background (`wakala dev &`) would be stopped for touching the terminal. */
function inForeground(): boolean {
  if (process.platform === 'win32') return true;
  try {
    const args = ['-o', 'stat=', '-p', String(process.pid)];
    return execFileSync('ps', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).includes('+');
  } catch {
    return true;
  }
}

export const CTRL_C = '\u0003';

/**
 * Gives every key to `onKey` until it is closed. Text that was pasted, and keys that send more than one character, are
 * left out. The terminal is as it was after `close`, and however else this process ends, save for SIGKILL.
 * @returns close, which may be called again
 */
export function readKeys({ input }: Terminal, onKey: (key: string) => void): () => void {
  const onData = (text: string) => {
    for (const key of keysIn(text)) onKey(key);
  };
  const close = () => {
    input.off('data', onData);
    input.setRawMode(false);
    input.pause();
    process.off('exit', close);
    for (const [signal, leave] of leaving) process.off(signal, leave);
  };
  // They would end the process without a word, and leave the terminal as it is.
  const leaving = [
    ['SIGHUP', () => process.exit(129)],
    ['SIGQUIT', () => process.exit(131)],
  ] as const;
  for (const [signal, leave] of leaving) process.on(signal, leave);
  process.on('exit', close);
  // The terminal may go away: its keys with it.
  input.on('error', () => undefined);
  input.setRawMode(true);
  input.setEncoding('utf8');
  input.on('data', onData);
  input.resume();
  return close;
}

/** A key may come with Enter, and several at once where the line is slow. */
function keysIn(text: string): readonly string[] {
  // What arrows and the like send begins with an escape.
  const plain = text.replace(/\u001b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^[O])?/g, '');
  return plain.split(/[\r\n]+|(\u0003)/).filter((piece) => piece?.length === 1);
}
