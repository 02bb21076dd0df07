import { isatty } from 'node:tty';
import { Argument, Command, CommanderError, Option } from 'commander';
import { didYouMean } from '../config/diagnostics.ts';
import type { Environment } from '../providers/provider.ts';
import { versionLine } from '../server/version.ts';
import { MAX_WAITING_LOG_BYTES, Output } from '../telemetry/output.ts';
import type { CallOptions } from './explain-call.ts';
import { EXIT, type Io, writerOf } from './io.ts';
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

interface CheckFlags {
  json: boolean;
  explain?: string;
}

function addConfigCommands(program: Command, io: Io): void {
  program
    .command('check')
    .argument('[call]', "call to explain, such as 'POST /v1/payments'")
    .description('report all problems in the configuration, offline')
    .addOption(configOption())
    .addOption(listenOption())
    .addOption(adminOption())
    .option('--explain <route>', 'show what `sign` does with a call on this route')
    .option('--body <file>', 'body of the call')
    .addOption(
      new Option('--header <line>', 'header of the call, `Name: value`; may be repeated')
        .argParser((line: string, previous: readonly string[]) => [...previous, line])
        .default([], 'none'),
    )
    .option('--json', 'print the result as JSON', false)
    .addHelpText(
      'after',
      examples(
        'wakala check',
        'wakala check -c staging.yaml --json',
        "wakala check --explain mpesa 'POST /mpesa/stkpush/v1/processrequest' --body push.json",
      ),
    )
    .action((call: string | undefined, options: RunOptions & Omit<CallOptions, 'call'> & CheckFlags) =>
      exitWith(async () => (await import('./config-commands.ts')).check({ ...options, call }, io)),
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
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
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

/** Commands that run until they are stopped. */
const RUN_COMMANDS = [DEFAULT_COMMAND, 'dev', 'emulate'];

/** How long such a command may take to write its last output. Other commands wait for their reader. */
const LAST_OUTPUT_MS = 1000;

/** Runs the command line and sets the exit code. */
export async function main(argv: string[]): Promise<void> {
  const stdout = new Output(writerOf(1), Infinity);
  const stderr = new Output(writerOf(2), MAX_WAITING_LOG_BYTES);
  // After an error that nothing caught, too.
  process.on('exit', () => [stdout, stderr].forEach((output) => output.writeWaiting()));
  await run(argv, {
    stdout: (text) => stdout.write(text),
    stderr: (text) => stderr.write(text),
    log: stderr,
    env: process.env,
    tty: isatty(2),
  });
  const [command = ''] = argv.slice(2);
  const waitMs = /^\w/.test(command) && !RUN_COMMANDS.includes(command) ? Infinity : LAST_OUTPUT_MS;
  await stdout.flushed(waitMs);
  if (stdout.failure !== undefined && stdout.failure !== 'EPIPE') {
    stderr.write(`wakala: cannot write to standard output (${stdout.failure})\n`);
    process.exitCode ||= EXIT.runtime;
  }
  await stderr.flushed(waitMs);
  // Text that Node itself could not write would keep the process alive.
  setTimeout(() => process.exit(), LAST_OUTPUT_MS).unref();
}

async function run(argv: string[], io: Io): Promise<void> {
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
