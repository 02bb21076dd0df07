import type { Argument, Command, Option } from 'commander';
import { didYouMean } from '../config/diagnostics.ts';
import { EXIT, type Io } from './io.ts';
import { DEFAULT_COMMAND } from './program-options.ts';

/** What stands after an option: nothing, a file, one of a few words, or something that nobody can guess. */
type Value = 'none' | 'file' | 'free' | readonly string[];

interface OptionWords {
  /** As they are typed: `-c`, `--config`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: Value;
  readonly repeatable: boolean;
}

interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  /** What its arguments may be; none where they cannot be guessed. */
  readonly words: readonly string[];
}

/** Everything that can be typed, read from the program itself. */
interface Vocabulary {
  readonly program: string;
  readonly commands: readonly CommandWords[];
  /** What may stand where there is no command: options of the program, and of the command that then runs. */
  readonly options: readonly OptionWords[];
}

/** `byDefault` is the command that runs where none is named. */
function vocabularyOf(program: Command, byDefault: string): Vocabulary {
  const help = program.createHelp();
  const visible = help.visibleCommands(program);
  const names = visible.map((command) => command.name());
  const commands = visible.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: help.visibleOptions(command).map(optionWords),
    words: wordsOf(command.registeredArguments[0], names),
  }));
  const own = help.visibleOptions(program).map(optionWords);
  const borrowed = commands.find(({ name }) => name === byDefault)?.options ?? [];
  const known = new Set(own.flatMap((option) => option.names));
  const options = [...own, ...borrowed.filter((option) => !option.names.some((name) => known.has(name)))];
  return { program: program.name(), commands, options };
}

function optionWords(option: Option): OptionWords {
  const { short, long, description, variadic } = option;
  return {
    names: [short, long].filter((name) => name !== undefined),
    description,
    value: valueOf(option),
    repeatable: variadic || Array.isArray(option.defaultValue),
  };
}

function valueOf({ flags, argChoices, required, optional }: Option): Value {
  if (!required && !optional) return 'none';
  return argChoices ?? (/[<[]file[\]>]/.test(flags) ? 'file' : 'free');
}

/** `help` takes the name of a command. */
function wordsOf(argument: Argument | undefined, commands: readonly string[]): readonly string[] {
  return argument?.name() === 'command' ? commands : (argument?.argChoices ?? []);
}

/** A completion script for bash 3.2 and later. */
function bashScript({ program, commands, options }: Vocabulary): string {
  const names = commands.map(({ name }) => name);
  const values = [
    ...valueCases('', options),
    ...commands.flatMap((command) => valueCases(command.name, command.options)),
  ];
  const rest = commands.flatMap(({ name, options: own, words }) => [
    `    ${name}:-*) words='${typed(own)}' ;;`,
    `    ${name}:*) words='${words.length > 0 ? words.join(' ') : typed(own)}' ;;`,
  ]);
  return `# Completion of ${program} for bash. In ~/.bashrc: source <(${program} completion bash)
_${program}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}" command='' words='' files='' line
  COMPREPLY=()
  # bash takes --option=value apart.
  if [[ $word == '=' ]]; then word=''; elif [[ $before == '=' ]]; then before="\${COMP_WORDS[COMP_CWORD - 2]}"; fi
  if ((COMP_CWORD > 1)); then
    case "\${COMP_WORDS[1]}" in
      ${names.join(' | ')}) command="\${COMP_WORDS[1]}" ;;
    esac
  fi
  case "$command:$before" in
${values.join('\n')}
    *)
      case "$command:$word" in
${rest.map((line) => `    ${line}`).join('\n')}
        :-*) words='${typed(options)}' ;;
        *) if ((COMP_CWORD == 1)); then words='${names.join(' ')}'; else words='${typed(options)}'; fi ;;
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

function valueCases(command: string, options: readonly OptionWords[]): string[] {
  return options.flatMap(({ names, value }) => {
    if (value === 'none') return [];
    const patterns = names.map((name) => `${command}:${name}`).join(' | ');
    const then = value === 'file' ? 'files=yes' : value === 'free' ? 'return' : `words='${value.join(' ')}'`;
    return [`    ${patterns}) ${then} ;;`];
  });
}

function typed(options: readonly OptionWords[]): string {
  return options.flatMap(({ names }) => names).join(' ');
}

/** A completion script for fish 3. */
function fishScript({ program, commands, options }: Vocabulary): string {
  const names = commands.map(({ name }) => name).join(' ');
  const lines = [
    ...commands.map(({ name, description }) =>
      [`-n '__fish_is_nth_token 1'`, `-a ${name}`, `-d ${fishQuoted(description)}`].join(' '),
    ),
    ...options.map((option) => `-n 'not __fish_seen_subcommand_from ${names}' ${fishOptionWords(option)}`),
    ...commands.flatMap(commandLines),
  ];
  return `# Completion of ${program} for fish: ${program} completion fish > ~/.config/fish/completions/${program}.fish
