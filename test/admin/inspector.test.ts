import { describe, expect, it } from 'vitest';
import { sendJson, sendRequest } from '../support/proxy-client.ts';
import { json, refusingFirstToken, reply, type Script } from '../support/upstream-raw.ts';
import { CLIENT_SECRET, type RunningAdmin, startAdmin } from './running-admin.ts';

const ok = () => reply(200, 'fine');

async function detailsOf({ port }: RunningAdmin, query = ''): Promise<string> {
  const { text } = await sendRequest(port, `/requests${query}`);
  const [, path = ''] = /href="(\/requests\/[\d-]+)"/.exec(text) ?? [];
  return (await sendRequest(port, path)).text;
}

async function startWithCall(script: Script, settings = {}) {
  const admin = await startAdmin(script, settings);
  await sendJson(admin.proxyPort, '/raw/pay?pin=1234', { amount: 10 }, { authorization: CLIENT_SECRET });
  return admin;
}

describe('the inspector', () => {
  it('lists the last requests and keeps the values of its filters', async () => {
    const admin = await startWithCall(ok);
    const { text } = await sendRequest(admin.port, '/requests?status=2xx&route=%2Fraw%2F*&q=pay');
    expect(text).toContain('<code>/raw/pay?pin=[redacted]</code>');
    expect(text).toContain('<option value="2xx" selected="">2xx</option>');
    expect(text).toContain('<option value="/raw/*" selected="">/raw/*</option>');
    expect(text).toContain('value="pay"');
    expect((await sendRequest(admin.port, '/requests?status=5xx')).text).toContain('No recorded request matches.');
  });

  it('escapes text of clients', async () => {
    const admin = await startAdmin(ok);
    await sendRequest(admin.proxyPort, "/raw/'onload=alert(1)'", {
      headers: { 'user-agent': '<script>alert(1)</script>' },
    });
    const { text: list } = await sendRequest(admin.port, '/requests?q=%3Cscript%3E&method=%22%3E');
    expect(list + (await detailsOf(admin))).not.toMatch(/<script>alert|'onload/);
  });

  it('shows the timing of both attempts', async () => {
    const page = await detailsOf(await startWithCall(refusingFirstToken(ok)));
    for (const text of [
      'Waiting for the client&#39;s body',
      'Waiting for a token, first attempt',
      'Connecting, second attempt',
      'Waiting for the first byte, second attempt',
      'Response, second attempt',
      '2 (401, 200)',
    ]) {
      expect(page).toContain(text);
    }
  });

  it('shows masked headers and bodies, and a curl command without hidden values', async () => {
    const admin = await startWithCall(() => json(200, { access_token: 'canary-response-token', amount: 10 }));
    const page = await detailsOf(admin);
    for (const secret of [...admin.secrets(), 'canary-response-token', '1234<']) expect(page).not.toContain(secret);
    expect(page).toMatch(/<th scope="row">authorization<\/th><td>\[redacted\]<\/td>/);
    expect(page).toContain('&quot;access_token&quot;: &quot;[redacted]&quot;');
    const [, curl = ''] = /<textarea[^>]*>([^<]*)</.exec(page) ?? [];
    expect(curl).toContain('/raw/pay?pin=[redacted]');
    expect(curl).not.toMatch(/authorization/i);
  });

  it('says why there is no body', async () => {
    expect(await detailsOf(await startWithCall(ok, { settings: { inspect_bodies: false } }))).toContain(
      'set <code>inspect_bodies: true</code> in the configuration',
    );
  });

  it('shows code, reason and outcome of an error of Wakala', async () => {
    const admin = await startAdmin(ok);
    admin.emulator.control({ token_endpoint: '500' });
    await sendRequest(admin.proxyPort, '/paypack/me');
    const page = await detailsOf(admin, '?status=error');
    expect(page).toContain('<strong>token_unavailable: </strong>');
    expect(page).toContain('The request did not reach the provider.');
  });

  it('has a resend button only for emulated providers', async () => {
    expect(await detailsOf(await startWithCall(ok))).toContain('>Resend</button>');
    expect(await detailsOf(await startWithCall(ok, { emulated: false }))).not.toContain('Resend');
  });

  it('has a page for requests that are not kept any more', async () => {
    const { port } = await startAdmin(ok);
    const response = await sendRequest(port, '/requests/1-1');
    expect(response.status).toBe(404);
    expect(response.text).toContain('only its last 500');
  });
});
