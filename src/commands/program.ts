import { Argument, Command, CommanderError, Option } from 'commander';
import { didYouMean } from '../config/diagnostics.ts';
import type { Environment } from '../providers/provider.ts';
import { versionLine } from '../server/version.ts';
import { EXIT, type Io } from './io.ts';
import {
  adminOption,
  configOption,
  DEFAULT_COMMAND,
  examples,
  listenOption,
  providerArgument,
  providerOption,
  type RunOptions,
} from './program-options.ts';

/** `run` gives the exit code. Each command is loaded when it is called: serving needs no emulators. */
async function exitWith(run: () => Promise<number>): Promise<void> {
  process.exitCode = await run();
}

function addRunCommands(program: Command, io: Io): void {
  program
    .command(DEFAULT_COMMAND, { isDefault: true })
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
      const configGiven = command.getOptionValueSource('config') === 'cli';
      return exitWith(async () => (await import('./dev/dev.ts')).dev({ ...options, configGiven }, io));
    });
  program
    .command('emulate')
    .addArgument(providerArgument('[provider...]', 'all of them unless named'))
    .description('run the emulated providers alone, for your own test suite')
    .option('--free-ports', 'take any free port instead of the fixed ones', false)
    .option('--json', 'print addresses and emulated credentials as one JSON object', false)
    .addHelpText('after', examples('wakala emulate', 'wakala emulate mpesa --free-ports --json'))
    .action((names: string[] | undefined, options: { freePorts: boolean; json: boolean }) =>
      exitWith(async () => (await import('./emulate.ts')).emulate({ names: names ?? [], ...options }, io)),
    );
}

interface InitWords {
  config: string;
  provider: readonly string[];
  environment?: Environment;
  yes: boolean;
}

function addSetUpCommands(program: Command, io: Io): void {
  program
    .command('init')
    .description('write a configuration, .env.example and .gitignore; asks on a terminal, never overwrites')
    .addOption(configOption())
    .addOption(providerOption())
    .addOption(
      new Option('--environment <name>', 'hosts that the routes use (default: sandbox)').choices([
        'sandbox',
        'production',
      ]),
    )
    .option('-y, --yes', 'ask nothing, take the defaults', false)
    .addHelpText('after', examples('wakala init', 'wakala init --provider mpesa --provider jpay --yes'))
    .action((options: InitWords) =>
      exitWith(async () => {
        const [{ init }, { terminalDialog }] = await Promise.all([
          import('./init/init.ts'),
          import('./init/wizard.ts'),
        ]);
        return init(options, io, terminalDialog());
      }),
    );
  program
    .command('completion')
    .addArgument(
      new Argument('[shell]', 'the shell to complete for')
        .choices(['bash', 'zsh', 'fish'])
        .argParser((shell: string) => shell),
    )
    .description('print a script that makes your shell complete commands, options and names')
    .addHelpText(
      'after',
      examples(
        'source <(wakala completion bash)     # in ~/.bashrc',
        'source <(wakala completion zsh)      # in ~/.zshrc, after compinit',
        'wakala completion fish > ~/.config/fish/completions/wakala.fish',
      ),
    )
    .action((shell: string | undefined) =>
      exitWith(async () => (await import('./completion.ts')).completion({ shell, program }, io)),
    );
}

function addConfigCommands(program: Command, io: Io): void {
  program
    .command('check')
    .description('say what is wrong with the configuration, all of it, offline')
    .addOption(configOption())
    .addOption(listenOption())
    .addOption(adminOption())
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', examples('wakala check', 'wakala check -c staging.yaml --json'))
    .action((options: RunOptions & { json: boolean }) =>
      exitWith(async () => (await import('./config-commands.ts')).check(options, io)),
    );
  program
    .command('routes')
    .description('list where each route leads, how it gets its token and what it lets through, offline')
    .addOption(configOption())
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', examples('wakala routes', "wakala routes --json | jq -r '.routes[].upstream'"))
    .action((options: { config: string; json: boolean }) =>
      exitWith(async () => (await import('./config-commands.ts')).routes(options, io)),
    );
  program
    .command('doctor')
    .argument('[route]', 'a route such as mpesa; all of them unless named')
    .description('find out why a route does not work: DNS, TCP, TLS, token, clock; asks the providers')
    .addOption(configOption())
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', examples('wakala doctor', 'wakala doctor mpesa', 'wakala doctor --json'))
    .action((route: string | undefined, { config, json }: { config: string; json: boolean }) =>
      exitWith(async () => (await import('./doctor/doctor.ts')).doctor({ config, route, json }, io)),
    );
}

function addOtherCommands(program: Command, io: Io): void {
  program
    .command('providers')
    .addArgument(providerArgument('[name]', 'the provider to tell all about'))
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
    .action(() => exitWith(async () => (await import('./config-commands.ts')).schema({}, io)));
  program
    .command('healthcheck')
    .description('ask a running proxy whether it is ready: exit 0 if so')
    .addOption(configOption())
    .addOption(adminOption())
    .addHelpText('after', examples('wakala healthcheck', 'wakala healthcheck --admin 127.0.0.1:9901'))
    .action((options: RunOptions) => exitWith(async () => (await import('./healthcheck.ts')).healthcheck(options, io)));
}

/** Every command with its options. Running one sets the exit code of this process. */
export function wakalaProgram(io: Io): Command {
  const program = new Command('wakala')
    .description('Authenticating reverse proxy for payment APIs')
    .version(versionLine(), '-V, --version')
    .exitOverride()
    .showHelpAfterError('(run `wakala help <command>` for its options)')
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 runtime, 2 usage, 3 configuration, 4 credentials refused, 5 unreachable',
    );
  addRunCommands(program, io);
  addSetUpCommands(program, io);
  addConfigCommands(program, io);
  addOtherCommands(program, io);
  for (const command of program.commands) command.exitOverride();
  return program;
}

/** The command line. Sets the exit code; the process ends when nothing is left to do. */
export async function main(argv: string[]): Promise<void> {
  // The reader of the output may go away (EPIPE). A proxy goes on without its log.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const io: Io = {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    env: process.env,
    tty: process.stderr.isTTY,
  };
  // As with every variable of the configuration, an empty one is as good as none.
  if (process.env['WAKALA_CONFIG'] === '') delete process.env['WAKALA_CONFIG'];
  const program = wakalaProgram(io);
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