complete -c ${program} -f
${lines.map((line) => `complete -c ${program} ${line}\n`).join('')}`;
}

function commandLines({ name, options, words }: CommandWords): string[] {
  const seen = `-n '__fish_seen_subcommand_from ${name}'`;
  const named = words.length > 0 ? [`${seen} -a ${fishQuoted(words.join(' '))}`] : [];
  return [...named, ...options.map((option) => `${seen} ${fishOptionWords(option)}`)];
}

function fishOptionWords({ names, description, value }: OptionWords): string {
  const spelled = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const after =
    value === 'none'
      ? []
      : value === 'file'
        ? ['-r -F']
        : value === 'free'
          ? ['-x']
          : [`-x -a ${fishQuoted(value.join(' '))}`];
  return [...spelled, ...after, `-d ${fishQuoted(description)}`].join(' ');
}

function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** A completion script for zsh, to be sourced after compinit or put into a folder of `fpath` as `_wakala`. */
function zshScript({ program, commands, options }: Vocabulary): string {
  const described = commands.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`);
  const cases = commands.map(
    (command) => `    ${command.name})
${inner(argumentsCall([...command.options.map(optionSpec), ...wordSpecs(command)]))}
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
${argumentsCall(options.map(optionSpec))}
    return
  fi
  # _arguments takes the first word for the command.
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

function argumentsCall(specs: readonly string[]): string {
  return `    _arguments -s ${specs.map((spec) => `\\\n      ${spec}`).join(' ')}`;
}

function inner(lines: string): string {
  return lines.replaceAll(/^/gm, '  ');
}

/** `'(-c --config)'{-c,--config}'[configuration file]:value:_files'`. */
function optionSpec({ names, description, value, repeatable }: OptionWords): string {
  const excluded = repeatable ? quoted('*') : quoted(`(${names.join(' ')})`);
  const spelled = names.length > 1 ? `{${names.join(',')}}` : names.join('');
  const action = value === 'file' ? '_files' : value === 'free' ? ' ' : value === 'none' ? '' : `(${value.join(' ')})`;
  const told = `[${description.replace(/[[\]\\]/g, '\\$&')}]`;
  return `${excluded}${spelled}${quoted(value === 'none' ? told : `${told}:value:${action}`)}`;
}

function wordSpecs({ words }: CommandWords): string[] {
  return words.length > 0 ? [quoted(`*:name:(${words.join(' ')})`)] : [];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

interface CompletionOptions {
  readonly shell: string | undefined;
  /** The program whose commands and options are completed. */
  readonly program: Command;
}

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** Prints a completion script, made from the program as it is. Exit code: 0, or 2 for a shell that has none. */
export function completion({ shell, program }: CompletionOptions, io: Pick<Io, 'stdout' | 'stderr'>): number {
  const shells = Object.keys(SCRIPTS);
  const script = Object.entries(SCRIPTS).find(([name]) => name === shell)?.[1];
  if (script === undefined) {
    const why = shell === undefined ? 'name a shell' : `none for \`${shell}\`${didYouMean(shell, shells)}`;
    io.stderr(`wakala completion: ${why}; there are ${shells.join(', ')}\n`);
    return EXIT.usage;
  }
  io.stdout(script(vocabularyOf(program, DEFAULT_COMMAND)));
  return EXIT.ok;
}
