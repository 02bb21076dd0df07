import type { Argument, Command, Option } from 'commander';
import { didYouMean } from '../config/diagnostics.ts';
import { EXIT, type Io } from './io.ts';
import { DEFAULT_COMMAND } from './program-options.ts';

interface CompletionOptions {
  readonly shell: string | undefined;
  /** The program whose commands and options are completed. */
  readonly program: Command;
}

/** Prints a completion script for the program. @returns the exit code: 0, or 2 for an unknown shell */
export function completion({ shell, program }: CompletionOptions, io: Pick<Io, 'stdout' | 'stderr'>): number {
  const scripts = new Map([
    ['bash', bashScript],
    ['zsh', zshScript],
    ['fish', fishScript],
  ]);
  const shells = [...scripts.keys()];
  const script = scripts.get(shell ?? '');
  if (script === undefined) {
    const problem =
      shell === undefined ? 'no shell is named' : `no script for \`${shell}\`${didYouMean(shell, shells)}`;
    io.stderr(`wakala completion: ${problem}\nShells: ${shells.join(', ')}\n`);
    return EXIT.usage;
  }
  io.stdout(script(describeProgram(program)));
  return EXIT.ok;
}

/** The value that follows an option: none, a file, one of several words, or free text. */
type OptionValue = 'none' | 'file' | 'free' | readonly string[];

interface OptionSpec {
  /** `-c` and `--config`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: OptionValue;
  readonly isRepeatable: boolean;
}

interface CommandSpec {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionSpec[];
  /** The words that its arguments accept; empty for free text. */
  readonly argumentChoices: readonly string[];
}

/** Everything that can be completed, read from the program. */
interface ProgramSpec {
  readonly name: string;
  readonly commands: readonly CommandSpec[];
  /** The options without a command: those of the program and of the default command. */
  readonly options: readonly OptionSpec[];
}

function describeProgram(program: Command): ProgramSpec {
  const help = program.createHelp();
  const visible = help.visibleCommands(program);
  const names = visible.map((command) => command.name());
  const commands = visible.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: help.visibleOptions(command).map(describeOption),
    argumentChoices: argumentChoices(command.registeredArguments[0], names),
  }));
  const programOptions = help.visibleOptions(program).map(describeOption);
  const defaultOptions = commands.find(({ name }) => name === DEFAULT_COMMAND)?.options ?? [];
  const known = new Set(programOptions.flatMap((option) => option.names));
  const options = [
    ...programOptions,
    ...defaultOptions.filter((option) => !option.names.some((name) => known.has(name))),
  ];
  return { name: program.name(), commands, options };
}

function describeOption(option: Option): OptionSpec {
  const { short, long, description, variadic } = option;
  return {
    names: [short, long].filter((name) => name !== undefined),
    description,
    value: valueOf(option),
    isRepeatable: variadic || Array.isArray(option.defaultValue),
  };
}

function valueOf({ flags, argChoices, required, optional }: Option): OptionValue {
  if (!required && !optional) return 'none';
  return argChoices ?? (/[<[]file[\]>]/.test(flags) ? 'file' : 'free');
}

/** `help` accepts the names of the commands. */
function argumentChoices(argument: Argument | undefined, commands: readonly string[]): readonly string[] {
  return argument?.name() === 'command' ? commands : (argument?.argChoices ?? []);
}

/** A completion script for bash 3.2 and later. */
function bashScript({ name: program, commands, options }: ProgramSpec): string {
  const names = commands.map(({ name }) => name);
  const valueCases = [
    ...bashValueCases('', options),
    ...commands.flatMap((command) => bashValueCases(command.name, command.options)),
  ];
  const argumentCases = commands.flatMap(({ name, options: own, argumentChoices: words }) => [
    `    ${name}:-*) words='${optionNames(own)}' ;;`,
    `    ${name}:*) words='${words.length > 0 ? words.join(' ') : optionNames(own)}' ;;`,
  ]);
  return `# Completion of ${program} for bash. In ~/.bashrc: source <(${program} completion bash)
_${program}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}" command='' words='' files='' line
  COMPREPLY=()
  # bash splits --option=value at the equals sign.
  if [[ $word == '=' ]]; then word=''; elif [[ $before == '=' ]]; then before="\${COMP_WORDS[COMP_CWORD - 2]}"; fi
  if ((COMP_CWORD > 1)); then
    case "\${COMP_WORDS[1]}" in
      ${names.join(' | ')}) command="\${COMP_WORDS[1]}" ;;
    esac
  fi
  case "$command:$before" in
${valueCases.join('\n')}
    *)
      case "$command:$word" in
${argumentCases.map((line) => `    ${line}`).join('\n')}
        :-*) words='${optionNames(options)}' ;;
        *) if ((COMP_CWORD == 1)); then words='${names.join(' ')}'; else words='${optionNames(options)}'; fi ;;
      esac
      ;;
  esac
  if [[ -n $files ]]; then
    compopt -o filenames 2> /dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  fi
}
complete -F _${program} ${program}
`;
}

