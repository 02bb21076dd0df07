import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import path from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { ROOT, temporaryFolder } from './packed.ts';

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly needs?: string | readonly string[];
  readonly uses?: string;
  readonly if?: string;
  readonly environment?: string;
  readonly steps?: readonly Step[];
  readonly 'timeout-minutes'?: number;
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: object;
  readonly jobs: Readonly<Record<string, Job>>;
}

const FOLDER = path.join(ROOT, '.github/workflows');
const FILES = readdirSync(FOLDER);
const textOf = (file: string) => readFileSync(path.join(FOLDER, file), 'utf8');
const workflow = (file: string) => parse(textOf(file)) as Workflow;
const stepsOf = (file: string) => Object.values(workflow(file).jobs).flatMap(({ steps = [] }) => steps);

/** GitHub's parser of workflows. Its modules import JSON without an import attribute, which Node requires. */
async function readAsGithub(file: string): Promise<string[]> {
  const json = registerHooks({
    load: (url, context, next) =>
      next(url, url.endsWith('.json') ? { ...context, importAttributes: { type: 'json' } } : context),
  });
  const { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } =
    await import('@actions/workflow-parser').finally(() => json.deregister());
  const { context, value } = parseWorkflow({ name: file, content: textOf(file) }, new NoOperationTraceWriter());
  if (value !== undefined) await convertWorkflowTemplate(context, value);
  return context.errors.getErrors().map(({ message }) => message);
}

test('there are two workflows', () => {
  expect(FILES.sort()).toEqual(['ci.yml', 'publish.yml']);
});

describe.each(FILES)('%s', (file) => {
  test('is a valid workflow for GitHub', async () => {
    expect(await readAsGithub(file)).toEqual([]);
  });

  test('grants each job its own permissions, and none by default', () => {
    expect(workflow(file).permissions).toEqual({});
    for (const [name, job] of Object.entries(workflow(file).jobs)) {
      expect(job.permissions, name).toBeDefined();
      expect(job['timeout-minutes'] ?? job.uses, name).toBeDefined();
    }
  });

  test('names actions by commit, with the version beside it', () => {
    const uses = textOf(file)
      .split('\n')
      .filter((line) => /^\s*(- )?uses:/.test(line) && !line.includes('uses: ./'));
    expect(uses.length).toBeGreaterThan(1);
    for (const line of uses) expect(line).toMatch(/uses: [\w-]+\/[\w-]+@[\da-f]{40} # v\d+\.\d+\.\d+$/);
    const commits = new Map(
      FILES.flatMap((one) => [...textOf(one).matchAll(/uses: (\S+)@(\S+)/g)]).map(([, a, b]) => [a, b]),
    );
    for (const line of uses) {
      const [, action, commit] = /uses: (\S+)@(\S+)/.exec(line) ?? [];
      expect(commits.get(action), 'the same in all workflows').toBe(commit);
    }
  });

  test('persists no token and puts no foreign text into a script', () => {
    for (const step of stepsOf(file)) {
      if (step.uses?.startsWith('actions/checkout@') === true) expect(step.with?.['persist-credentials']).toBe(false);
      if (step.uses?.startsWith('actions/setup-node@') === true)
        expect(step.with?.['package-manager-cache']).toBe(false);
      expect(step.run ?? '').not.toContain('${{');
    }
    expect(textOf(file)).not.toMatch(/secrets\.|pull_request_target|NODE_AUTH_TOKEN|NPM_TOKEN/);
  });

  test('runs only existing scripts', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const runs = stepsOf(file)
      .map(({ run = '' }) => run)
      .join('\n');
    for (const [, name = ''] of runs.matchAll(/\bnpm run (?:--silent )?([\w:]+)/g))
      expect(scripts).toHaveProperty([name]);
    const files = [...runs.matchAll(/(?:^|\bnode )((?:\.ci|scripts)\/[\w./-]+)/gm)].map(([, name = '']) => name);
    expect(files.length).toBeGreaterThan(0);
    for (const name of files) expect(existsSync(path.join(ROOT, name)), name).toBe(true);
  });
});

