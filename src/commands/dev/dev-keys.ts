import { execFileSync } from 'node:child_process';
import type { ReadStream } from 'node:tty';
import type { ListenAddress } from '../../config/config.ts';
import type { Emulator } from '../../emulators/emulator.ts';
import { formatHostPort } from '../../http/host-port.ts';
import { isRequested } from '../../providers/provider.ts';
import type { DevEmulators } from './dev-emulators.ts';
import type { DevReload } from './dev-reload.ts';

/** The terminal of a command. */
export interface Terminal {
  readonly input: Pick<ReadStream, 'isTTY' | 'setRawMode' | 'setEncoding' | 'on' | 'off' | 'resume' | 'pause'>;
  /** Whether stdout is a terminal. */
  readonly isOutputTty: boolean;
}

export function processTerminal(): Terminal {
  return { input: process.stdin, isOutputTty: process.stdout.isTTY };
}

/** Whether single keys can be read and their results are visible. */
export function canReadKeys({ input, isOutputTty: screen }: Terminal): boolean {
  return input.isTTY && screen && isForegroundJob();
}

/** A background job (`wakala dev &`) that changes the terminal is stopped by its shell. */
function isForegroundJob(): boolean {
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
 * Calls `onKey` for every key until it is closed. Pasted text and keys that send several characters are ignored. The
 * terminal's mode is restored by `close` and by any exit of this process other than SIGKILL.
 * @returns `close`, which may be called again
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
    for (const [signal, exit] of exits) process.off(signal, exit);
  };
  // The default action of these signals ends the process without the exit event, and so without `close`.
  const exits = [
    ['SIGHUP', () => process.exit(129)],
    ['SIGQUIT', () => process.exit(131)],
  ] as const;
  for (const [signal, exit] of exits) process.on(signal, exit);
  process.on('exit', close);
  // The terminal may be closed.
  input.on('error', () => undefined);
  input.setRawMode(true);
  input.setEncoding('utf8');
  input.on('data', onData);
  input.resume();
  return close;
}

/** A key may arrive with Enter, and a slow line may deliver several keys at once. */
function keysIn(text: string): readonly string[] {
  // Arrow keys and other special keys send escape sequences.
  const plain = text.replace(/\u001b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^[O])?/g, '');
  return plain.split(/[\r\n]+|(\u0003)/).filter((piece) => piece?.length === 1);
}

/** What the keys act on. */
interface KeyContext {
  readonly emulators: Pick<DevEmulators, 'running'>;
  readonly admin: ListenAddress | undefined;
  readonly reload: Pick<DevReload, 'reload'>;
  readonly startScreen: () => string;
  /** Does what SIGINT does: the second call exits at once. */
  readonly stop: () => void;
  readonly print: (text: string) => void;
}

interface Key {
  readonly name: string;
  /** For the line of keys. */
  readonly label: string;
  /** For the help. */
  readonly description: string;
  /** @returns the text to print */
  readonly press: (context: KeyContext) => string | Promise<string>;
}

const CLEAR_SCREEN = '\u001b[2J\u001b[H';

const KEYS: readonly Key[] = [
  { name: 'h', label: 'help', description: 'show this help', press: () => HELP },
  {
    name: 'e',
    label: 'expire tokens',
    description: 'expire all tokens; the next call requests a new one and succeeds',
    press: ({ emulators }) => expireTokens(emulators.running),
  },
  {
    name: 'x',
    label: 'refuse the next token',
    description: 'refuse the next token that each emulator issues',
    press: ({ emulators }) => refuseNextTokens(emulators.running),
  },
  {
    name: 'd',
    label: 'dashboard',
    description: 'show the address of the dashboard',
    press: ({ admin }) => dashboardAddress(admin),
  },
  {
    name: 'r',
    label: 'reload',
    description: 'reload the configuration file; an invalid file changes nothing',
    press: async ({ reload }) => indentLines(await reload.reload()),
  },
  {
    name: 'c',
    label: 'clear',
    description: 'clear the screen and show the start screen',
    press: ({ startScreen }) => CLEAR_SCREEN + startScreen(),
  },
  {
    name: 'q',
    label: 'quit',
    description: 'quit after the requests in progress, like Ctrl-C; a second Ctrl-C quits at once',
    press: quit,
  },
];

const HELP = `\n${KEYS.map(({ name, description }) => `  ${name}  ${description}\n`).join('')}\n`;

/** `h help, e expire tokens, ...` */
export const KEY_LINE = KEYS.map(({ name, label }) => `${name} ${label}`).join(', ');

/** Runs a key's action and prints its result. Other keys do nothing. */
export async function pressKey(name: string, context: KeyContext): Promise<void> {
  if (name === CTRL_C) {
    context.stop();
    return;
  }
  const text = await KEYS.find((key) => key.name === name)?.press(context);
  if (text !== undefined) context.print(text);
}

function indentLines(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}\n`).join('');
}

/** A fixed token cannot be requested again: without it, its route would fail until the emulator is reset. */
function withTokenEndpoint(emulators: readonly Emulator[]): readonly Emulator[] {
  return emulators.filter(({ provider }) => isRequested(provider.token));
}

function expireTokens(emulators: readonly Emulator[]): string {
  const expired = withTokenEndpoint(emulators).flatMap((emulator) => {
    const { tokens_alive: count } = emulator.stats();
    emulator.control({ expire_tokens: true });
    return count === 0 ? [] : [{ name: emulator.provider.name, count }];
  });
  const total = expired.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return indentLines(['There is no valid token. Call a route first.']);
  const each = expired.map(({ name, count }) => `${name} ${count}`).join(', ');
  return indentLines([
    `${total === 1 ? '1 token' : `${total} tokens`} expired (${each}). The next call requests a new one.`,
  ]);
}

function refuseNextTokens(emulators: readonly Emulator[]): string {
  const targets = withTokenEndpoint(emulators);
  if (targets.length === 0) return indentLines(['No emulator issues tokens.']);
  for (const emulator of targets) emulator.control({ refuse_next_tokens: 1 });
  const names = targets.map(({ provider }) => provider.name).join(', ');
  return indentLines([`The next token will be refused (${names}). Press e to make the next call request it.`]);
}

function dashboardAddress(admin: ListenAddress | undefined): string {
  if (admin !== undefined) return indentLines([`http://${formatHostPort(admin)}`]);
  return indentLines(['The dashboard is off. Restart with --admin 127.0.0.1:9901 to turn it on.']);
}

function quit({ stop, print }: KeyContext): string {
  // A second stop exits at once, so print first.
  print(indentLines(['Quitting after the requests in progress. Press Ctrl-C to quit at once.']));
  stop();
  return '';
}
