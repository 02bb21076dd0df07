import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { describe, expect, it, onTestFinished } from 'vitest';
import { completion } from '../../src/commands/completion.ts';
import { wakalaProgram } from '../../src/commands/program.ts';
import { providers } from '../../src/providers/registry.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
const IO = { stdout: () => undefined, stderr: () => undefined, env: {}, tty: false };
const PROVIDERS = providers.map(({ name }) => name);
const COMMANDS = [...wakalaProgram(IO).commands.map((command) => command.name()), 'help'];

function run(shell: string, program: Command = wakalaProgram(IO)) {
  let [stdout, stderr] = ['', ''];
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s) };
  return { code: completion({ shell, program }, io), stdout, stderr };
}

function has(shell: string): boolean {
  return spawnSync(shell, ['--version']).status === 0;
}

function folderWith(files: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-completion-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of files) writeFileSync(join(folder, file), '');
  return folder;
}

describe('completion', () => {
  it('exits 2 for an unknown shell and lists the known ones', () => {
    expect(run('fihs')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'wakala completion: no script for `fihs`; did you mean `fish`?\nShells: bash, zsh, fish\n',
    });
    expect(run('tcsh').stderr).toBe('wakala completion: no script for `tcsh`\nShells: bash, zsh, fish\n');
  });

  it.each(SHELLS)('prints a script for %s with every command and long option of the program', (shell) => {
    const { code, stdout, stderr } = run(shell);
    expect([code, stderr]).toEqual([0, '']);
    const options = wakalaProgram(IO).commands.flatMap((command) => command.options.map(({ long = '' }) => long));
    const words = new Set(stdout.match(/[\w-]+/g));
    const spelled = shell === 'fish' ? options.map((long) => long.replace('--', '')) : options;
    expect(COMMANDS.length).toBeGreaterThan(10);
    expect([...COMMANDS, ...spelled, ...PROVIDERS].filter((word) => !words.has(word))).toEqual([]);
  });

  it.each(SHELLS)('describes any program in the script for %s', (shell) => {
    const program = new Command('wakala');
    program
      .command('serve')
      .addOption(new Option('--colour <name>', "the sea's [own] colour").choices(['teal', 'azure']));
    program.command('juggle').description('it does not lag behind').option('-b, --balls', 'with balls');
    const { stdout } = run(shell, program);
    for (const word of ['juggle', 'balls', 'colour', 'teal azure']) expect(stdout).toContain(word);
    for (const word of ['doctor', 'listen', 'mpesa']) expect(stdout).not.toContain(word);
  });
});

describe.skipIf(!has('bash'))('the script for bash', () => {
  /** The completions of bash for the last word. */
  function offered(words: readonly string[], folder = folderWith([])): string[] {
    const typed = words.map((word) => `'${word}'`).join(' ');
    const text = `${run('bash').stdout}
COMP_WORDS=(${typed}); COMP_CWORD=${words.length - 1}; _wakala; printf '%s\\n' "\${COMPREPLY[@]}"; complete -p wakala >&2`;
    const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-u', '-c', text], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, 'complete -F _wakala wakala\n']);
    return stdout.split('\n').filter((line) => line !== '');
  }

  it.each([
    ['wakala ', COMMANDS],
    ['wakala che', ['check']],
    ['wakala xyz', []],
    ['wakala --v', ['--version']],
    ['wakala --li', ['--listen']],
    ['wakala --listen 127.0.0.1:1 --a', ['--admin']],
    ['wakala check --', ['--config', '--listen', '--admin', '--explain', '--body', '--header', '--json', '--help']],
    [
      'wakala check ',
      ['-c', '--config', '--listen', '--admin', '--explain', '--body', '--header', '--json', '-h', '--help'],
    ],
    ['wakala check --listen ', []],
    ['wakala schema --j', []],
    ['wakala doctor --c', ['--config', '--call']],
    ['wakala providers mp', ['mpesa']],
    ['wakala emulate jpay ', PROVIDERS],
    ['wakala emulate --fr', ['--free-ports']],
    ['wakala init --provider ', PROVIDERS],
    ['wakala init --provider mpesa --provider payp', ['paypack', 'paypal']],
    ['wakala init --environment = p', ['production']],
    ['wakala init --environment =', ['sandbox', 'production']],
    ['wakala completion ', ['bash', 'zsh', 'fish']],
    ['wakala help do', ['doctor']],
  ])('offers for %j: %j', (line, words) => {
    expect(offered(line.split(' '))).toEqual(words);
  });

  it.each([
    ['wakala check -c p', ['proxy one.yaml', 'proxy.yaml']],
    ['wakala -c o', ['other.yaml']],
    ['wakala --config = o', ['other.yaml']],
    ['wakala doctor --config x', []],
  ])('offers files for %j: %j', (line, files) => {
    const folder = folderWith(['proxy.yaml', 'proxy one.yaml', 'other.yaml']);
    expect(offered(line.split(' '), folder).sort()).toEqual(files);
  });
});

