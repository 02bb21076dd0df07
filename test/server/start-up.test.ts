import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { CliProcess, configFile } from '../support/proxy-process.ts';
import { routeTo } from '../support/proxy-server.ts';

const SETTINGS = '--max-semi-space-size=2';

async function serving(env: Record<string, string> = {}, args: readonly string[] = ['serve']): Promise<CliProcess> {
  const routes = { '/api/*': routeTo({ origin: 'http://127.0.0.1:1' }) };
  const file = configFile({ listen: '127.0.0.1:0', admin: false, routes });
  const cli = new CliProcess([...args, '-c', file], { env });
  await cli.until(/"msg":"ready"/);
  return cli;
}

// What `ps` shows is read from /proc.
describe.runIf(process.platform === 'linux')(
  'V8 settings of a process that carries traffic',
  { timeout: 60_000 },
  () => {
    it('are those that were measured, under the process id that was started, and it still obeys signals', async () => {
      const cli = await serving();
      expect(cli.commandLine().split('\0')).toContain(SETTINGS);
      cli.signal('SIGTERM');
      expect(await cli.exited).toBe(0);
    });

    it('are the same where `serve` goes without its name', async () => {
      expect((await serving({}, [])).commandLine().split('\0')).toContain(SETTINGS);
    });

    it('are left alone where someone chose them', async () => {
      const cli = await serving({ NODE_OPTIONS: '--max-semi-space-size=16' });
      expect(cli.commandLine()).not.toContain('semi-space');
      expect(cli.commandLine().split('\0')).toContain('--disable-sigusr1');
    });

    it('pass options of node itself on', async () => {
      const code = "process.stdout.write(process.execArgv.join(' ')); process.exit()";
      const preload = `data:text/javascript,if (process.execArgv.length > 2) { ${encodeURIComponent(code)} }`;
      const cli = new URL('../../src/cli.ts', import.meta.url).pathname;
      const shown = execFileSync(process.execPath, ['--import', preload, cli, 'serve'], { encoding: 'utf8' });
      expect(shown).toContain(`${SETTINGS} --v8-pool-size=1 --disable-sigusr1 --import`);
    });
  },
);

describe('serving', () => {
  it('loads no second HTTP client and no web framework until they are needed', { timeout: 60_000 }, () => {
    const serve = new URL('../../src/commands/serve.ts', import.meta.url).href;
    const code = `const { registerHooks } = await import('node:module');
      const packages = new Set();
      registerHooks({
        load(url, context, next) {
          packages.add(/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1] ?? '');
          return next(url, context);
        },
      });
      await import(${JSON.stringify(serve)});
      const own = process.moduleLoadList.filter((name) => name.includes('deps/undici'));
      console.log(JSON.stringify([...packages, ...own]));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    const loaded = JSON.parse(output) as string[];
    expect(loaded).toEqual(expect.arrayContaining(['zod', 'yaml', 'pino']));
    for (const name of loaded) expect(name).not.toMatch(/^hono|^@hono|^http-proxy-3|undici/);
  });
});
