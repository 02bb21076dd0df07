import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUILD_TIMEOUT_MS, pack, ROOT, script, temporaryFolder, unpack } from './packed.ts';

/** Uses every export of the package as documented. */
const CONSUMER = `
import http from 'node:http';
import { Hono } from 'hono';
import { ConfigError, createWakala } from 'wakala';
import type { ConfigProblem, Log, LogFields, Wakala, WakalaConfig, WakalaOptions } from 'wakala';
import { wakala } from 'wakala/hono';

const log: Log = {
  debug: () => undefined,
  info: (fields: LogFields, message: string) => void [fields['route'], message],
  warn: () => undefined,
  error: () => undefined,
};
const config: WakalaConfig = {
  environment: 'production',
  routes: { '/mpesa/*': { provider: 'mpesa', credentials: { consumer_key: 'made-up-key' }, timeout: '5s', replay: ['GET'] } },
  clients: [{ name: 'till', key: 'made-up-client-key', routes: ['/mpesa/*'] }],
  log: { level: 'warn' },
};
const options: WakalaOptions = { config, env: { NAME: undefined }, log };
const proxy: Wakala = createWakala(options);
const server = http.createServer((req, res) => proxy.handler(req, res, (error?: unknown) => void error));
server.on('upgrade', proxy.upgrade);
const taken: boolean = proxy.hasRoute('/mpesa/x');
const closed: Promise<void> = proxy.close();
new Hono().use(wakala(proxy)).use(wakala({ config: 'proxy.config.yaml' }));
try {
  createWakala({ config: 'proxy.config.yaml' });
} catch (error) {
  const problems: readonly ConfigProblem[] = error instanceof ConfigError ? error.problems : [];
  const where: number[] = problems.map(({ line, column }) => line + column);
  console.log(where, taken, closed);
}
// @ts-expect-error: unknown key
createWakala({ config: { rout: {} } });
// @ts-expect-error: a duration is a string
createWakala({ config: { routes: { '/x/*': { timeout: 5 } } } });
// @ts-expect-error: unknown environment
createWakala({ config: { routes: {}, environment: 'staging' } });
// @ts-expect-error: not exported
import { ProxyError } from 'wakala';
// @ts-expect-error: internal modules are not exported
import 'wakala/dist/errors.js';
`;

const RESOLUTIONS = [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
] as const;

describe('a TypeScript project that depends on the package', () => {
  const project = temporaryFolder();

  beforeAll(() => {
    script('build.mjs');
    unpack(pack(ROOT, project), project);
    for (const name of ['hono', '@types/node', 'undici-types']) {
      const link = path.join(project, 'node_modules', name);
      mkdirSync(path.dirname(link), { recursive: true });
      symlinkSync(path.join(ROOT, 'node_modules', name), link);
    }
    writeFileSync(path.join(project, 'package.json'), '{ "type": "module" }');
    writeFileSync(path.join(project, 'consumer.ts'), CONSUMER);
  }, BUILD_TIMEOUT_MS);
  afterAll(() => rmSync(project, { recursive: true, force: true }));

  function compile(file: string, module: string, moduleResolution: string): string {
    const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
    const where = ['--module', module, '--moduleResolution', moduleResolution, '--target', 'es2022', '--types', 'node'];
    const how = ['--strict', '--noEmit', '--exactOptionalPropertyTypes', '--pretty', 'false'];
    return spawnSync(process.execPath, [tsc, ...how, ...where, file], { cwd: project, encoding: 'utf8' }).stdout;
  }

  test.each(RESOLUTIONS)(
    'compiles with module %s and moduleResolution %s, with the declarations checked too',
    { timeout: BUILD_TIMEOUT_MS },
    (module, moduleResolution) => {
      expect(compile('consumer.ts', module, moduleResolution)).toBe('');
    },
  );

  test('gets an error for a mistake', { timeout: BUILD_TIMEOUT_MS }, () => {
    writeFileSync(
      path.join(project, 'wrong.ts'),
      `import { createWakala } from 'wakala';\ncreateWakala({ config: 1 });\n`,
    );
    const printed = compile('wrong.ts', 'nodenext', 'nodenext');
    expect(printed).toContain(
      "wrong.ts(2,16): error TS2322: Type 'number' is not assignable to type 'string | WakalaConfig'",
    );
  });
});
