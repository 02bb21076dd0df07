import type { CommandWords, OptionWords, Vocabulary } from './vocabulary.ts';

/** A completion script for zsh, to be sourced after compinit or put into a folder of `fpath` as `_wakala`. */
export function zshScript({ program, commands, options }: Vocabulary): string {
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
