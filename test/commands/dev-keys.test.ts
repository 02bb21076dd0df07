import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sendRequest } from '../support/proxy-client.ts';
import { type DevSession, hasPty, KEY_LINE, startDevSession } from './dev-session.ts';

const routes = (...names: string[]) =>
  `routes:\n${names.map((name) => `  /${name}/*: {provider: ${name}}\n`).join('')}`;

describe.skipIf(!hasPty)('wakala dev at a terminal', { timeout: 60_000 }, () => {
  it('e expires the tokens of all emulators and reports how many', async () => {
    const session = await startDevSession();
    session.press('e');
    await session.until(/There is no valid token/);
    await sendRequest(session.proxy, '/mpesa/mpesa/stkpush/v1/processrequest', { method: 'POST', body: '{}' });
    await sendRequest(session.proxy, '/paypack/transactions/list');
    expect(await session.emulator('mpesa')).toMatchObject({ counters: { tokens_alive: 1 } });
    session.press('e');
    await session.until(/2 tokens expired \(mpesa 1, paypack 1\)/);
    expect(await session.emulator('mpesa')).toMatchObject({ counters: { tokens_alive: 0 } });
    expect((await sendRequest(session.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('replayed');
    const line =
      / 200 {3}GET \/paypack\/\* \/transactions\/list {2}\d+ ms {2}token was refused: sent again with a new one {2}#[0-9a-f]{8}\n/;
    await session.until(line);
    expect(session.screen).not.toContain('request sent again');
  });

  it('x makes the API refuse the next token', async () => {
    const session = await startDevSession();
    session.press('x');
    await session.until(/next token will be refused \(jpay, mpesa, jeel, paypack\)/);
    expect(await session.emulator('jeel')).toMatchObject({ switches: { refuse_next_tokens: 1 } });
    expect((await sendRequest(session.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('replayed');
    expect(await session.emulator('paypack')).toMatchObject({ switches: { refuse_next_tokens: 0 } });
  });

  it('h lists the keys, d prints the address of the dashboard, and other keys do nothing', async () => {
    const session = await startDevSession();
    session.press('z\r\u001b[A\u001bOQ\u001bq\u001b[24~ \r\u0004\r\u001a\r');
    session.press('h');
    for (const key of 'hexdrcq') await session.until(new RegExp(`\\n {2}${key} {2}\\w.*`));
    const admin = session.portOf(/ {2}dashboard/);
    session.press('d\r');
    await session.until(new RegExp(`\\n {2}http://127\\.0\\.0\\.1:${admin}\\n`));
    expect(session.screen.slice(session.screen.search(KEY_LINE))).not.toMatch(/Quitting|\u001b|z/);
    expect((await sendRequest(admin, '/livez')).status).toBe(200);
  });

  it('pasted text does nothing', async () => {
    const session = await startDevSession();
    session.press('curl -q http://127.0.0.1/\n');
    session.press('d\n');
    await session.until(/\n {2}http:/);
    session.press('q\n');
    await session.until(/Quitting after the requests in progress/);
    expect((await session.end()).code).toBe(0);
  });

  it('c clears the screen and shows the start screen', async () => {
    const session = await startDevSession();
    session.press('c');
    await session.until(KEY_LINE);
    expect(session.raw).toContain('\u001b[2J\u001b[H\r\n  wakala dev  [EMULATED]');
  });
});

describe.skipIf(!hasPty)('a callback of an emulator', { timeout: 60_000 }, () => {
  const pay = async (session: DevSession, port: number) => {
    const [, body = ''] = /-d '(\{"BusinessShortCode".*\})'/.exec(session.screen) ?? [];
    const headers = { 'content-type': 'application/json' };
    const path = '/mpesa/mpesa/stkpush/v1/processrequest';
    await sendRequest(session.proxy, path, {
      method: 'POST',
      headers,
      body: body.replace('127.0.0.1:3000', `127.0.0.1:${port}`),
    });
  };

  it('is logged with its URL and its result', async () => {
    const app = createServer((_, res) => res.writeHead(204).end()).listen(0, '127.0.0.1');
    onTestFinished(() => void app.close());
    await once(app, 'listening');
    const { port } = app.address() as AddressInfo;
    const session = await startDevSession();
    await pay(session, port);
    await session.until(new RegExp(` 204 {3}mpesa called back http://127\\.0\\.0\\.1:${port}/callbacks/mpesa\\n`));
    app.close();
    await once(app, 'close');
    await pay(session, port);
    await session.until(/ WARN {2}mpesa could not call back http:.*\/callbacks\/mpesa {2}connect ECONNREFUSED .*\n/);
  });
});

describe.skipIf(!hasPty)('r in wakala dev', { timeout: 60_000 }, () => {
  it('loads a changed file, starts emulators for new providers and keeps the tokens', async () => {
    const session = await startDevSession();
    await sendRequest(session.proxy, '/paypack/transactions/list');
    writeFileSync(session.file, routes('paypack') + '  /own/*: {provider: static, upstream: https://api.invalid}\n');
    session.press('r');
    await session.until(/proxy\.config\.yaml was reloaded: 2 routes\. static is now emulated at http:/);
    expect((await sendRequest(session.proxy, '/own/x')).header('x-emulated-by')).toBe('wakala');
    expect((await sendRequest(session.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('cached');
    expect((await sendRequest(session.proxy, '/mpesa/x')).status).toBe(404);
    session.press('c');
    await session.until(/config {5}proxy\.config\.yaml\n[^]*\/own\/\*[^]*keys/);
    session.press('q');
    expect((await session.end()).code).toBe(0);
  });

  it('reports the problems of an invalid file and keeps the old configuration', async () => {
    const session = await startDevSession();
    writeFileSync(session.file, 'routes: {/a/*: {provider: mpeza}, /b/*: {provider: jpey}}\n');
    session.press('r');
    await session.until(/proxy\.config\.yaml:1:\d+: .*mpeza/);
    await session.until(/proxy\.config\.yaml:1:\d+: .*jpey/);
    await session.until(/proxy\.config\.yaml was not loaded\. The old configuration stays active\.\n/);
    expect((await sendRequest(session.proxy, '/mpesa/x')).header('x-emulated-by')).toBe('wakala');
    expect((await sendRequest(session.portOf(/ {2}dashboard/), '/readyz')).json()).toMatchObject({
      status: 'ready',
      detail: expect.stringMatching(/^reload refused; .*mpeza.*, and 1 more$/) as unknown,
    });
  });

  it('reports a missing file', async () => {
    const session = await startDevSession();
    session.press('r');
    await session.until(/there is no such file/);
    expect((await sendRequest(session.proxy, '/mpesa/x')).header('x-emulated-by')).toBe('wakala');
  });

  it('loads nothing that needs a restart and closes the emulators it started', async () => {
    const own = '  /own/*: {provider: static, upstream: https://api.invalid}\n';
    const start = 'listen: 127.0.0.1:0\nadmin: false\n';
    const session = await startDevSession({ args: [], config: start + routes('paypack') });
    writeFileSync(session.file, `listen: 127.0.0.1:1\nadmin: false\n${routes('paypack')}${own}`);
    session.press('r');
    await session.until(/was not loaded: to change `listen` .*\. The old configuration stays active\.\n/);
    writeFileSync(session.file, start + routes('paypack') + own);
    session.press('r');
    await session.until(/2 routes\. static is now emulated/);
    session.press('d');
    await session.until(/The dashboard is off\. Restart with --admin/);
  });
});
