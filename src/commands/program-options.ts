import { Argument, InvalidArgumentError, Option } from 'commander';
import { parseAddress } from '../config/values.ts';
import type { ListenAddress } from '../config/config.ts';
import { providers } from '../providers/registry.ts';

const DEFAULT_FILE = 'proxy.config.yaml';

/** What runs where no command is named. */
export const DEFAULT_COMMAND = 'serve';

/** What the options that most commands share come to. */
export interface RunOptions {
  config: string;
  listen?: ListenAddress;
  admin?: ListenAddress | false;
}

export function configOption(): Option {
  return new Option('-c, --config <file>', 'configuration file').env('WAKALA_CONFIG').default(DEFAULT_FILE);
}

export function listenOption(): Option {
  return new Option('--listen <host:port>', "the proxy's address, in place of the file's").argParser(address);
}

export function adminOption(): Option {
  return new Option('--admin <host:port>', "the admin listener's address, or `false`").argParser(adminAddress);
}

/** May be given several times. The command itself says what is wrong with a name, and which one was meant. */
export function providerOption(): Option {
  return new Option('--provider <name>', 'a provider to write a route for; may be repeated')
    .choices(providerNames())
    .argParser((name: string, before: readonly string[]) => [...before, name])
    .default([], 'asked for');
}

/** Providers by name. As with the option, the command judges the names: `choices` are shown and completed. */
export function providerArgument(syntax: '[name]' | '[provider...]', description: string): Argument {
  const argument = new Argument(syntax, description).choices(providerNames());
  if (!argument.variadic) return argument.argParser((name: string) => name);
  return argument.argParser((name: string, before: readonly string[] | undefined) => [...(before ?? []), name]);
}

/** Lines for the end of a command's `--help`. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join('')}`;
}

function providerNames(): string[] {
  return providers.map(({ name }) => name);
}

function address(text: string): ListenAddress {
  const parsed = parseAddress(text);
  if ('problem' in parsed) throw new InvalidArgumentError(parsed.problem);
  return parsed.value;
}

function adminAddress(text: string): ListenAddress | false {
  return text === 'false' ? false : address(text);
}
