/** An instruction of a Dockerfile: `COPY`, and the rest of its line, continuation lines joined. */
export interface Instruction {
  readonly name: string;
  readonly rest: string;
}

export interface Stage {
  /** As it stands behind FROM. */
  readonly base: string;
  /** The argument that names the base, if it is no stage. */
  readonly baseArgument: string | undefined;
  /** Behind AS; the last stage has none. */
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

export interface Dockerfile {
  /** ARGs in front of the first FROM, with their defaults. */
  readonly arguments: ReadonlyMap<string, string>;
  readonly stages: readonly Stage[];
}

/** Reads as much of the format as deploy/Dockerfile uses. */
export function parseDockerfile(text: string): Dockerfile {
  const globals = new Map<string, string>();
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const { name, rest } of instructionsOf(text)) {
    const stage = stages.at(-1);
    if (name === 'FROM') {
      const [, base = '', alias] = /^(?:--\S+ )?(\S+)(?: AS (\S+))?$/.exec(rest) ?? [];
      const baseArgument = /^\$\{(\w+)\}$/.exec(base)?.[1];
      stages.push({ base, baseArgument, name: alias, instructions: [] });
    } else if (stage !== undefined) {
      stage.instructions.push({ name, rest });
    } else if (name === 'ARG') {
      globals.set(...assignment(rest));
    } else {
      throw new Error(`${name} in front of the first FROM`);
    }
  }
  return { arguments: globals, stages };
}

/** `NAME=value`, without the quotes around the value. */
export function assignment(text: string): [name: string, value: string] {
  const equals = text.indexOf('=');
  if (equals === -1) return [text, ''];
  return [text.slice(0, equals), text.slice(equals + 1).replace(/^"(.*)"$/, '$1')];
}

/** The assignments of an ENV or LABEL. */
export function assignments(rest: string): [name: string, value: string][] {
  return (rest.match(/[^\s=]+=(?:"[^"]*"|\S*)/g) ?? []).map(assignment);
}

/** `${NAME}` replaced. */
export function substitute(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$\{(\w+)\}/g, (_whole, name: string) => values.get(name) ?? '');
}

/** What a COPY without `--from` takes from the build context. */
export function contextFiles({ stages }: Dockerfile): string[] {
  return stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from='))
    .flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1));
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !line.trimStart().startsWith('#'));
  const joined = lines.join('\n').replace(/\\\n/g, '');
  return joined
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      if (name === '') throw new Error(`no instruction: ${line}`);
      return { name, rest: rest.trim() };
    });
}
