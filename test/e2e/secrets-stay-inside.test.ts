import { describe, expect, it, onTestFinished } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { sampleBody } from '../../src/providers/provider.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { freePort } from '../support/free-port.ts';
import { type ProxyResponse, sendJson, sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile, runCli } from '../support/proxy-process.ts';
import { routeToEmulator, type Settings } from '../support/proxy-server.ts';
import { Wiretap } from '../support/raw-wiretap.ts';
import { SPELLINGS } from '../support/spellings.ts';
import { json, RawUpstream } from '../support/upstream-raw.ts';

const NAMES = ['jpay', 'mpesa', 'jeel', 'paypack'];
const LOGINS: Readonly<Record<string, readonly [method: string, path: string]>> = {
  jpay: ['POST', '/auth/app/token'],
  mpesa: ['GET', '/oauth/v1/generate?grant_type=client_credentials'],
  jeel: ['POST', '/oauth2/token'],
  paypack: ['POST', '/auth/agents/authorize'],
};

/** Failures of a token endpoint, each on its own route because of the backoff. */
const FAULTS = ['denied', 'down', 'truncated', 'html', '500', 'empty'];

interface Tapped {
  /** Of its route. */
  readonly name: string;
  readonly emulator: Emulator;
  readonly taps: readonly Wiretap[];
  readonly route: Settings;
}

async function tapped(provider: string, fault?: string): Promise<Tapped> {
  const emulator = await startEmulator(providerNamed(provider)!, { port: 0, authPort: 0 });
  onTestFinished(() => emulator.close());
  const api = await Wiretap.on(emulator.apiUrl);
  const auth = emulator.authUrl === emulator.apiUrl ? api : await Wiretap.on(emulator.authUrl);
  const route = { ...routeToEmulator(emulator), upstream: api.url, auth_server: auth.url };
  if (fault !== undefined) emulator.control({ token_endpoint: fault });
  return { name: fault === undefined ? provider : `${provider}-${fault}`, emulator, taps: [api, auth], route };
}

/** Every secret that went over the wire between proxy and provider. */
function secretsOf({ emulator, taps }: Tapped): Set<string> {
  const wire = taps.map((tap) => tap.text()).join('\n');
  const sent = [...wire.matchAll(/^authorization: (?:bearer|basic) (\S+)/gim)].map((match) => match[1] ?? '');
  const issued = [...wire.matchAll(/"(?:access|access_token|refresh)":"(?:Bearer )?([^"]+)"/g)].map(
    (match) => match[1] ?? '',
  );
  return new Set([...emulator.credentials.values()].map((secret) => secret.reveal()).concat(sent, issued));
}

/** The ways in which a text has a secret in it. */
function spellingsIn(text: string, secret: string): string[] {
  return SPELLINGS.flatMap(([name, spell]) => (text.includes(spell(secret)) ? [name] : []));
}

/** Complete responses, as a client could log them. */
function texts(responses: readonly ProxyResponse[]): string {
  return responses.map((response) => `${response.rawHeaders.join('\n')}\n${response.text}`).join('\n');
}

async function throughAllThatHappens(port: number, { name, emulator }: Tapped): Promise<ProxyResponse[]> {
  const { samples } = emulator.provider;
  const [path, json] = [samples.call.path, sampleBody({ samples })];
  const call = () => sendJson(port, `/${name}${path}`, json);
  const responses = [await call(), await call()];
  emulator.control({ expire_tokens: true });
  responses.push(await call());
  emulator.control({ expire_tokens: true, revoke_refresh_tokens: true });
  responses.push(await call());
  emulator.control({ refuse_path: path });
  responses.push(await call(), await call());
  const [method = '', login = ''] = LOGINS[emulator.provider.name] ?? [];
  responses.push(
    await sendRequest(port, `/${name}${login}`, { method }),
    await sendRequest(port, `/${name}${login.toUpperCase()}`),
  );
  await emulator.close();
  responses.push(await call());
  return responses;
}