function bashValueCases(command: string, options: readonly OptionSpec[]): string[] {
  return options.flatMap(({ names, value }) => {
    if (value === 'none') return [];
    const patterns = names.map((name) => `${command}:${name}`).join(' | ');
    const action = value === 'file' ? 'files=yes' : value === 'free' ? 'return' : `words='${value.join(' ')}'`;
    return [`    ${patterns}) ${action} ;;`];
  });
}

function optionNames(options: readonly OptionSpec[]): string {
  return options.flatMap(({ names }) => names).join(' ');
}

/** A completion script for zsh: to source after compinit, or to save as `_wakala` in a folder of `fpath`. */
function zshScript({ name: program, commands, options }: ProgramSpec): string {
  const described = commands.map(({ name, description }) => `    ${zshQuoted(`${name}:${description}`)}`);
  const cases = commands.map(
    (command) => `    ${command.name})
${indent(zshArguments([...command.options.map(zshOption), ...zshArgumentChoices(command)]))}
      ;;`,
  );
  return `#compdef ${program}
# Completion of ${program} for zsh. In ~/.zshrc, after compinit: source <(${program} completion zsh)
_${program}() {
  local -a commands
  commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    return
  fi
  if [[ $words[2] == -* ]]; then
${zshArguments(options.map(zshOption))}
    return
  fi
  # _arguments expects the command as the first word.
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _${program} ]]; then
  _${program} "$@"
else
  compdef _${program} ${program}
fi
`;
}

function zshArguments(specs: readonly string[]): string {
  return `    _arguments -s ${specs.map((spec) => `\\\n      ${spec}`).join(' ')}`;
}

function indent(lines: string): string {
  return lines.replaceAll(/^/gm, '  ');
}

/** `'(-c --config)'{-c,--config}'[configuration file]:value:_files'`. */
function zshOption({ names, description, value, isRepeatable }: OptionSpec): string {
  const excluded = isRepeatable ? zshQuoted('*') : zshQuoted(`(${names.join(' ')})`);
  const flags = names.length > 1 ? `{${names.join(',')}}` : names.join('');
  const action = value === 'file' ? '_files' : value === 'free' ? ' ' : value === 'none' ? '' : `(${value.join(' ')})`;
  const label = `[${description.replace(/[[\]\\]/g, '\\$&')}]`;
  return `${excluded}${flags}${zshQuoted(value === 'none' ? label : `${label}:value:${action}`)}`;
}

function zshArgumentChoices({ argumentChoices: words }: CommandSpec): string[] {
  return words.length > 0 ? [zshQuoted(`*:name:(${words.join(' ')})`)] : [];
}

function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A completion script for fish 3. */
function fishScript({ name: program, commands, options }: ProgramSpec): string {
  const names = commands.map(({ name }) => name).join(' ');
  const lines = [
    ...commands.map(({ name, description }) =>
      [`-n '__fish_is_nth_token 1'`, `-a ${name}`, `-d ${fishQuoted(description)}`].join(' '),
    ),
    ...options.map((option) => `-n 'not __fish_seen_subcommand_from ${names}' ${fishOption(option)}`),
    ...commands.flatMap(fishCommandLines),
  ];
  return `# Completion of ${program} for fish: ${program} completion fish > ~/.config/fish/completions/${program}.fish
complete -c ${program} -f
${lines.map((line) => `complete -c ${program} ${line}\n`).join('')}`;
}

function fishCommandLines({ name, options, argumentChoices: words }: CommandSpec): string[] {
  const condition = `-n '__fish_seen_subcommand_from ${name}'`;
  const choices = words.length > 0 ? [`${condition} -a ${fishQuoted(words.join(' '))}`] : [];
  return [...choices, ...options.map((option) => `${condition} ${fishOption(option)}`)];
}

function fishOption({ names, description, value }: OptionSpec): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const argument =
    value === 'none'
      ? []
      : value === 'file'
        ? ['-r -F']
        : value === 'free'
          ? ['-x']
          : [`-x -a ${fishQuoted(value.join(' '))}`];
  return [...flags, ...argument, `-d ${fishQuoted(description)}`].join(' ');
}

function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
