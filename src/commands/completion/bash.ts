import type { OptionWords, Vocabulary } from './vocabulary.ts';

/** A completion script for bash 3.2 and later. */
export function bashScript({ program, commands, options }: Vocabulary): string {
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
