import { cpSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expectFile, expectThat, play, print, readJson } from '../played/play.ts';

/** git in a checkout of the repository, at a made-up commit; a clone is a copy of it. It has its version's tag alone. */

const COMMIT = 'abc1234';
const { REPOSITORY = '' } = process.env;

await play('git', {
  clone: { options: { depth: { type: 'string' } }, run: clone },
  'rev-parse': {
    options: { short: { type: 'boolean' } },
    run: ([what = '']) => {
      expectThat(what === 'HEAD', `it does not know ${what}`);
      print(`${COMMIT}\n`);
    },
  },
  checkout: { run: ([what = '']) => expectTag(what) },
  add: {
    run: (files) => {
      for (const file of files) expectFile(file);
    },
  },
  commit: { options: { message: { type: 'string', short: 'm' } }, run: () => undefined },
  tag: {
    options: { sign: { type: 'boolean', short: 's' }, message: { type: 'string', short: 'm' } },
    run: ([name = '']) => expectTag(name),
  },
  push: {
    run: ([remote, ...what]) => {
      expectThat(remote === 'origin', `no remote is named ${remote ?? ''}`);
      for (const name of what) if (name !== 'main') expectTag(name);
    },
  },
});

function clone([url = '', folder = path.basename(url, '.git')]: readonly string[]): void {
  expectThat(/^https:\/\/[\w.]+\/[\w./-]+$/.test(url), `${url} is no address of a repository`);
  const target = path.resolve(folder);
  for (const name of readdirSync(REPOSITORY)) {
    const source = path.join(REPOSITORY, name);
    if (source !== target) cpSync(source, path.join(target, name), { recursive: true, verbatimSymlinks: true });
  }
}

function expectTag(name: string): void {
  const { version = '' } = readJson(path.join(REPOSITORY, 'package.json')) as { readonly version?: string };
  expectThat(name === `v${version}`, `there is no tag ${name}`);
}
