import { Argument, InvalidArgumentError, Option } from 'commander';
import type { ListenAddress } from '../config/config.ts';
import { parseAddress } from '../config/values.ts';
import { providers } from '../providers/registry.ts';

const DEFAULT_FILE = 'proxy.config.yaml';

/** The command that runs if none is named. */
export const DEFAULT_COMMAND = 'serve';

/** The options that most commands share. */
export interface RunOptions {
  config: string;
  listen?: ListenAddress;
  admin?: ListenAddress | false;
}

export function configOption(): Option {
  return new Option('-c, --config <file>', 'configuration file').env('WAKALA_CONFIG').default(DEFAULT_FILE);
}

export function listenOption(): Option {
  return new Option('--listen <host:port>', 'address of the proxy; overrides the configuration').argParser(address);
}

export function adminOption(): Option {
  return new Option(
    '--admin <host:port>',
    'address of the admin listener, or `false`; overrides the configuration',
  ).argParser(adminAddress);
}

/** May be repeated. The command validates the names itself, so that it can suggest the right one. */
export function providerOption(): Option {
  return new Option('--provider <name>', 'provider to write a route for; may be repeated')
    .choices(providerNames())
    .argParser((name: string, previous: readonly string[]) => [...previous, name])
    .default([], 'asks');
}

/** Provider names. The command validates them; `choices` are for the help and shell completion. */
export function providerArgument(syntax: '[name]' | '[provider...]', description: string): Argument {
  const argument = new Argument(syntax, description).choices(providerNames());
  if (!argument.variadic) return argument.argParser((name: string) => name);
  return argument.argParser((name: string, previous: readonly string[] | undefined) => [...(previous ?? []), name]);
}

/** The examples at the end of a command's `--help`. */
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
