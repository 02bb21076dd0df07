import { execFile } from 'node:child_process';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/proxy-process.ts';
import { blocksOf, ROOT } from './documents.ts';

const PAGE = 'docs/adding-a-provider.md';

/** The sources with the file of the page among them, and a project of that file: the others are checked where they are. */
function checkout(definition: string): string {
  const root = temporaryDirectory();
  cpSync(path.join(ROOT, 'src'), path.join(root, 'src'), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'));
  writeFileSync(path.join(root, 'src/providers/acme.ts'), definition);
  writeFileSync(path.join(root, 'package.json'), '{ "type": "module" }');
  const project = { extends: path.join(ROOT, 'tsconfig.json'), include: [], files: ['src/providers/acme.ts'] };
  writeFileSync(path.join(root, 'tsconfig.json'), JSON.stringify(project));
  return root;
}

/** What is run of the page is run by `blocks/shell-docs.test.ts`. */
describe(PAGE, { timeout: 60_000 }, () => {
  it('has a definition that the compiler takes', async () => {
    const [block] = blocksOf(PAGE).filter(({ language }) => language === 'ts');
    const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
    const compiling = promisify(execFile)(process.execPath, [tsc, '--noEmit', '-p', checkout(block?.text ?? '')]);
    await expect(compiling).resolves.toEqual({ stdout: '', stderr: '' });
  });
});
