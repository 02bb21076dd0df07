import type { Argument, Command, Option } from 'commander';

/** What stands after an option: nothing, a file, one of a few words, or something that nobody can guess. */
export type Value = 'none' | 'file' | 'free' | readonly string[];

export interface OptionWords {
  /** As they are typed: `-c`, `--config`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly value: Value;
  readonly repeatable: boolean;
}

export interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  /** What its arguments may be; none where they cannot be guessed. */
  readonly words: readonly string[];
}

/** Everything that can be typed, read from the program itself. */
export interface Vocabulary {
  readonly program: string;
  readonly commands: readonly CommandWords[];
  /** What may stand where there is no command: options of the program, and of the command that then runs. */
  readonly options: readonly OptionWords[];
}

/** `byDefault` is the command that runs where none is named. */
export function vocabularyOf(program: Command, byDefault: string): Vocabulary {
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
