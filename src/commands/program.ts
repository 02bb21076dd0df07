import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { EXIT, type Io } from './io.ts';
import { parseAddress } from '../config/address.ts';
import type { ListenAddress } from '../config/config.ts';
import { didYouMean } from '../config/nearest.ts';

const io: Io = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  env: process.env,
  tty: process.stderr.isTTY,
};

const DEFAULT_FILE = 'proxy.config.yaml';

interface RunOptions {
  config: string;
  listen?: ListenAddress;
  admin?: ListenAddress | false;
}

function address(text: string): ListenAddress {
  const parsed = parseAddress(text);
  if ('problem' in parsed) throw new InvalidArgumentError(parsed.problem);
  return parsed.value;
}

function adminAddress(text: string): ListenAddress | false {
  return text === 'false' ? false : address(text);
}

function configOption(): Option {
  return new Option('-c, --config <file>', 'configuration file').env('WAKALA_CONFIG').default(DEFAULT_FILE);
}

function listenOption(): Option {
  return new Option('--listen <host:port>', "the proxy's address, in place of the file's").argParser(address);
}

function adminOption(): Option {
  return new Option('--admin <host:port>', "the admin listener's address, or `false`").argParser(adminAddress);
}

/** `run` gives the exit code. Each command is loaded when it is called: serving needs no emulators. */
async function exitWith(run: () => Promise<number>): Promise<void> {
  process.exitCode = await run();
}

function addRunCommands(program: Command): void {
  program
    .command('serve', { isDefault: true })
    .description('run the proxy (the default command)')
    .addOption(configOption())
    .addOption(listenOption())
    .addOption(adminOption())
    .addHelpText(
      'after',
      examples('wakala', 'wakala serve -c /etc/wakala/proxy.config.yaml', 'wakala --listen 127.0.0.1:9000'),
    )
    .action((options: RunOptions) => exitWith(async () => (await import('./serve.ts')).serve(options, io)));
  program
    .command('dev')
    .description('run the proxy in front of emulated providers: no credentials, no network')
    .addOption(configOption())
    .addOption(listenOption())
    .addOption(adminOption())
    .addHelpText('after', examples('wakala dev', 'wakala dev --listen 127.0.0.1:9000 --admin false'))
    .action((options: RunOptions, command: Command) => {
      const configGiven = command.getOptionValueSource('config') !== 'default';
      return exitWith(async () => (await import('./dev.ts')).dev({ ...options, configGiven }, io));
    });
  program
    .command('emulate [provider...]')
    .description('run the emulated providers alone, for your own test suite')
    .option('--free-ports', 'take any free port instead of the fixed ones', false)
    .option('--json', 'print addresses and emulated credentials as one JSON object', false)
    .addHelpText('after', examples('wakala emulate', 'wakala emulate mpesa --free-ports --json'))
    .action((names: string[], options: { freePorts: boolean; json: boolean }) =>
      exitWith(async () => (await import('./emulate.ts')).emulate({ names, ...options }, io)),
    );
}

function addReadingCommands(program: Command): void {
  program
    .command('check')
    .description('say what is wrong with the configuration, all of it, offline')
    .addOption(configOption())
    .addOption(listenOption())
    .addOption(adminOption())
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', examples('wakala check', 'wakala check -c staging.yaml --json'))
    .action((options: RunOptions & { json: boolean }) =>
      exitWith(async () => (await import('./check.ts')).check(options, io)),
    );
  program
    .command('providers [name]')
    .description('list the built-in providers, or tell all about one')
    .option('--json', 'print as JSON', false)
    .addHelpText('after', examples('wakala providers', 'wakala providers mpesa'))
    .action((name: string | undefined, options: { json: boolean }) =>
      exitWith(async () => (await import('./providers.ts')).providers({ name, ...options }, io)),
    );
  program
    .command('schema')
    .description('print the JSON Schema of the configuration file, for editors')
    .addHelpText('after', examples('wakala schema > proxy.config.schema.json'))
    .action(() => exitWith(async () => (await import('./schema.ts')).schema({}, io)));
  program
    .command('healthcheck')
    .description('ask a running proxy whether it is ready: exit 0 if so')
    .addOption(configOption())
    .addOption(adminOption())
    .addHelpText('after', examples('wakala healthcheck', 'wakala healthcheck --admin 127.0.0.1:9901'))
    .action((options: RunOptions) => exitWith(async () => (await import('./healthcheck.ts')).healthcheck(options, io)));
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join('')}`;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The command line. Sets the exit code; the process ends when nothing is left to do. */
export async function main(argv: string[]): Promise<void> {
  const program = new Command('wakala')
    .description('Authenticating reverse proxy for payment APIs')
    .version(version(), '-V, --version')
    .exitOverride()
    .showHelpAfterError('(run `wakala help <command>` for its options)')
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 runtime, 2 usage, 3 configuration, 4 credentials refused, 5 unreachable',
    );
  addRunCommands(program);
  addReadingCommands(program);
  for (const command of program.commands) command.exitOverride();
  const [word = ''] = argv.slice(2);
  const names = program.commands.map((command) => command.name());
  // The default command would take a misspelled one for an argument of its own.
  if (/^\w/.test(word) && ![...names, 'help'].includes(word)) {
    io.stderr(
      `wakala: there is no command \`${word}\`${didYouMean(word, names) || `; there are ${names.join(', ')}`}\n`,
    );
    process.exitCode = EXIT.usage;
    return;
  }
  try {
    await program.parseAsync(argv);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
}
