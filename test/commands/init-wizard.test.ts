import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { init, type InitOptions } from '../../src/commands/init/init.ts';
import { type Dialog, DialogEnded, terminalDialog } from '../../src/commands/init/wizard.ts';
import { validateConfig } from '../../src/config/load.ts';

const FILES = ['.env.example', '.gitignore', 'proxy.config.yaml'];
const CLI = new URL('../../src/cli.ts', import.meta.url).pathname;

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakala-wizard-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The user leaves once the answers are used up. */
async function run(answers: readonly string[], options: Partial<InitOptions> = {}) {
  const folder = emptyFolder();
  const left = [...answers];
  const [questions, said]: [string[], string[]] = [[], []];
  let [opened, closed, stdout, stderr] = [0, 0, '', ''];
  const dialog: Dialog = {
    print: (text) => void said.push(text),
    ask: async (question) => {
      questions.push(question);
      const answer = left.shift();
      if (answer === undefined) throw new DialogEnded();
      return answer;
    },
    close: () => (closed += 1),
  };
  const open = () => {
    opened++;
    return dialog;
  };
  const io = { stdout: (s: string) => void (stdout += s), stderr: (s: string) => void (stderr += s) };
  const config = join(folder, 'proxy.config.yaml');
  const code = await init({ config, provider: [], yes: false, ...options }, io, open);
  expect(closed).toBe(opened);
  return { code, stdout, stderr, folder, config, questions, said: said.join(''), opened, left };
}

/** The written configuration, with all variables set. */
function written(config: string) {
  const names = [...readFileSync(config, 'utf8').matchAll(/: \$\{(\w+)\}/g)].map(([, name = '']) => name);
  const examined = validateConfig(config, { env: Object.fromEntries(names.map((name) => [name, 'x'])) });
  if (examined.config === undefined) throw new Error(JSON.stringify(examined.problems));
  return examined.config;
}

