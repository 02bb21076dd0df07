import type { Command } from 'commander';
import { didYouMean } from '../config/nearest.ts';
import { bashScript } from './completion/bash.ts';
import { fishScript } from './completion/fish.ts';
import { vocabularyOf } from './completion/vocabulary.ts';
import { zshScript } from './completion/zsh.ts';
import { EXIT, type Io } from './io.ts';
import { DEFAULT_COMMAND } from './program-options.ts';

export interface CompletionOptions {
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
