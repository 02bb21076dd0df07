import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Block, blocksOf, placeOf } from '../documents.ts';
import { expectJson, expectOutput } from './expected-output.ts';
import { hasToolsFor } from './needs.ts';
import { type ProviderHosts, startProviderHosts } from './provider-hosts.ts';
import { RUNNERS, sourceOf } from './runners.ts';
import { PageShell } from './shell.ts';

/** A Wakala that a page calls. */
const CALL = /(?:127\.0\.0\.1|localhost):(8080|99\d\d)\b/;
const START = /^\s*([A-Z_]+=\S+ )*(wakala( dev| serve| emulate| -.*)?|npm start)(\s|$)/m;

const SHELLS = new Set(['sh', 'bash']);

/** How a block in another language is run: the name of its file ends so, and this runs it. */
const PROGRAMS: Readonly<Record<string, readonly [extension: string, program: string]>> = {
  js: ['mjs', 'node'],
  ts: ['mts', 'node'],
  python: ['py', 'python3'],
};
const REQUIRE = "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);\n";

/** Runs the shell's blocks of these pages, each page in a shell of its own. */
export function describeShellPages(files: readonly string[]): void {
  let hosts: ProviderHosts;
  beforeAll(async () => {
    hosts = await startProviderHosts();
  });
  afterAll(() => hosts.close());

  for (const file of files) {
    const blocks = blocksOf(file);
    const steps = blocks.filter((block) => RUNNERS.get('shell')?.(block, blocks) === true);
    const texts = steps.filter(({ language }) => SHELLS.has(language)).map(({ text }) => text);
    // In CI, a missing program is an error.
    describe.skipIf(!hasToolsFor(texts))(file, { timeout: 90_000 }, () => describeSteps(blocks, steps));
  }

  function describeSteps(blocks: readonly Block[], steps: readonly Block[]): void {
    let shell: PageShell;
    beforeAll(() => {
      shell = new PageShell(hosts);
      for (const { text } of blocks) provideFiles(shell, text);
    });
    afterAll(() => shell.close());

    it.each(steps.map((block) => [placeOf(block), block] as const))('%s', (_, block) => take(shell, block, steps));
  }
}

async function take(shell: PageShell, block: Block, steps: readonly Block[]): Promise<void> {
  const name = block.marks.get('file');
  if (name !== undefined) shell.put(name, block.text);
  else if (block.language === 'diff') shell.patch(block.text);
  else if (block.language === 'text') await shell.shows((printed) => expectOutput(block.text, printed));
  else if (block.language === 'json') await shell.shows((printed) => expectJson(block.text, printed));
  else {
    const [, port] = CALL.exec(block.text) ?? [];
    if (port !== undefined && !START.test(block.text) && !shell.listens(Number(port))) {
      await shell.run({ ...block, language: 'sh', text: 'wakala dev\n', marks: new Map() });
    }
    await shell.run(SHELLS.has(block.language) ? block : program(shell, block, steps));
    // An answer that is not good is shown, or is a slip.
    const isShown = steps.some((other) => other !== block && sourceOf(other, steps) === block);
    if (!isShown) expect(shell.statuses().filter((status) => status >= 400)).toEqual([]);
  }
}

/** A block in another language, as a command that runs it; with those before it that it `continues`. */
function program(shell: PageShell, block: Block, steps: readonly Block[]): Block {
  const text = [...continued(block, steps), block].map((one) => one.text).join('');
  const [extension, start] = PROGRAMS[block.language] ?? [];
  const name = `page-block-${block.line}.${extension}`;
  shell.put(name, text.includes('require(') ? REQUIRE + text : text);
  return { ...block, language: 'sh', text: `${start} ${name}\n` };
}

/** The blocks before it back to one that continues nothing; where a heading is named, those below that heading. */
function continued(block: Block, steps: readonly Block[]): readonly Block[] {
  const heading = block.marks.get('continues');
  if (heading === undefined) return [];
  const before = steps.slice(0, steps.indexOf(block)).filter(({ language }) => language === block.language);
  if (heading !== '') return before.filter((other) => other.heading.includes(heading));
  return before.slice(before.findLastIndex(({ marks }) => !marks.has('continues')));
}

/** The files that a configuration on the page reads, wherever they are. */
export function provideFiles(shell: PageShell, text: string): void {
  for (const [, name = ''] of text.matchAll(/\$\{file:([^}]+)\}/g))
    shell.put(name, 'made-up-content-of-a-file-0123456789\n');
}
