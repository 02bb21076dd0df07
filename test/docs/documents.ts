import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname, '../..');

const NOT_OURS = new Set(['node_modules', '.git', 'dist', 'coverage']);

/** All Markdown but `docs/decisions/`, which is a record of its day and is not held against today's code. */
export const DOCUMENTS = globSync(['**/*.md', '.*/**/*.md'], {
  cwd: ROOT,
  exclude: (file) => NOT_OURS.has(path.basename(file)),
})
  .filter((file) => !file.startsWith('docs/decisions/'))
  .sort();

export function textOf(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

export function exists(file: string): boolean {
  return existsSync(path.join(ROOT, file));
}

/** A fenced block of a document. */
export interface Block {
  readonly file: string;
  /** Of its first line, counted from 1. */
  readonly line: number;
  /** Empty where the fence names none. */
  readonly language: string;
  readonly text: string;
  /** Of `<!-- file NAME -->` above it: the file that the reader is told to write it to. */
  readonly name: string | undefined;
  /** Of a comment above it: a manifest (`kubernetes`), or a configuration whose problems stand below it (`bad`). */
  readonly mark: string | undefined;
}

export const placeOf = ({ file, line }: Block) => `${file}:${line}`;

/** The fenced blocks of a document, in order, without the indentation that a list gives them. */
export function blocksOf(file: string): Block[] {
  const blocks: Block[] = [];
  const lines = textOf(file).split('\n');
  for (let i = 0; i < lines.length; i++) {
    const [, indent = '', fence, language = ''] = /^( *)(`{3,}|~{3,}) *(.*)$/.exec(lines[i] ?? '') ?? [];
    if (fence === undefined) continue;
    const [, comment = ''] = /^\s*<!-- (.*) -->$/.exec(lines[i - 2] ?? '') ?? [];
    const [, name] = /\bfile (\S+)$/.exec(comment) ?? [];
    const [mark] = /^(bad|kubernetes)\b/.exec(comment) ?? [];
    const end = lines.indexOf(`${indent}${fence}`, i + 1);
    if (end === -1) throw new Error(`${file}:${i + 1}: the block has no end`);
    const text = lines.slice(i + 1, end).map((line) => line.slice(indent.length));
    blocks.push({ file, line: i + 2, language, text: `${text.join('\n')}\n`, name, mark });
    i = end;
  }
  return blocks;
}

/** The part of a document from this heading to the next. */
export function sectionOf(file: string, heading: string): string {
  const text = textOf(file);
  const start = text.indexOf(`\n${heading}\n`);
  if (start === -1) throw new Error(`${file} has no ${heading}`);
  const [section = ''] = text.slice(start + heading.length + 2).split(/^#{2,4} /m);
  return section;
}

/** The rows of the first table below a heading, without its head; cells as they are written, less backquotes. */
export function tableOf(file: string, heading: string): string[][] {
  const lines = sectionOf(file, heading)
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.replaceAll('`', '').trim()),
  );
}
