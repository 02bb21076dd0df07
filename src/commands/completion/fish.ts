import type { CommandWords, OptionWords, Vocabulary } from './vocabulary.ts';

/** A completion script for fish 3. */
export function fishScript({ program, commands, options }: Vocabulary): string {
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
