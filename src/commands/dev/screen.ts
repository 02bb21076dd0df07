import { formatAddress } from '../../config/address.ts';
import type { Config, ListenAddress } from '../../config/config.ts';
import type { Emulator } from '../../emulators/emulator.ts';
import { isFixed } from '../../providers/provider.ts';
import { curlLine } from '../curl.ts';
import type { Emulation } from './emulation.ts';
import { KEY_LINE } from './keys.ts';

export interface StartScreen {
  /** With the emulators for upstreams. */
  readonly config: Config;
  readonly address: ListenAddress;
  readonly admin: ListenAddress | undefined;
  readonly emulation: Pick<Emulation, 'emulators' | 'notes'>;
  readonly colour: boolean;
  /** Whether keys are read. */
  readonly keys: boolean;
}

/** What is where, and one line to paste for each route. */
export function startScreen({ config, address, admin, emulation, colour, keys }: StartScreen): string {
  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[0m` : text);
  const banner = colour ? '\u001b[30;43m EMULATED \u001b[0m' : '[EMULATED]';
  const base = `${config.tls === undefined ? 'http' : 'https'}://${formatAddress(address)}`;
  const lines = [
    '',
    `  ${bold('wakala dev')}  ${banner}  no credentials, no network, no money`,
    '',
    `  proxy      ${base}`,
    ...adminLines(admin),
    `  config     ${config.file}`,
    '',
    ...emulation.notes.flatMap((note) => [`  note       ${note}`, '']),
  ];
  for (const { name, prefix, provider, upstream } of config.routes) {
    lines.push(
      `  ${bold(name)}  ${provider.title}, emulated at ${new URL(upstream).origin}`,
      `  ${curlLine(base + prefix, provider.samples.call)}`,
      '',
    );
  }
  lines.push(
    ...troubleLines(emulation.emulators, keys),
    keys ? `  ${bold('keys')}  ${KEY_LINE}` : '  Ctrl-C stops it.',
    '',
  );
  return `${lines.join('\n')}\n`;
}

function adminLines(admin: ListenAddress | undefined): readonly string[] {
  if (admin === undefined) return [];
  const url = `http://${formatAddress(admin)}`;
  return [`  dashboard  ${url}`, `  inspector  ${url}/requests`];
}

function troubleLines(emulators: readonly Emulator[], keys: boolean): readonly string[] {
  // A fixed key cannot be asked for anew: expiring it is a trouble that the app does notice.
  const first = emulators.find(({ provider }) => !isFixed(provider.token));
  if (first === undefined) return [];
  const { origin } = new URL(first.apiUrl);
  return [
    `  Make trouble, and see that the app does not notice${keys ? ': press e, or' : ':'}`,
    `  curl -sS ${origin}/_emulator -H 'content-type: application/json' -d '{"expire_tokens": true}'`,
    '',
  ];
}
