import { describe, expect, it } from 'vitest';
import { routes } from '../../src/commands/config-commands.ts';
import { resultsOf, run } from '../commands/doctor-support.ts';
import { sendRequest } from '../support/proxy-client.ts';
import { configFile } from '../support/proxy-process.ts';
import { RawUpstream, reply } from '../support/upstream-raw.ts';
import { startAdmin } from './running-admin.ts';

const unsigned = (upstream: RawUpstream) => ({ upstream: upstream.origin, token: 'none' });

async function startApi() {
  return await RawUpstream.start(() => reply(200, 'fine'));
}

describe('a route with `token: none`', () => {
  it('has no token to show or refresh, also beside another one', async () => {
    const [one, other] = [await startApi(), await startApi()];
    const settings = { routes: { '/one/*': unsigned(one), '/other/*': unsigned(other) } };
    const { port, proxyPort } = await startAdmin(() => reply(200), { settings });
    expect((await sendRequest(proxyPort, '/one/x')).text).toBe('fine');
    expect(one.requests[0]?.values('authorization')).toEqual([]);

    const { routes: shown } = (await sendRequest(port, '/api/routes')).json();
    for (const route of shown as Record<string, unknown>[]) {
      expect(route).toMatchObject({ state: 'ok', credential: null, exchanges: null });
      expect(route['token']).toEqual({
        ...{ state: 'unused', fingerprint: null, issued_at: null, expires_at: null },
        ...{ refresh_at: null, lifetime_source: null, generation: null },
      });
    }
    const refresh = await sendRequest(port, '/api/routes/one/refresh', { method: 'POST' });
    expect(refresh.json()).toMatchObject({ status: 409, code: 'no_token' });

    const page = (await sendRequest(port, '/', { headers: { accept: 'text/html' } })).text;
    expect(page).toContain('not used');
    expect(page).not.toMatch(/Fingerprint|Exchanges|Shared with|\/refresh"/);
    const { text } = await sendRequest(port, '/metrics');
    expect(text).toContain('route="/one/*"');
    expect(text).not.toMatch(/wakala_token_expiry|wakala_token_exchanges|credential="\/one/);
  });

  it('is shown as such by `wakala routes` and `wakala doctor`', async () => {
    const settings = { routes: { '/one/*': unsigned(await startApi()) } };
    let printed = '';
    const io = { stdout: (text: string) => void (printed += text), stderr: () => undefined, env: {} };
    routes({ config: configFile(settings), json: false }, io);
    expect(printed).toMatch(/^ {2}token {2}none$/m);
    const ran = await run(settings, { json: true, call: true });
    expect(resultsOf(ran, '/one/*')).toMatchObject({
      token: 'skipped',
      lifetime: 'skipped',
      clock: 'skipped',
      call: 'ok',
    });
    expect(ran.stdout).toContain('`token: none`: there is no token request');
    expect(ran.stdout).toContain('the provider does not refuse the request');
    expect(ran.stdout).not.toMatch(/fingerprint|e3b0c442/);
  });
});
