import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname, '../..');

/** What users read. `docs/decisions/` is a record of its day, and is not held against today's code. */
export const DOCUMENTS = [
  'README.md',
  'SECURITY.md',
  'CHANGELOG.md',
  ...['docs', 'docs/providers'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];

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
  readonly language: string;
  readonly text: string;
  /** What the HTML comment in front of it says: `bad`. */
  readonly mark: string | undefined;
}

/** The fenced blocks of a document, in order, without the indentation that a list gives them. */
export function blocksOf(file: string): Block[] {
  const blocks: Block[] = [];
  const lines = textOf(file).split('\n');
  for (let i = 0; i < lines.length; i++) {
    const [, indent = '', language] = /^( *)```(\w+)$/.exec(lines[i] ?? '') ?? [];
    if (language === undefined) continue;
    const mark = /^<!-- (\w+) -->$/.exec(lines[i - 2] ?? '')?.[1];
    const end = lines.indexOf(`${indent}\`\`\``, i);
    const text = lines.slice(i + 1, end).map((line) => line.slice(indent.length));
    blocks.push({ file, line: i + 2, language, text: `${text.join('\n')}\n`, mark });
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
