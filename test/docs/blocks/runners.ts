import { type Block, blocksOf, DOCUMENTS } from '../documents.ts';

/** Languages that a page's shell runs. */
const SHELL = ['sh', 'bash', 'js', 'ts', 'python'];

/** Every block of a page, in order. */
type Page = readonly Block[];

/**
 * The tests that take blocks, each `<name>.test.ts` in this folder; of `shell`, `shell-*.test.ts`. A block belongs to
 * the one that says so; `registry.test.ts` holds that there is exactly one.
 */
export const RUNNERS = new Map<string, (block: Block, page: Page) => boolean>([
  ['shell', isShell],
  ['configuration', (block, page) => isYaml(block, undefined) || isYaml(block, 'bad') || isProblems(block, page)],
  ['kubernetes', (block) => isYaml(block, 'kubernetes')],
  ['prometheus', (block) => isYaml(block, 'prometheus')],
  ['compose', (block) => isYaml(block, 'compose')],
  ['actions', (block) => isYaml(block, 'actions')],
  ['promql', ({ language }) => language === 'promql'],
  ['json', (block, page) => isPlain(block, 'json') && !isOutput(block, page)],
  ['before-and-after', isBeforeOrAfter],
  ['files', (block) => isPlain(block, 'ini')],
  ['drawing', ({ language, mark }) => language === 'text' && mark === 'drawing'],
]);

/** The names of the runners that take a block: one, if all is well. */
export function runnersOf(block: Block, page: Page): string[] {
  return [...RUNNERS].filter(([, takes]) => takes(block, page)).map(([name]) => name);
}

/** All blocks that a runner takes. */
export function blocksFor(runner: string): Block[] {
  return DOCUMENTS.flatMap((file) => {
    const page = blocksOf(file);
    return page.filter((block) => RUNNERS.get(runner)?.(block, page));
  });
}

/** Pages on running it in earnest, which take as long as all others. */
export const DEPLOYING = /^deploy\/|^docs\/(container|kubernetes|operations|releasing)\.md$/;

/** Pages with something for the shell. */
export function shellPages(): string[] {
  return [...new Set(blocksFor('shell').map(({ file }) => file))];
}

/** The block that a `text` or `json` block shows the output of: the one above it. */
export function sourceOf(block: Block, page: Page): Block | undefined {
  return page.slice(0, page.indexOf(block)).findLast(({ language, mark }) => language !== 'text' || mark === 'drawing');
}

function isShell(block: Block, page: Page): boolean {
  const runs = [...SHELL, 'diff'].includes(block.language) && !isBeforeOrAfter(block);
  return runs || block.marks.has('file') || isOutput(block, page);
}

/** The README's: they are no whole programs. */
function isBeforeOrAfter({ file, language }: Block): boolean {
  return file === 'README.md' && language === 'js';
}

function isOutput(block: Block, page: Page): boolean {
  if (!['text', 'json'].includes(block.language) || block.mark !== undefined) return false;
  const source = sourceOf(block, page);
  return SHELL.includes(source?.language ?? '') && (block.language === 'text' || source?.heading === block.heading);
}

function isProblems(block: Block, page: Page): boolean {
  return block.language === 'text' && block.mark === undefined && sourceOf(block, page)?.mark === 'bad';
}

function isYaml(block: Block, mark: string | undefined): boolean {
  return isPlain(block, 'yaml') && block.mark === mark;
}

function isPlain({ language, marks }: Block, wanted: string): boolean {
  return language === wanted && !marks.has('file');
}
