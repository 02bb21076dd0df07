import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { breakConnections, pipeline, sendManyHeaders } from './hostile-connections.ts';
import { environment, type Installed, type Program, run } from './program.ts';

type Check = (installed: Installed, running: (args: readonly string[]) => Program) => Promise<void>;

const CLI = 'node_modules/wakala/dist/cli.js';
const LIBRARY = new URL('./library.mjs', import.meta.url);
const CALL = { method: 'POST', headers: { 'content-type': 'application/json' } };
const CASHIN = { ...CALL, body: '{"amount":100,"number":"0780000001"}' };

/** What the package must do on every supported Node version. */
export const CHECKS: Readonly<Record<string, Check>> = {
  'wakala --version': async ({ node, folder }) => {
    const file = path.join(folder, 'node_modules/wakala/dist/commit');
    const commit = existsSync(file) ? ` (${readFileSync(file, 'utf8')})` : '';
    const { version } = JSON.parse(readFileSync(path.join(folder, 'node_modules/wakala/package.json'), 'utf8')) as {
      version: string;
    };
    // The command that npm created runs on the first Node in the PATH.
    const env = { ...environment(), PATH: `${path.dirname(node)}${path.delimiter}${process.env['PATH'] ?? ''}` };
    const result = await run(path.join(folder, 'node_modules/.bin/wakala'), ['--version'], folder, env);
    assert.deepEqual(result, { code: 0, stdout: `${version}${commit}\n`, stderr: '' });
  },

  'wakala check': async (installed) => {
    const { folder, node } = installed;
    const good = await run(node, [CLI, 'check', '-c', configFile(installed, 'good', 'https://api.example')], folder);
    assert.deepEqual([good.code, good.stderr], [0, '']);
    const bad = await run(
      node,
      [CLI, 'check', '-c', configFile(installed, 'bad', 'https://api.example', 'rout: 1')],
      folder,
    );
    assert.equal(bad.code, 3);
    assert.match(bad.stderr, /bad\.yaml:\d+:\d+: .*rout/);
  },

  'wakala dev: fetched, cached, replayed': async (_, running) => {
    const dev = running([CLI, 'dev', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']);
    await dev.until(/Ctrl-C stops it/);
    const proxy = await dev.until(/proxy +(http:\S+)/);
    const emulator = await dev.until(/\/paypack\/\* {2}Paypack, emulated at (http:\S+)/);
    assert.equal(await tokenOf(`${proxy}/paypack/transactions/cashin`), 'fetched');
    assert.equal(await tokenOf(`${proxy}/paypack/transactions/cashin`), 'cached');
    await post(`${emulator}/_emulator`, { ...CALL, body: '{"expire_tokens":true}' });
    assert.equal(await tokenOf(`${proxy}/paypack/transactions/cashin`), 'replayed');
    await dev.stop();
  },

  'wakala serve with wakala emulate as upstream': (installed, running) => serve(installed, running, 'serve'),

  'wakala serve with two workers': (installed, running) => serve(installed, running, 'workers', 'workers: 2'),

  'wakala serve with hostile connections': async (installed, running) => {
    const emulate = running([CLI, 'emulate', 'paypack', '--free-ports', '--json']);
    const api = await emulate.until(/"api":"([^"]+)"/);
    // With a WebSocket route, node:http emits handshakes as upgrade events.
    const route =
      "{ provider: static, upstream: 'https://api.example', credentials: { token: made-up }, websocket: true }";
    const served = running([CLI, 'serve', '-c', configFile(installed, 'hostile', api, `  /ws/*: ${route}`)]);
    const listen = await served.until(/"event":"ready","listen":"([^"]+)"/);
    const port = Number(listen.split(':')[1]);
    const call = `http://${listen}/paypack/transactions/cashin`;
    await breakConnections(port, '/paypack/transactions/list');
    await pipeline(port, '/paypack/transactions/list');
    await sendManyHeaders(port, '/paypack/transactions/cashin');
    assert.equal(await tokenOf(call), 'cached');
    await served.stop();
    await emulate.stop();
  },

  'the library': async ({ folder }, running) => {
    const emulate = running([CLI, 'emulate', 'paypack', '--free-ports', '--json']);
    const api = await emulate.until(/"api":"([^"]+)"/);
    // Imports are resolved from the folder of the importing file.
    writeFileSync(path.join(folder, 'library.mjs'), readFileSync(LIBRARY));
    const app = running(['library.mjs', api]);
    assert.equal(
      await app.until(/^(node:http: .*)$/m),
      'node:http: fetched, hono: fetched, a bad configuration: ConfigError',
    );
    await app.waitForExit();
    await emulate.stop();
  },
};

async function serve(installed: Installed, running: (args: readonly string[]) => Program, name: string, more = '') {
  const emulate = running([CLI, 'emulate', 'paypack', '--free-ports', '--json']);
  const api = await emulate.until(/"api":"([^"]+)"/);
  const served = running([CLI, 'serve', '-c', configFile(installed, name, api, more)]);
  const listen = await served.until(/"event":"ready","listen":"([^"]+)"/);
  const call = `http://${listen}/paypack/transactions/cashin`;
  assert.equal(await tokenOf(call), 'fetched');
  for (let i = 0; i < 8; i++) assert.equal(await tokenOf(call), 'cached');
  await served.stop();
  await emulate.stop();
}

/** Writes a configuration. @param name the file name without `.yaml` @returns its path */
function configFile({ folder }: Installed, name: string, upstream: string, more = ''): string {
  const file = path.join(folder, `${name}.yaml`);
  const credentials = '{ client_id: emulated-paypack-client-id, client_secret: emulated-paypack-client-secret }';
  const route = `{ provider: paypack, upstream: '${upstream}', credentials: ${credentials} }`;
  writeFileSync(file, `listen: 127.0.0.1:0\nadmin: false\nroutes:\n  /paypack/*: ${route}\n${more}\n`);
  return file;
}

async function tokenOf(url: string): Promise<string | null> {
  return (await post(url, CASHIN)).get('wakala-token');
}

/** @returns the headers of the response, whose status must be 2xx */
async function post(url: string, request: RequestInit): Promise<Headers> {
  const response = await fetch(url, request);
  const text = await response.text();
  assert.ok(response.ok, `${url}: ${response.status} ${text}`);
  return response.headers;
}
