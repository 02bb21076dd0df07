import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { validateConfig, type ValidatedConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/errors.ts';
import { scrape, startBusyProxy } from '../admin/metrics-scenario.ts';
import { problemsOf } from '../deploy/kubernetes/schemas.ts';
import { checkExpressions, groupingIn, matchersIn, metricsIn } from '../deploy/prometheus.ts';
import { temporaryDirectory } from '../support/proxy-process.ts';
import { hasTool } from '../support/tools.ts';
import { type Block, blocksOf, DOCUMENTS, placeOf, textOf } from './documents.ts';

const BLOCKS = DOCUMENTS.flatMap(blocksOf);

/** The blocks in a language, with their places for titles. */
function blocksIn(...languages: readonly string[]): (readonly [place: string, block: Block])[] {
  return BLOCKS.filter(({ language }) => languages.includes(language)).map((block) => [placeOf(block), block]);
}

/**
 * A configuration of a document as `wakala check` sees it. A whole file is taken as it is; one without `routes` gets a
 * route; one that begins with a route's name is put below `routes`. The latter two leave things out, so credentials may
 * be missing in them. Variables are set and files are there, except those whose names say NOT_SET.
 */
function examined(text: string): ValidatedConfig {
  const isRoute = text.startsWith('/');
  const isWhole = /^routes:/m.test(text);
  const indented = `routes:\n${text.replace(/^(?=.)/gm, '  ')}`;
  const file = isRoute ? indented : isWhole ? text : `${text}routes:\n  /x/*: { provider: mpesa }\n`;
  const names = [...text.matchAll(/\$\{([A-Z]\w*)\}/g)]
    .map(([, name = '']) => name)
    .filter((name) => !/NOT_SET/.test(name));
  return validateConfig('proxy.config.yaml', {
    env: Object.fromEntries(names.map((name) => [name, `made-up-value-of-${name}`])),
    readFile: (name) => (name.endsWith('proxy.config.yaml') ? file : `made-up-content-of-${path.basename(name)}`),
    emulated: !text.includes('credentials:'),
  });
}

/** Runs a program on a text. @returns what it complains of, empty if nothing */
function complaintOf(program: string, args: readonly string[], input: string): string {
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: 'utf8' });
  return status === 0 ? '' : stdout + stderr;
}

describe('every yaml block', () => {
  const blocks = blocksIn('yaml');
  const manifests = blocks.filter(([, { mark }]) => mark === 'kubernetes');
  // `test/deploy/kubernetes/docs.test.ts` has them rendered.
  const isKustomization = ({ name }: Block) => name?.endsWith('kustomization.yaml') === true;
  const configs = blocks.filter(([, block]) => block.mark !== 'kubernetes' && !isKustomization(block));

  it.each(configs.filter(([, { mark }]) => mark === undefined))('%s passes `wakala check`', (_, { text }) => {
    // The files with the keys and certificates of the examples are not there.
    const problems = examined(text).problems.filter(
      ({ key }) => !/\.(key|private_key|public_key|cert|ca|client_ca)$/.test(key),
    );
    expect(problems.map(formatProblem)).toEqual([]);
  });

  it.each(configs.filter(([, { mark }]) => mark === 'bad'))('%s has the problems that stand below it', (_, block) => {
    const shown = BLOCKS[BLOCKS.indexOf(block) + 1];
    expect(shown?.language).toBe('text');
    expect(examined(block.text).problems.map(formatProblem)).toEqual(shown?.text.trim().split('\n'));
  });

  it.each(manifests)('%s keeps to the schemas of Kubernetes', (_, { text }) => {
    const documents = parseAllDocuments(text);
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    expect(documents.flatMap((one) => problemsOf(one.toJS() as object))).toEqual([]);
  });
});

describe('every json block', () => {
  it.each(blocksIn('json'))('%s is JSON, whole or line by line', (_, { text }) => {
    const isWhole = /^[[{]\n/.test(text);
    for (const value of isWhole ? [text] : text.trim().split('\n'))
      expect(() => JSON.parse(value) as unknown).not.toThrow();
  });
});

describe('every promql block', () => {
  const blocks = blocksIn('promql').map(([place, { text }]) => [place, text.trim().split(/\n(?! )/)] as const);

  it.runIf(hasTool('promtool'))('is valid', () => {
    expect(checkExpressions(blocks.flatMap(([, expressions]) => expressions))).toBe('');
  });

  it('names metrics and labels that a running proxy gives', async () => {
    const { proxy } = await startBusyProxy();
    const known = await scrape(proxy);
    const names = known.samples.map(({ name }) => name);
    const labels = ['job', 'instance', ...known.samples.flatMap((sample) => Object.keys(sample.labels))];
    for (const [place, expression] of blocks.flatMap(([where, all]) => all.map((one) => [where, one] as const))) {
      expect(names, place).toEqual(expect.arrayContaining(metricsIn(expression)));
      const named = [...matchersIn(expression).map(({ label }) => label), ...groupingIn(expression)];
      expect(labels, place).toEqual(expect.arrayContaining(named));
    }
  });
});

describe('every ini block', () => {
  it.runIf(hasTool('systemd-analyze')).each(blocksIn('ini'))(
    '%s is what systemd can add to the unit',
    (_, { text }) => {
      const file = path.join(temporaryDirectory(), 'wakala.service');
      const unit = textOf('deploy/systemd/wakala.service').replaceAll('/usr/bin/node', process.execPath);
      writeFileSync(file, `${unit}\n${text}`);
      expect(complaintOf('systemd-analyze', ['--man=no', 'verify', file], '')).toBe('');
    },
  );
});

describe('every block of code', () => {
  it.each(blocksIn('sh', 'bash'))('%s is a script that the shell can read', (_, { language, text }) => {
    expect(complaintOf(language, ['-n'], text)).toBe('');
  });

  it.each(blocksIn('js', 'ts'))('%s is JavaScript or TypeScript', (_, { text }) => {
    const { diagnostics = [] } = ts.transpileModule(text, { reportDiagnostics: true });
    expect(diagnostics.map(({ messageText }) => messageText)).toEqual([]);
  });

  it.runIf(hasTool('python3')).each(blocksIn('python'))('%s is Python', (_, { text }) => {
    expect(complaintOf('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], text)).toBe('');
  });

  it('is in a language that is checked', () => {
    const checked = ['yaml', 'json', 'promql', 'ini', 'sh', 'bash', 'js', 'ts', 'python', 'text', 'diff'];
    expect(BLOCKS.filter(({ language }) => !checked.includes(language)).map(placeOf)).toEqual([]);
  });
});