describe('credentials and tokens', { timeout: 60_000 }, () => {
  it('are in nothing that the process writes or sends', async () => {
    const working = await Promise.all(NAMES.map((name) => tapped(name)));
    const failing = await Promise.all(NAMES.flatMap((name) => FAULTS.map((fault) => tapped(name, fault))));
    const all = [...working, ...failing];
    const adminPort = await freePort();
    const config = configFile({
      listen: '127.0.0.1:0',
      admin: `127.0.0.1:${adminPort}`,
      log: { level: 'debug' },
      routes: Object.fromEntries(all.map(({ name, route }) => [`/${name}/*`, route])),
    });
    const cli = new CliProcess(['serve', '-c', config]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    const responses: ProxyResponse[] = [];
    for (const one of all) responses.push(...(await throughAllThatHappens(Number(port), one)));
    expect(responses.map((response) => response.status)).toEqual(
      expect.arrayContaining([200, 401, 404, 403, 502, 503]),
    );
    for (const path of ['/', '/livez', '/readyz', '/metrics', '/api/routes', '/api/requests']) {
      responses.push(await sendRequest(adminPort, path));
    }
    const shown = cli.commandLine();
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    const written = [shown, cli.stdout, cli.stderr, texts(responses)].join('\n');
    expect(written).toContain('token_refused');
    expect(written).toContain('token_exchange_failed');
    // Each gave out two credentials and at least three tokens.
    for (const one of working) expect(secretsOf(one).size).toBeGreaterThanOrEqual(5);
    for (const one of all) {
      for (const secret of secretsOf(one)) {
        expect(written.includes(secret), `${one.name}: ${secret.slice(0, 12)}... was written`).toBe(false);
        expect(spellingsIn(written, secret)).toEqual([]);
      }
    }
  });

  it('are in no header, reason phrase, log line or inspector page if the provider sends them back', async () => {
    const secrets = ['canary-api-key', 'canary user:canary/pass+word', 'canary-app-code'];
    const issued = { access_token: 'real-token-1-abc', code: secrets[2] };
    const upstream = await RawUpstream.start(({ target, values }) => {
      if (target === '/login') return json(200, issued);
      const all = [...secrets, issued.access_token];
      const echoes = all.flatMap((secret) => SPELLINGS.map(([, spell]) => spell(secret)));
      const lines = echoes.flatMap((text, i) => [`x-echo-${i}: ${text}`, `set-cookie: a=${text}`]);
      // 16 KiB are the most that a response head may have.
      const from = Number(values('x-part')[0]) * 40;
      const part = lines.slice(from, from + 40);
      const body = JSON.stringify(echoes);
      const start = `HTTP/1.1 ${target === '/refused' ? 418 : 200} ${echoes[from] ?? 'Fine'}`;
      return [start, ...part, 'x-kept: 1', `content-length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
    });
    const adminPort = await freePort();
    const route = {
      upstream: upstream.origin,
      credentials: { key: secrets[0], login: secrets[1], mode: 'test' },
      headers: { 'x-api-key': '{key}', 'x-login': '{login}', 'x-mode': '{mode}' },
      headers_from_token: { 'x-app-code': 'code' },
      token: { request: { path: '/login', json: { key: '{key}' } }, response: { access_token: 'access_token' } },
    };
    const config = configFile({
      ...{ listen: '127.0.0.1:0', admin: `127.0.0.1:${adminPort}`, inspect_bodies: true },
      ...{ log: { level: 'debug', requests: true }, routes: { '/echo/*': route } },
    });
    const cli = new CliProcess(['serve', '-c', config]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    let written = '';
    for (let part = 0; part < 5; part++) {
      for (const path of ['/taken', '/refused', `/${encodeURIComponent(secrets[1]!)}?q=${issued.access_token}`]) {
        const response = await sendRequest(Number(port), `/echo${path}`, { headers: { 'x-part': String(part) } });
        expect(response.header('x-kept')).toBe('1');
        // The body is relayed unchanged.
        written += `${response.reason}\n${response.rawHeaders.join('\n')}\n`;
      }
    }
    expect(upstream.requests.at(-1)?.values('x-app-code')).toEqual([secrets[2]]);
    const list = await sendRequest(adminPort, '/api/requests');
    const { requests } = list.json() as { requests: { id: string }[] };
    expect(requests).toHaveLength(15);
    for (const path of ['', ...requests.map(({ id }) => `/${id}`)]) {
      for (const base of ['/requests', '/api/requests']) written += (await sendRequest(adminPort, base + path)).text;
    }
    written += cli.stdout + cli.stderr;
    const found = [...secrets, issued.access_token].map((secret) => spellingsIn(written, secret));
    expect(found).toEqual([[], [], [], []]);
  });

  it('are not in the output of `check` and of a start with an invalid configuration', async () => {
    const mpesa = providerNamed('mpesa')!;
    const credentials = Object.fromEntries(mpesa.credentials.map(({ name }) => [name, `canary-${name}`]));
    const good = configFile({ routes: { '/mpesa/*': { provider: 'mpesa', credentials } } });
    const bad = configFile({
      routes: {
        '/mpesa/*': { provider: 'mpesa', credentials: { ...credentials, extra: 'canary-x' }, timeout: 'canary' },
      },
    });
    const printed = await Promise.all([
      runCli(['check', '-c', good]),
      runCli(['check', '-c', good, '--json']),
      runCli(['check', '-c', bad]),
      runCli(['serve', '-c', bad]),
    ]);
    expect(printed.map(({ code }) => code)).toEqual([0, 0, 3, 3]);
    expect(JSON.stringify(printed)).not.toMatch(/canary-(consumer|x)/);
  });
});
