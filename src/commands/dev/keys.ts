import { formatAddress } from '../../config/address.ts';
import type { ListenAddress } from '../../config/config.ts';
import type { Emulator } from '../../emulators/emulator.ts';
import { isFixed } from '../../providers/provider.ts';
import type { Emulation } from './emulation.ts';
import { CTRL_C } from './keyboard.ts';
import type { DevReload } from './reload.ts';

/** What the keys of `wakala dev` act on. */
export interface KeyContext {
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
