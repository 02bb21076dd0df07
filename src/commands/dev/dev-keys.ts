import { execFileSync } from 'node:child_process';
import type { ReadStream } from 'node:tty';
import type { ListenAddress } from '../../config/config.ts';
import { formatAddress } from '../../config/values.ts';
import type { Emulator } from '../../emulators/emulator.ts';
import { isFixed } from '../../providers/provider.ts';
import type { Emulation } from './dev-emulators.ts';
import type { DevReload } from './dev-reload.ts';

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

const CTRL_C = '\u0003';

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

/** What the keys of `wakala dev` act on. */
interface KeyContext {
  readonly emulation: Pick<Emulation, 'emulators'>;
  readonly admin: ListenAddress | undefined;
  readonly reload: Pick<DevReload, 'reload'>;
  readonly startScreen: () => string;
  /** Stops as a signal does; asked a second time, at once. */
  readonly stop: () => void;
  readonly print: (text: string) => void;
}

interface Key {
  readonly name: string;
  /** In the line of keys. */
  readonly short: string;
  /** In the help. */
  readonly does: string;
  /** Gives the line that says what came of it. */
  readonly press: (context: KeyContext) => string | Promise<string>;
}

const CLEAR = '\u001b[2J\u001b[H';

const KEYS: readonly Key[] = [
  { name: 'h', short: 'help', does: 'this help', press: () => HELP },
  {
    name: 'e',
    short: 'expire tokens',
    does: 'expire all tokens: the next call gets another, and the app does not notice',
    press: ({ emulation }) => expire(emulation.emulators),
  },
  {
    name: 'x',
    short: 'refuse the next token',
    does: 'refuse the next token that each emulator gives out, from the start',
    press: ({ emulation }) => refuseNext(emulation.emulators),
  },
  { name: 'd', short: 'dashboard', does: "the dashboard's address", press: ({ admin }) => dashboard(admin) },
  {
    name: 'r',
    short: 'reload',
    does: 'read the configuration file again, all or nothing',
    press: async ({ reload }) => said(await reload.reload()),
  },
  {
    name: 'c',
    short: 'clear',
    does: 'clear the screen, and show the start screen again',
    press: ({ startScreen }) => CLEAR + startScreen(),
  },
  { name: 'q', short: 'quit', does: 'quit, as Ctrl-C does; a second Ctrl-C does not wait', press: quit },
];

const HELP = `\n${KEYS.map(({ name, does }) => `  ${name}  ${does}\n`).join('')}\n`;

/** `h help, e expire tokens, ...` */
export const KEY_LINE = KEYS.map(({ name, short }) => `${name} ${short}`).join(', ');

/** Does what the key is for, and says it. Does nothing for a key that has no meaning. */
export async function pressKey(name: string, context: KeyContext): Promise<void> {
  if (name === CTRL_C) {
    context.stop();
    return;
  }
  const text = await KEYS.find((key) => key.name === name)?.press(context);
  if (text !== undefined) context.print(text);
}

function said(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}\n`).join('');
}

/** A fixed key cannot be asked for anew: a route would be dead until the emulator is reset. */
function asked(emulators: readonly Emulator[]): readonly Emulator[] {
  return emulators.filter(({ provider }) => !isFixed(provider.token));
}

function expire(emulators: readonly Emulator[]): string {
  const alive = asked(emulators).flatMap((emulator) => {
    const { tokens_alive: count } = emulator.stats();
    emulator.control({ expire_tokens: true });
    return count === 0 ? [] : [{ name: emulator.provider.name, count }];
  });
  const total = alive.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return said(['no token is alive: call a route first, then expire its token']);
  const each = alive.map(({ name, count }) => `${name} ${count}`).join(', ');
  return said([`${total === 1 ? '1 token' : `${total} tokens`} expired (${each}): the next call gets another`]);
}

function refuseNext(emulators: readonly Emulator[]): string {
  const targets = asked(emulators);
  if (targets.length === 0) return said(['no emulator gives out tokens']);
  for (const emulator of targets) emulator.control({ refuse_next_tokens: 1 });
  const names = targets.map(({ provider }) => provider.name).join(', ');
  return said([`the next token will be refused from the start (${names}): e makes the next call ask for it`]);
}

function dashboard(admin: ListenAddress | undefined): string {
  return said([admin === undefined ? 'there is no dashboard: `admin` is off' : `http://${formatAddress(admin)}`]);
}

function quit({ stop, print }: KeyContext): string {
  // Said first: asked a second time, it does not come back.
  print(said(['quitting when the requests under way are answered; Ctrl-C does not wait']));
  stop();
  return '';
}