describe('the wizard of init', () => {
  it('asks for providers, environment and address, and takes the defaults for empty answers', async () => {
    const { code, config, questions, said, folder } = await run(['mpesa, jpay', '', '']);
    expect(code).toBe(0);
    expect(questions.map((question) => question.split(/[,[]/)[0]?.trim())).toEqual([
      'Names',
      'Environment',
      'Address to listen on',
    ]);
    expect(said).toMatch(/^ {2}mpesa +Safaricom Daraja \(M-Pesa\)$/m);
    const { routes, environment, listen } = written(config);
    expect(routes.map(({ name }) => name)).toEqual(['/mpesa/*', '/jpay/*']);
    expect([environment, listen]).toEqual(['sandbox', { host: '127.0.0.1', port: 8080 }]);
    expect(readdirSync(folder).sort()).toEqual(FILES);
  });

  it('asks for the upstream of a provider without one', async () => {
    const { config, questions } = await run(['static', 'production', 'https://api.paystack.co', '[::1]:9000']);
    expect(questions[2]).toContain('`static`');
    const { routes, listen } = written(config);
    expect(routes[0]).toMatchObject({ upstream: 'https://api.paystack.co', environment: 'production' });
    expect(listen).toEqual({ host: '::1', port: 9000 });
    expect(readFileSync(config, 'utf8')).not.toContain('An example');
  });

  it('asks again after an invalid answer, and says why', async () => {
    const answers = [
      'mpsea',
      '',
      'static',
      'prod',
      'PRODUCTION',
      '',
      'http://api.example.org',
      'https://api.example.org',
    ];
    const { code, said, config, left } = await run([
      ...answers,
      '8080',
      '0.0.0.0:8080',
      '127.0.0.1:9901',
      'localhost:1234',
    ]);
    expect([code, left]).toEqual([0, []]);
    expect(said).toContain('unknown provider `mpsea`; did you mean `mpesa`?');
    expect(said).toContain('`sandbox` or `production`');
    expect(said).toContain('must be an absolute URL');
    expect(said).toContain('use `https:`');
    expect(said).toContain('the address to listen on is missing');
    expect(said).toContain('`clients`');
    expect(said).toContain('is on the same port as `listen`');
    expect(written(config).listen).toEqual({ host: '127.0.0.1', port: 1234 });
  });

  it('asks only for what the options do not set', async () => {
    const { code, questions, config } = await run([''], { provider: ['paypack'], environment: 'production' });
    expect([code, questions.length]).toEqual([0, 1]);
    expect(written(config).routes[0]).toMatchObject({ name: '/paypack/*', environment: 'production' });
  });

  it('does not start with --yes', async () => {
    const named = await run([], { provider: ['static'], yes: true });
    expect([named.code, named.opened]).toEqual([0, 0]);
    const unnamed = await run([], { yes: true });
    expect([unnamed.code, unnamed.opened]).toEqual([2, 0]);
    expect(unnamed.stderr).toContain('--provider');
  });

  it.each([[[]], [['mpesa']], [['mpesa', '']], [['static', '', 'https://a.example']]])(
    'writes nothing when the user leaves after %j, and exits 130',
    async (answers) => {
      const { code, stdout, stderr, folder } = await run(answers);
      expect([code, stdout]).toEqual([130, '']);
      expect(stderr).toContain('nothing was written');
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it('does not overwrite a configuration that was created while it asked', async () => {
    const folder = emptyFolder();
    const config = join(folder, 'proxy.config.yaml');
    let stderr = '';
    const io = { stdout: () => undefined, stderr: (s: string) => void (stderr += s) };
    const dialog = {
      print: () => undefined,
      ask: async () => {
        writeFileSync(config, 'theirs\n');
        return '';
      },
      close: () => undefined,
    };
    expect(await init({ config, provider: ['mpesa'], yes: false }, io, () => dialog)).toBe(2);
    expect(stderr).toContain('exists already');
    expect(readdirSync(folder)).toEqual(['proxy.config.yaml']);
    expect(readFileSync(config, 'utf8')).toBe('theirs\n');
  });

  it('needs a terminal', () => {
    if (process.stdin.isTTY && process.stderr.isTTY) expect(terminalDialog()).toBeDefined();
    else expect(terminalDialog()).toBeUndefined();
  });
});

const hasScript = String(spawnSync('script', ['--version']).stdout).includes('util-linux');

describe.skipIf(!hasScript)('the wizard of init on a real terminal (script of util-linux)', () => {
  /** Types each answer when its question has been shown. */
  async function typed(folder: string, dialog: readonly (readonly [question: string, answer: string])[]) {
    const { PATH = '' } = process.env;
    const command = `'${process.execPath}' '${CLI}' init`;
    const terminal = spawn('script', ['-qefc', command, '/dev/null'], {
      cwd: folder,
      env: { PATH, TERM: 'xterm', SHELL: '/bin/sh' },
    });
    onTestFinished(() => void terminal.kill('SIGKILL'));
    const left = [...dialog];
    let shown = '';
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
      const [next] = left;
      if (next === undefined || !shown.includes(next[0])) return;
      left.shift();
      terminal.stdin.write(next[1]);
    });
    const [code] = (await once(terminal, 'close')) as [number | null];
    return { code, shown, left };
  }

  it('writes the answers', async () => {
    const folder = emptyFolder();
    const { code, shown, left } = await typed(folder, [
      ['commas: ', 'jeel,mpesa\r'],
      ['[sandbox]: ', '\r'],
      ['[127.0.0.1:8080]: ', '127.0.0.1:8181\r'],
    ]);
    expect([code, left]).toEqual([0, []]);
    expect(shown).toContain('wrote proxy.config.yaml: /jeel/*, /mpesa/*');
    expect(shown).toMatch(/set -a; \. \.\/\.env; set \+a/);
    expect(written(join(folder, 'proxy.config.yaml')).listen.port).toBe(8181);
    expect(readdirSync(folder).sort()).toEqual(FILES);
  });

  it('accepts all answers pasted at once', async () => {
    const folder = emptyFolder();
    const { code } = await typed(folder, [['commas: ', 'paypack\r\r127.0.0.1:8282\r']]);
    expect(code).toBe(0);
    expect(written(join(folder, 'proxy.config.yaml')).listen.port).toBe(8282);
  });

  it.each([
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('ends with %s, exit code 130 and nothing written', async (_, key) => {
    const folder = emptyFolder();
    const { code, shown } = await typed(folder, [
      ['commas: ', 'mpesa\r'],
      ['[sandbox]: ', key],
    ]);
    expect(code).toBe(130);
    expect(shown).toContain('nothing was written');
    expect(readdirSync(folder)).toEqual([]);
  });
});
