import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileError } from '../config/files.ts';
import { networkCode } from '../errors.ts';
import type { Environment } from '../providers/provider.ts';
import { providers } from '../providers/registry.ts';
import { type Dialog, DialogEnded } from './init/dialog.ts';
import { FileExists, writeFiles } from './init/files.ts';
import { nextSteps } from './init/next-steps.ts';
import { type Plan, providersNamed, UNASKED } from './init/plan.ts';
import { askPlan, type Given } from './init/wizard.ts';
import { EXIT, type Io } from './io.ts';

export interface InitOptions {
  /** Path of the configuration file to write; `.env.example` and `.gitignore` go beside it. */
  readonly config: string;
  /** Names as they were typed. */
  readonly provider: readonly string[];
  readonly environment?: Environment | undefined;
  /** Ask nothing. */
  readonly yes: boolean;
}

type Output = Pick<Io, 'stdout' | 'stderr'>;

/** 128 and the number of SIGINT, as shells have it. */
const INTERRUPTED = 130;

/**
 * Writes a configuration that passes `wakala check` once its variables are set. Asks where it has a dialog; without one
 * the options must say it. Exit code: 0, 1 where it cannot write, 2 for wrong usage or a file that is there already,
 * 130 where the user left the dialog; nothing is written with 2 and 130.
 */
export async function init(options: InitOptions, io: Output, openDialog?: () => Dialog): Promise<number> {
  const { config: file, environment } = options;
  const named = providersNamed(options.provider);
  const asks = options.yes ? undefined : openDialog;
  const fault = placeFault(file) ?? ('problem' in named ? named.problem : undefined);
  if (fault !== undefined || 'problem' in named) return refuse(fault ?? '', io);
  if (named.length === 0 && asks === undefined) return refuse(HOW_TO_NAME, io);
  try {
    const given = { providers: named, environment };
    const plan = asks === undefined ? planOf(given) : await planFrom(asks(), given);
    writeFiles(file, plan, (line) => io.stdout(`${line}\n`));
  } catch (error) {
    if (error instanceof DialogEnded) {
      io.stderr('\nwakala init: stopped; nothing was written\n');
      return INTERRUPTED;
    }
    if (error instanceof FileExists) return refuse(thereAlready(file), io);
    const why = error instanceof FileError ? error.message : networkCode(error);
    io.stderr(`wakala init: cannot write in ${dirname(file)}: ${why}\n`);
    return EXIT.runtime;
  }
  io.stdout(nextSteps(file));
  return EXIT.ok;
}

const HOW_TO_NAME = `name the providers: wakala init --provider mpesa --provider jpay
There are ${providers.map(({ name }) => name).join(', ')}; on a terminal, \`wakala init\` asks.`;

function planOf({ providers: chosen, environment = UNASKED.environment }: Given): Plan {
  return { ...UNASKED, providers: chosen, environment };
}

async function planFrom(dialog: Dialog, given: Given): Promise<Plan> {
  try {
    return await askPlan(given, dialog);
  } finally {
    dialog.close();
  }
}

/** Why nothing can be written there. */
function placeFault(file: string): string | undefined {
  if (existsSync(file)) return thereAlready(file);
  const folder = dirname(file);
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? undefined : `there is no folder \`${folder}\`; make it first`;
}

function thereAlready(file: string): string {
  return `\`${file}\` is there already and stays as it is; name another file with -c, or move this one away`;
}

function refuse(why: string, io: Output): number {
  io.stderr(`wakala init: ${why}\n`);
  return EXIT.usage;
}
