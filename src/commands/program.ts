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

/** `run` returns the exit code. It imports its command, so that `serve` does not load the emulators. */
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
    .description('run the proxy with emulated providers: no credentials, no network')
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
    .addArgument(providerArgument('[provider...]', 'default: all'))
    .description('run the emulated providers without the proxy, for your test suite')
    .option('--free-ports', 'use free ports instead of the fixed ones', false)
    .option('--json', 'print addresses and emulated credentials as JSON', false)
    .addHelpText('after', examples('wakala emulate', 'wakala emulate mpesa --free-ports --json'))
    .action((names: string[] | undefined, options: { freePorts: boolean; json: boolean }) =>
      exitWith(async () => (await import('./emulate.ts')).emulate({ names: names ?? [], ...options }, io)),
    );
}

interface InitOptions {
  config: string;
  provider: readonly string[];
  environment?: Environment;
  yes: boolean;
}

function addSetupCommands(program: Command, io: Io): void {
  program
    .command('init')
    .description('write a configuration, .env.example and .gitignore; overwrites nothing')
    .addOption(configOption())
    .addOption(providerOption())
    .addOption(
      new Option('--environment <name>', 'hosts of the routes (default: sandbox)').choices(['sandbox', 'production']),
    )
    .option('-y, --yes', 'ask no questions and use the defaults', false)
    .addHelpText('after', examples('wakala init', 'wakala init --provider mpesa --provider jpay --yes'))
    .action((options: InitOptions) =>
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
      new Argument('[shell]', 'shell to complete for')
        .choices(['bash', 'zsh', 'fish'])
        .argParser((shell: string) => shell),
    )
    .description('print a shell script that completes commands, options and names')
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
    .description('report all problems in the configuration, offline')
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
    .description('list the routes with upstream, token request and allowed calls, offline')
    .addOption(configOption())
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', examples('wakala routes', "wakala routes --json | jq -r '.routes[].upstream'"))
    .action((options: { config: string; json: boolean }) =>
      exitWith(async () => (await import('./config-commands.ts')).routes(options, io)),
    );
  program
    .command('doctor')
    .argument('[route]', 'route such as mpesa; default: all')
    .description('check DNS, TCP, TLS, token and clock of each route; connects to the providers')
    .addOption(configOption())
    .option('--call', 'also send one read-only API request with the token', false)
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', examples('wakala doctor', 'wakala doctor mpesa --call', 'wakala doctor --json'))
    .action((route: string | undefined, options: { config: string; call: boolean; json: boolean }) =>
      exitWith(async () => (await import('./doctor/doctor.ts')).doctor({ ...options, route }, io)),
    );
}

function addOtherCommands(program: Command, io: Io): void {
  program
    .command('providers')
    .addArgument(providerArgument('[name]', 'provider to show'))
    .description('list the built-in providers, or show one')
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
    .description('exit with 0 if the running proxy is ready')
    .addOption(configOption())
    .addOption(adminOption())
    .addHelpText('after', examples('wakala healthcheck', 'wakala healthcheck --admin 127.0.0.1:9901'))
    .action((options: RunOptions) => exitWith(async () => (await import('./healthcheck.ts')).healthcheck(options, io)));
}

/** All commands and their options. Running a command sets the exit code of this process. */
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
  addSetupCommands(program, io);
  addConfigCommands(program, io);
  addOtherCommands(program, io);
  for (const command of program.commands) command.exitOverride();
  return program;
}

/** Runs the command line and sets the exit code. */
export async function main(argv: string[]): Promise<void> {
  // If the reader of the output exits (EPIPE), the proxy continues without its log.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const io: Io = {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    env: process.env,
    tty: process.stderr.isTTY,
  };
  // An empty variable counts as unset, as in the configuration.
  if (process.env['WAKALA_CONFIG'] === '') delete process.env['WAKALA_CONFIG'];
  const program = wakalaProgram(io);
  const [command = ''] = argv.slice(2);
  const names = program.commands.map((each) => each.name());
  // Without this check, the default command would get an unknown command as its argument.
  if (/^\w/.test(command) && ![...names, 'help'].includes(command)) {
    const hint = didYouMean(command, names) || `. Commands: ${names.join(', ')}`;
    io.stderr(`wakala: unknown command \`${command}\`${hint}\n`);
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
