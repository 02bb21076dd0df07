import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { ask } from '../support/proxy-ask.ts';
import { spawnNode } from '../support/spawn-node.ts';
import { textOf } from './documents.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const BLOCKS = [...textOf('docs/library.md').matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code = '']) => code);

/** Runs an example of the page as it stands, with the sources for the package and another port. */
async function run(code: string): Promise<number> {
  const cache = path.join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(path.join(cache, 'library-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const port = await freePort();
  const source = (name: string) => JSON.stringify(path.join(ROOT, 'src/library', name));
  const text = code
    .replaceAll("'wakala'", source('index.ts'))
    .replaceAll("'wakala/hono'", source('hono.ts'))
    .replaceAll('8080', String(port));
  writeFileSync(path.join(folder, 'example.mjs'), text);
  writeFileSync(
    path.join(folder, 'proxy.config.yaml'),
    'routes: { /mpesa/*: { provider: mpesa, credentials: { consumer_key: k, consumer_secret: s } } }\n',
  );
  const env = { MPESA_CONSUMER_KEY: 'key-of-mpesa', MPESA_CONSUMER_SECRET: 'secret-of-mpesa' };
  await spawnNode(['example.mjs'], { cwd: folder, env, port });
  return port;
}

describe('docs/library.md', () => {
  it('has an example for node:http and one for Hono', () => {
    expect(BLOCKS.map((code) => /wakala\/hono/.test(code))).toEqual([false, true]);
  });

  it.each(BLOCKS.map((code, i) => [i + 1, code] as const))('example %i serves its routes', async (_, code) => {
    const port = await run(code);
    const refused = await ask(port, '/mpesa/oauth/v1/generate?grant_type=client_credentials');
    expect([refused.status, Object.keys(refused.json())]).toEqual([200, ['access_token', 'expires_in']]);
    const other = await ask(port, '/');
    expect([other.status, other.text]).toEqual(
      code.includes('my own app') ? [200, 'my own app'] : [404, expect.stringContaining('no_route')],
    );
  });
});