describe('publish.yml', () => {
  const { on, jobs } = workflow('publish.yml');

  test('runs only for version tags', () => {
    expect(on).toEqual({ push: { tags: ['v*'] } });
  });

  test('publishes only after all checks', () => {
    expect(jobs['ci']?.uses).toBe('./.github/workflows/ci.yml');
    expect(jobs['npm']?.needs).toEqual(['ci', 'package']);
    expect(jobs['image']?.needs).toEqual(['ci', 'package']);
    expect(jobs['release']?.needs).toBe('npm');
  });

  test('lets only one job request a token for npm, and that job runs no code of a checkout', () => {
    expect(jobs['npm']).toMatchObject({ permissions: { 'id-token': 'write' }, environment: 'npm' });
    expect(Object.keys(jobs['npm']?.permissions ?? {})).toHaveLength(1);
    const uses = jobs['npm']?.steps?.map((step) => step.uses?.replace(/@.*/, '')).filter((one) => one !== undefined);
    expect(uses).toEqual(['actions/download-artifact', 'actions/setup-node']);
  });

  test('builds an image only if it is enabled', () => {
    expect(jobs['image']?.if).toBe("vars.PUBLISH_IMAGE == 'true'");
    const build = jobs['image']?.steps?.find(({ uses }) => uses?.startsWith('docker/build-push-action@') === true);
    const dockerfile = readFileSync(path.join(ROOT, String(build?.with?.['file'])), 'utf8');
    for (const [, name = ''] of String(build?.with?.['build-args']).matchAll(/^(\w+)=/gm)) {
      expect(dockerfile).toMatch(new RegExp(`^ARG ${name}\\b`, 'm'));
    }
  });
});

describe('a step of publish.yml', () => {
  let folder: string;
  let asked: string;
  beforeAll(() => {
    folder = temporaryFolder();
    asked = path.join(folder, 'asked');
    return () => rmSync(folder, { recursive: true, force: true });
  });

  /** Fake programs that record their arguments. */
  function played(...names: readonly string[]): string {
    const bin = path.join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    for (const name of names) {
      writeFileSync(path.join(bin, name), `#!/bin/sh\nprintf '%s\\n' "${name}" "$@" >'${asked}'\n`);
      chmodSync(path.join(bin, name), 0o755);
    }
    onTestFinished(() => rmSync(bin, { recursive: true, force: true }));
    return `${bin}${path.delimiter}${process.env['PATH'] ?? ''}`;
  }

  function runStep(job: string, name: string, env: Readonly<Record<string, string>>) {
    const step = workflow('publish.yml').jobs[job]?.steps?.find((one) => one.name === name);
    const bash = ['--noprofile', '--norc', '-eo', 'pipefail', '-c', step?.run ?? 'exit 99'];
    return spawnSync('bash', bash, { cwd: folder, env: { ...process.env, ...env }, encoding: 'utf8' });
  }

  function releaseFolder(): void {
    mkdirSync(path.join(folder, 'release'));
    for (const file of ['wakala-1.2.3.tgz', 'wakala.cdx.json', 'notes.md'])
      writeFileSync(path.join(folder, 'release', file), '');
    onTestFinished(() => rmSync(path.join(folder, 'release'), { recursive: true }));
  }

  const calledWith = () => readFileSync(asked, 'utf8').trimEnd().split('\n');

  test('publishes the tarball as a file', () => {
    releaseFolder();
    const { status } = runStep('npm', 'Publish', { PATH: played('npm'), DIST_TAG: 'latest' });
    expect(status).toBe(0);
    expect(calledWith()).toEqual([
      ...['npm', 'publish', './release/wakala-1.2.3.tgz', '--provenance', '--access', 'public', '--tag', 'latest'],
    ]);
  });

  test('attaches the tarball and the SBOM to the release', () => {
    releaseFolder();
    const env = { PATH: played('gh'), GITHUB_REF_NAME: 'v1.2.3', PRERELEASE: 'false' };
    expect(runStep('release', 'Create the release', env).status).toBe(0);
    expect(calledWith()).toEqual([
      ...['gh', 'release', 'create', 'v1.2.3', '--verify-tag', '--title', 'v1.2.3', '--prerelease=false'],
      ...['--notes-file', 'release/notes.md', 'release/wakala-1.2.3.tgz', 'release/wakala.cdx.json'],
    ]);
  });

  test('tags the image with the version, in lower case', () => {
    const output = path.join(folder, 'output');
    const env = { GITHUB_OUTPUT: output, GITHUB_REPOSITORY: 'Till-And-Sons/Wakala', GITHUB_REF_NAME: 'v1.2.3-rc.1' };
    expect(runStep('image', 'Name the image', env).status).toBe(0);
    expect(readFileSync(output, 'utf8')).toBe('image=ghcr.io/till-and-sons/wakala\nversion=1.2.3-rc.1\n');
  });
});