describe('the script for zsh', () => {
  const { stdout } = run('zsh');

  /** bash can parse the syntax that this script uses, but not run it. */
  const parser = has('zsh') ? 'zsh' : 'bash';
  it(`is valid syntax for ${parser}`, () => {
    const { status, stderr } = spawnSync(parser, ['-n'], { input: stdout, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    expect(spawnSync(parser, ['-n'], { input: stdout.replace('esac', ''), encoding: 'utf8' }).status).not.toBe(0);
  });

  it('works as a file in fpath and with source', () => {
    expect(stdout.split('\n')[0]).toBe('#compdef wakala');
    expect(stdout).toMatch(/funcstack\[1\] == _wakala[^]*compdef _wakala wakala/);
  });

  it('describes each option and its value', () => {
    expect(stdout).toContain("'(-c --config)'{-c,--config}'[configuration file]:value:_files'");
    expect(stdout).toContain("'(--listen)'--listen'[address of the proxy; overrides the configuration]:value: '");
    expect(stdout).toMatch(/'\*'--provider'\[[^\]]*\]:value:\(jpay mpesa/);
    expect(stdout).toContain(`'*:name:(${PROVIDERS.join(' ')})'`);
    const program = new Command('wakala');
    program.command('serve').option('--sea', "a [b] sea's");
    expect(run('zsh', program).stdout).toContain("'(--sea)'--sea'[a \\[b\\] sea'\\''s]'");
  });
});

describe('the script for fish', () => {
  const { stdout } = run('fish');

  it('consists of `complete` lines with closed quotes', () => {
    const word = String.raw`(?:[^\s'\\]+|'(?:[^'\\]|\\.)*')`;
    const lines = stdout.trimEnd().split('\n').slice(1);
    expect(lines.length).toBeGreaterThan(50);
    expect(lines.filter((line) => !new RegExp(`^complete -c wakala(?: ${word})+$`).test(line))).toEqual([]);
  });

  it('describes each option and its value', () => {
    const seen = "complete -c wakala -n '__fish_seen_subcommand_from init'";
    expect(stdout).toContain(`${seen} -s c -l config -r -F -d 'configuration file'\n`);
    expect(stdout).toContain(`${seen} -l provider -x -a '${PROVIDERS.join(' ')}' -d `);
    const program = new Command('wakala');
    program.command('serve').option('--sea', "the sea's");
    expect(run('fish', program).stdout).toContain("-d 'the sea\\'s'\n");
  });

  it.runIf(has('fish'))('completes in fish', () => {
    const folder = folderWith(['wakala.fish', 'one.yaml']);
    writeFileSync(join(folder, 'wakala.fish'), stdout);
    const offered = (line: string) =>
      spawnSync('fish', ['--no-config', '-c', `source wakala.fish; complete -C '${line}'`], {
        cwd: folder,
        encoding: 'utf8',
      })
        .stdout.split('\n')
        .flatMap((shown) => shown.split('\t')[0] || []);
    expect(offered('wakala che')).toEqual(['check']);
    expect(offered('wakala providers m')).toEqual(['mpesa']);
    expect(offered('wakala check -c on')).toEqual(['one.yaml']);
    expect(offered('wakala init --environment p')).toEqual(['production']);
  });
});
