import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

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
