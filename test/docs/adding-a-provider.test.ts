import { execFile } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { CliProcess, runCli, temporaryDirectory } from '../support/proxy-process.ts';
import { ROOT, sectionOf } from './documents.ts';

const PAGE = 'docs/adding-a-provider.md';
const run = promisify(execFile);

/** The blocks of a section in this language, less the indentation of the list they stand in. */
function blocksIn(heading: string, language: string): string[] {
  const fence = new RegExp(`^ *\`\`\`${language}\\n([^]*?)^ *\`\`\`$`, 'gm');
  return [...sectionOf(PAGE, heading).matchAll(fence)].map(([, text = '']) => text.replaceAll(/^ {3}/gm, ''));
}

/** `NAME=x wakala check -c file` as a list of arguments and variables. */
function parsed(line: string): { readonly args: string[]; readonly env: Record<string, string> } {
  const words = line.trim().split(/\s+/);
  const at = words.indexOf('wakala');
  const env = Object.fromEntries(words.slice(0, at).map((word) => word.split('=') as [string, string]));
  return { args: words.slice(at + 1), env };
}

/** Runs `wakala dev` on free ports and gives its addresses: of the proxy, and of the emulator of `/acme/*`. */
async function dev(args: readonly string[], cwd: string, cli?: string) {
  const ports = ['--listen', '127.0.0.1:0', '--admin', 'false'];
  const wakala = new CliProcess([...args, ...ports], { cwd, ...(cli === undefined ? {} : { cli }) });
  const [, proxy = ''] = await wakala.until(/proxy +http:\/\/(\S+)/);
  const [, emulator = ''] = await wakala.until(/\/acme\/\*.*http:\/\/(127\.0\.0\.1:\d+)/);
  await wakala.until(/Ctrl-C/);
  return {
    screen: wakala.stdout,
    withPorts: (line: string) => line.replace('127.0.0.1:8080', proxy).replace('127.0.0.1:9930', emulator),
  };
}

async function printed(line: string): Promise<string> {
  return (await run('sh', ['-c', line])).stdout;
}

describe(`${PAGE}, in the configuration alone`, { timeout: 30_000 }, () => {
  const HEADING = '## In the configuration alone';
  const [file = ''] = blocksIn(HEADING, 'yaml');
  const [checking = '', starting = '', calling = ''] = blocksIn(HEADING, 'sh');
  const [good = ''] = blocksIn(HEADING, 'text');

  function folder(): string {
    const cwd = temporaryDirectory();
    writeFileSync(path.join(cwd, 'acme.yaml'), file);
    return cwd;
  }

  it('is good as it stands', async () => {
    const { args, env } = parsed(checking);
    expect(await runCli(args, { cwd: folder(), env })).toEqual({ code: 0, stdout: good, stderr: '' });
  });

  it('works against an emulator that is made from it', async () => {
    const { withPorts } = await dev(parsed(starting).args, folder());
    const [first = '', expiring = '', last = ''] = calling.trim().split('\n').map(withPorts);
    expect(await printed(first)).toMatch(/^HTTP\/1\.1 200[^]*^wakala-token: fetched\r$/m);
    expect(await printed(expiring)).toContain('"emulated":true');
    expect(await printed(last)).toMatch(/^HTTP\/1\.1 200[^]*^wakala-token: replayed\r$/m);
  });
});

describe(`${PAGE}, built in`, { timeout: 60_000 }, () => {
  const HEADING = '## Built in';
  const [definition = ''] = blocksIn(HEADING, 'ts');
  const [updating = '', trying = ''] = blocksIn(HEADING, 'sh');

  /** A copy of the sources with the file of the page, and the line in the registry that it asks for. */
  function checkout(): string {
    const root = temporaryDirectory();
    for (const part of ['src', 'scripts', 'docs/providers', 'package.json']) {
      cpSync(path.join(ROOT, part), path.join(root, part), { recursive: true });
    }
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'));
    writeFileSync(path.join(root, 'src/providers/acme.ts'), definition);
    const registry = path.join(root, 'src/providers/registry.ts');
    const text = readFileSync(registry, 'utf8').replace('= [\n', '= [\n  acme,\n');
    writeFileSync(registry, `import { acme } from './acme.ts';\n${text}`);
    return root;
  }

  it('is a provider like the others once the file and the line are there', async () => {
    const root = checkout();
    const cli = path.join(root, 'src/cli.ts');
    const commands = updating.trim().split('\n');
    expect(commands).toEqual([
      'npm run build',
      'wakala schema > proxy.config.schema.json',
      'node scripts/provider-docs.mjs',
      'wakala providers acme',
    ]);
    await run(process.execPath, [
      path.join(ROOT, 'node_modules/typescript/bin/tsc'),
      '--noEmit',
      '-p',
      await projectOf(root),
    ]);
    expect((await runCli(['schema'], { cwd: root, cli })).stdout).toContain('"acme"');
    await run(process.execPath, ['scripts/provider-docs.mjs'], { cwd: root });
    expect(readFileSync(path.join(root, 'docs/providers/acme.md'), 'utf8')).toContain('Acme Pay');
    const { code, stdout } = await runCli(['providers', 'acme'], { cwd: root, cli });
    expect([code, stdout]).toEqual([0, expect.stringContaining('`expiresAt` is a point in time')]);
  });

  it('runs, and shows a call that works', async () => {
    const root = checkout();
    const [writing = '', starting = ''] = trying.trim().split('\n');
    await run('sh', ['-c', writing], { cwd: root });
    const { screen } = await dev(parsed(starting).args, root, path.join(root, 'src/cli.ts'));
    const [, line = ''] = /^ {2}(curl -sS .*\/acme\/payments .*)$/m.exec(screen) ?? [];
    expect(await printed(line.replace('curl -sS', 'curl -sS -i'))).toMatch(
      /^HTTP\/1\.1 200[^]*^wakala-token: fetched\r$/m,
    );
  });
});

/** A project of the one new file: the others are checked where they are. */
async function projectOf(root: string): Promise<string> {
  const file = path.join(root, 'tsconfig.json');
  const files = ['src/providers/acme.ts'];
  writeFileSync(file, JSON.stringify({ extends: path.join(ROOT, 'tsconfig.json'), include: [], files }));
  return file;
}
