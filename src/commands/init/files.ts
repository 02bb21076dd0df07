import { appendFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readRegularFile } from '../../config/disk.ts';
import { FileError, readError } from '../../config/files.ts';
import { ignoresEnv } from './gitignore.ts';
import type { Plan } from './plan.ts';
import { configText, ENV_HEAD, envText, variablesOf } from './texts.ts';

/** A file that is to be written is there already. */
export class FileExists extends Error {
  override readonly name = 'FileExists';
}

/**
 * Writes the configuration, and what belongs beside it; calls `tell` after each file. What is there already keeps every
 * line that it has. Throws FileExists, having written nothing, where the configuration is there; else FileFault or as
 * `node:fs` does.
 */
export function writeFiles(file: string, plan: Plan, tell: (line: string) => void): void {
  if (!isCreated(file, configText(plan))) throw new FileExists(file);
  tell(`wrote ${file}: ${plan.providers.map(({ name }) => `/${name}/*`).join(', ')}`);
  tell(addVariables(join(dirname(file), '.env.example'), plan));
  tell(ignoreEnv(join(dirname(file), '.gitignore')));
}

/** @returns what was done */
function addVariables(file: string, plan: Plan): string {
  const variables = plan.providers.flatMap(variablesOf);
  const listed = variables.map(({ name }) => name).join(', ');
  if (isCreated(file, ENV_HEAD + envText(variables))) return `wrote ${file}: ${listed}`;
  const text = readText(file);
  const missing = variables.filter(({ name }) => !new RegExp(`^[ #]*(export +)?${name} *=`, 'm').test(text));
  if (missing.length === 0) return `left ${file} as it is: it has every variable`;
  append(file, text, `\n${envText(missing)}`);
  return `added to ${file}: ${missing.map(({ name }) => name).join(', ')}`;
}

/** @returns what was done */
function ignoreEnv(file: string): string {
  if (isCreated(file, '.env\n')) return `wrote ${file}: .env`;
  const text = readText(file);
  if (ignoresEnv(text)) return `left ${file} as it is: it covers .env`;
  append(file, text, '.env\n');
  return `added to ${file}: .env`;
}

/** @throws FileFault that names the file */
function readText(file: string): string {
  try {
    return readRegularFile(file).bytes.toString('utf8');
  } catch (error) {
    throw new FileError(`\`${basename(file)}\` cannot be read: ${readError(error)}`, { cause: error });
  }
}

/** False where there is something of that name, which stays as it is. */
function isCreated(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Adds whole lines behind `text`, which the file holds, with the line ends that it has. */
function append(file: string, text: string, lines: string): void {
  const start = text === '' || text.endsWith('\n') ? lines : `\n${lines}`;
  appendFileSync(file, text.includes('\r\n') ? start.replaceAll('\n', '\r\n') : start);
}
