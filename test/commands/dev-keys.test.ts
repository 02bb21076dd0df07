import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask } from '../support/proxy-ask.ts';
import { type Desk, hasPty, KEY_LINE, sitDown } from './dev-session.ts';

const routes = (...names: string[]) =>
  `routes:\n${names.map((name) => `  /${name}/*: {provider: ${name}}\n`).join('')}`;

describe.skipIf(!hasPty)('wakala dev at a terminal', { timeout: 60_000 }, () => {
  it('expires the tokens of all emulators at e, and says how many', async () => {
    const desk = await sitDown();
    desk.press('e');
    await desk.until(/no token is alive/);
    await ask(desk.proxy, '/mpesa/mpesa/stkpush/v1/processrequest', { method: 'POST', body: '{}' });
    await ask(desk.proxy, '/paypack/transactions/list');
    expect(await desk.emulator('mpesa')).toMatchObject({ counters: { tokens_alive: 1 } });
    desk.press('e');
    await desk.until(/2 tokens expired \(mpesa 1, paypack 1\)/);
    expect(await desk.emulator('mpesa')).toMatchObject({ counters: { tokens_alive: 0 } });
    expect((await ask(desk.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('replayed');
    const line =
      / 200 {3}GET \/paypack\/\* \/transactions\/list {2}\d+ ms {2}token was refused: sent again with a new one {2}#[0-9a-f]{8}\n/;
    await desk.until(line);
    expect(desk.screen).not.toContain('request sent again');
  });

  it('has the next token refused at x', async () => {
    const desk = await sitDown();
    desk.press('x');
    await desk.until(/next token will be refused .*\(jpay, mpesa, jeel, paypack\)/);
    expect(await desk.emulator('jeel')).toMatchObject({ switches: { refuse_next_tokens: 1 } });
    expect((await ask(desk.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('replayed');
    expect(await desk.emulator('paypack')).toMatchObject({ switches: { refuse_next_tokens: 0 } });
  });

  it('tells every key at h, the address of the dashboard at d, and nothing at other keys', async () => {
    const desk = await sitDown();
    desk.press('z\r\u001b[A\u001bOQ\u001bq\u001b[24~ \r\u0004\r\u001a\r');
    desk.press('h');
    for (const key of 'hexdrcq') await desk.until(new RegExp(`\\n {2}${key} {2}\\w.*`));
    const admin = desk.portOf(/ {2}dashboard/);
    desk.press('d\r');
    await desk.until(new RegExp(`\\n {2}http://127\\.0\\.0\\.1:${admin}\\n`));
    expect(desk.screen.slice(desk.screen.search(KEY_LINE))).not.toMatch(/quitting|\u001b|z/);
    expect((await ask(admin, '/livez')).status).toBe(200);
  });

  it('takes pasted text for nothing', async () => {
    const desk = await sitDown();
    desk.press('curl -q http://127.0.0.1/\n');
    desk.press('d\n');
    await desk.until(/\n {2}http:/);
    desk.press('q\n');
    await desk.until(/quitting when the requests under way are answered/);
    expect((await desk.end()).code).toBe(0);
  });

  it('clears the screen at c, and shows the start screen again', async () => {
    const desk = await sitDown();
    desk.press('c');
    await desk.until(KEY_LINE);
    expect(desk.raw).toContain('\u001b[2J\u001b[H\r\n  wakala dev  [EMULATED]');
  });
});

describe.skipIf(!hasPty)('a callback of an emulator', { timeout: 60_000 }, () => {
  const pay = async (desk: Desk, port: number) => {
    const [, body = ''] = /-d '(\{"BusinessShortCode".*\})'/.exec(desk.screen) ?? [];
    const headers = { 'content-type': 'application/json' };
    const path = '/mpesa/mpesa/stkpush/v1/processrequest';
    await ask(desk.proxy, path, { method: 'POST', headers, body: body.replace('127.0.0.1:3000', `127.0.0.1:${port}`) });
  };

  it('leaves a line that says where it went and what became of it', async () => {
    const app = createServer((_, res) => res.writeHead(204).end()).listen(0, '127.0.0.1');
    onTestFinished(() => void app.close());
    await once(app, 'listening');
    const { port } = app.address() as AddressInfo;
    const desk = await sitDown();
    await pay(desk, port);
    await desk.until(new RegExp(` 204 {3}mpesa called back http://127\\.0\\.0\\.1:${port}/callbacks/mpesa\\n`));
    app.close();
    await once(app, 'close');
    await pay(desk, port);
    await desk.until(/ WARN {2}mpesa could not call back http:.*\/callbacks\/mpesa {2}connect ECONNREFUSED .*\n/);
  });
});

describe.skipIf(!hasPty)('r in wakala dev', { timeout: 60_000 }, () => {
  it('takes a changed file over, with emulators for new providers, and keeps the tokens', async () => {
    const desk = await sitDown();
    await ask(desk.proxy, '/paypack/transactions/list');
    writeFileSync(desk.file, routes('paypack') + '  /own/*: {provider: static, upstream: https://api.invalid}\n');
    desk.press('r');
    await desk.until(/proxy\.config\.yaml is read again: 2 routes; static is now emulated at http:/);
    expect((await ask(desk.proxy, '/own/x')).header('x-emulated-by')).toBe('wakala');
    expect((await ask(desk.proxy, '/paypack/transactions/list')).header('wakala-token')).toBe('cached');
    expect((await ask(desk.proxy, '/mpesa/x')).status).toBe(404);
    desk.press('c');
    await desk.until(/config {5}proxy\.config\.yaml\n[^]*\/own\/\*[^]*keys/);
    desk.press('q');
    expect((await desk.end()).code).toBe(0);
  });

  it('tells what is wrong with a bad file, and serves on with the old one', async () => {
    const desk = await sitDown();
    writeFileSync(desk.file, 'routes: {/a/*: {provider: mpeza}, /b/*: {provider: jpey}}\n');
    desk.press('r');
    await desk.until(/proxy\.config\.yaml:1:\d+: .*mpeza/);
    await desk.until(/proxy\.config\.yaml:1:\d+: .*jpey/);
    await desk.until(/proxy\.config\.yaml is not taken over, the old configuration serves on\n/);
    expect((await ask(desk.proxy, '/mpesa/x')).header('x-emulated-by')).toBe('wakala');
    expect((await ask(desk.portOf(/ {2}dashboard/), '/readyz')).json()).toMatchObject({
      status: 'ready',
      detail: expect.stringMatching(/^reload refused, .*mpeza.*, and 1 more$/) as unknown,
    });
  });

  it('tells that there is no file', async () => {
    const desk = await sitDown();
    desk.press('r');
    await desk.until(/there is no such file/);
    expect((await ask(desk.proxy, '/mpesa/x')).header('x-emulated-by')).toBe('wakala');
  });

  it('takes nothing over that needs a restart, and forgets the emulators that were started for it', async () => {
    const own = '  /own/*: {provider: static, upstream: https://api.invalid}\n';
    const start = 'listen: 127.0.0.1:0\nadmin: false\n';
    const desk = await sitDown({ args: [], config: start + routes('paypack') });
    writeFileSync(desk.file, `listen: 127.0.0.1:1\nadmin: false\n${routes('paypack')}${own}`);
    desk.press('r');
    await desk.until(/the old configuration serves on: `listen`, .* take a restart\n/);
    writeFileSync(desk.file, start + routes('paypack') + own);
    desk.press('r');
    await desk.until(/2 routes; static is now emulated/);
    desk.press('d');
    await desk.until(/there is no dashboard: `admin` is off/);
  });
});
