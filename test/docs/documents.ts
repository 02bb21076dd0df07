/**
 * What users read, and the blocks of code in it. Every block is run or checked by one of the tests in `blocks/`, which
 * `blocks/runners.ts` lists; a block that none of them takes fails, and so does a page that is not in DOCUMENTS.
 *
 * `sh` (by `sh -e`): a page's blocks run from top to bottom in one shell, in a temporary copy of the repository, so `cd`,
 * variables and files stay for the blocks below. `bash` and blocks with a mark `exit` run in a shell of their own.
 * - Addresses are used as they are written: each page has ports of its own (`blocks/own-ports/`), so 127.0.0.1:8080,
 *   :9901 and the emulators' :99xx are free on it. So are `/etc`, `/run`, `/var`, `/opt`, `/srv`, `/tmp` and
 *   `/usr/local`: they are folders beside the copy. A file that `${file:...}` of the page names is there, made up.
 * - The providers' own hosts are emulators behind HTTPS (`blocks/provider-hosts.ts`); no other host is reached.
 * - What serves (`wakala`, `wakala dev`, `wakala emulate`, `npm start`, `node server.js`) is started, goes on serving as
 *   in a terminal of its own, and the next line runs once it listens. A second one on the same port ends the first. A
 *   page that calls Wakala before it has started one finds a `wakala dev` there.
 * - Variables that hold credentials of a built-in provider are set, to the emulators' values.
 * - Programs that cannot be run for real are played by `blocks/stand-ins/`, which refuse what they do not know.
 * - Each line must succeed. `<!-- exit 3 -->` above a block says how its last line ends instead. Where curl gets a status
 *   from 400 on, what is printed must be shown.
 *
 * `text` or `json` below such a block is what it prints, both streams together, and then all that the programs it left
 * running print (in their own terminals). Each line of it occurs in that order.
 * `...` on a line of its own stands for lines left out, within a line for anything. Not compared (`blocks/
 * expected-output.ts`): ids, times, durations written with a space (`24 ms`), fingerprints, commits, high ports, the
 * values of a line of JSON (its keys are, and `event`, `code` and `outcome`), and how far columns stand apart. All of a
 * `json` block is one such value.
 *
 * Marks stand in a comment above the block, several with commas: `<!-- kubernetes, file pod.yaml -->`.
 * - `file NAME`, any language: the block is put there, from where the shell is, before the shell goes on below it. Some
 *   block below must name it. Without this mark a block that is not of the shell leaves nothing behind.
 * - `yaml`: Wakala's configuration (or top-level keys, or a route that begins with `/`) that passes the check. `bad`:
 *   the `text` below it shows its problems. `kubernetes`, `prometheus`, `compose`, `actions`: what it is else.
 * - `diff`: applied to the copy, as `git apply` does.
 * - `json`: JSON. `body POST URL`: each line or the whole is sent there, and the answer is good.
 * - `js` (ECMAScript module), `ts`, `python`: run by the page's shell where it stands, in a process of its own; with
 *   `continues`, after the one before it in the same process; with `continues WORD`, after those below that heading.
 * - `text` that no block prints: `drawing`. Use it for what is not words of a program.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname, '../..');

const NOT_OURS = new Set(['node_modules', '.git', 'dist', 'coverage']);

/** Whether a file or folder belongs to the repository; what was installed or built does not. */
export const isOurs = (file: string) => !NOT_OURS.has(path.basename(file));

const PLACES = [/^(README|SECURITY|CONTRIBUTING|CHANGELOG)\.md$/, /^docs\/(?!decisions\/)/, /^bench\/README\.md$/];
const READMES = /^(deploy|examples)\/(.*\/)?README\.md$/;

/** Markdown of the repository. `docs/decisions/` is a record of its day, and is not held against today's code. */
export const MARKDOWN = globSync(['**/*.md', '.*/**/*.md'], { cwd: ROOT, exclude: (file) => !isOurs(file) })
  .filter((file) => !file.startsWith('docs/decisions/'))
  .sort();

/** What users read. */
export const DOCUMENTS = MARKDOWN.filter((file) => [...PLACES, READMES].some((place) => place.test(file)));

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
  /** The heading it stands below. */
  readonly heading: string;
  /** The first mark of the comment in front of it, such as `bad`. */
  readonly mark: string | undefined;
  /** All of them, with what stands behind the word: `exit` to `3`. */
  readonly marks: ReadonlyMap<string, string>;
}

export const placeOf = ({ file, line }: Block) => `${file}:${line}`;

/** The fenced blocks of a document, in order, without the indentation that a list gives them. */
export function blocksOf(file: string): Block[] {
  const blocks: Block[] = [];
  const lines = textOf(file).split('\n');
  let heading = '';
  for (let i = 0; i < lines.length; i++) {
    const [, indent = '', fence, language = ''] = /^( *)(`{3,}|~{3,}) *(.*)$/.exec(lines[i] ?? '') ?? [];
    if (/^#{1,6} /.test(lines[i] ?? '')) heading = lines[i] ?? '';
    if (fence === undefined) continue;
    const above = lines[i - 1]?.trim() === '' ? lines[i - 2] : lines[i - 1];
    const marks = marksIn(above ?? '');
    const end = lines.indexOf(`${indent}${fence}`, i + 1);
    if (end === -1) throw new Error(`${file}:${i + 1}: the block has no end`);
    const text = lines.slice(i + 1, end).map((line) => line.slice(indent.length));
    const [mark] = marks.keys();
    blocks.push({ file, line: i + 2, language, text: `${text.join('\n')}\n`, heading, mark, marks });
    i = end;
  }
  return blocks;
}

function marksIn(line: string): ReadonlyMap<string, string> {
  const [, inside] = /^\s*<!-- (.*) -->$/.exec(line) ?? [];
  const marks = inside?.split(',').map((mark) => /^\s*(\S+)\s*(.*?)\s*$/.exec(mark)) ?? [];
  return new Map(marks.map((mark) => [mark?.[1] ?? '', mark?.[2] ?? '']));
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
