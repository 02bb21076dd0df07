import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { get } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulators/emulator.ts';
import { providerNamed } from '../../src/providers/registry.ts';
import { Collector } from '../support/collector.ts';
import { freePort } from '../support/free-port.ts';
import { madeUp } from '../support/made-up.ts';
import { type ProxyResponse, sendJson, sendRequest } from '../support/proxy-client.ts';
import { CliProcess, configFile, runCli } from '../support/proxy-process.ts';
import { routeTo, routeToEmulator, type Settings } from '../support/proxy-server.ts';
import { Wiretap } from '../support/raw-wiretap.ts';
import { SPELLINGS } from '../support/spellings.ts';
import { json, RawUpstream, type UpstreamRequest } from '../support/upstream-raw.ts';

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
  const { path, json } = emulator.provider.samples.call;
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
    const credentials = Object.fromEntries(mpesa.credentials.map(({ name }) => [name, madeUp(name, `canary-${name}`)]));
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
    expect(JSON.stringify(printed)).not.toMatch(/canary-(consumer|x|passkey|initiator_password)/);
  });
});

const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const PEM = RSA.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const JWK = EC.privateKey.export({ format: 'jwk' });

const SIGNING_CREDENTIALS = {
  passkey: 'canary-passkey+/=',
  initiator_password: 'canary initiator:pass/word',
  pin: 'canary-pin-4711',
  hmac_key: 'canary-hmac-key-0123456789',
  private_key: PEM,
  ec_key: JSON.stringify(JWK),
};

/** Everything of them that must not be shown: also each line of the key, and the private part of the JWK. */
const SIGNING_SECRETS = [
  ...[SIGNING_CREDENTIALS.passkey, SIGNING_CREDENTIALS.initiator_password, SIGNING_CREDENTIALS.pin],
  SIGNING_CREDENTIALS.hmac_key,
  ...PEM.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----')),
  JWK.d ?? '',
];

const ALL_RULES = {
  calls: ['POST /pay*'],
  values: {
    time: { now: 'yyyyMMddHHmmss' },
    text: { text: '{json:code}|{pin}|{time}' },
    password: { text: '{json:code}{passkey}{time}', encoding: 'base64' },
    credential: { rsa_encrypt: '{initiator_password}', key: '{public_key}', padding: 'pkcs1' },
    rsa: { rsa_sha256: '{text}', key: '{private_key}' },
    ec: { ecdsa_sha256: '{time}', key: '{ec_key}' },
    mac: { hmac_sha512: '{body} {time}', key: '{hmac_key}', encoding: 'hex' },
    aes_key: { random: 32 },
    iv: { random: 16 },
    sealed: { aes_256_cbc: '{body}', key: '{aes_key}', iv: '{iv}', key_encoding: 'hex' },
  },
  json: { Password: '{password}', SecurityCredential: '{credential}' },
  headers: {
    'X-Text': '{text}',
    'X-Rsa': '{rsa}',
    'X-Ec': '{ec}',
    'X-Mac': '{mac}',
    'X-Key': '{aes_key}:{iv}',
    'X-Sealed': '{sealed}',
  },
};

/** What was computed for a request that the upstream received. */
function computedOf({ values, body }: UpstreamRequest): string[] {
  const { Password, SecurityCredential } = JSON.parse(body.toString()) as Record<string, string>;
  const headers = ['x-text', 'x-rsa', 'x-ec', 'x-mac', 'x-sealed'].flatMap((name) => values(name));
  const [key = '', iv = ''] = values('x-key')[0]?.split(':') ?? [];
  return [...headers, key, iv, Password ?? '', SecurityCredential ?? ''];
}

/** The events of the dashboard, from now on until the test ends. */
function dashboardEvents(port: number): () => string {
  let text = '';
  const request = get({ host: '127.0.0.1', port, path: '/api/events' }, (response) => {
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('error', () => {});
  });
  request.on('error', () => {});
  onTestFinished(() => void request.destroy());
  return () => text;
}

describe('what is computed for a request', { timeout: 60_000 }, () => {
  it('is in nothing that the process writes or sends, except in bodies that the provider sends', async () => {
    const upstream = await RawUpstream.start((request) => {
      if (request.target === '/pay/refused') return json(418, { error: 'no' });
      const echoes = computedOf(request).flatMap((secret) => SPELLINGS.map(([, spell]) => spell(secret)));
      const from = Number(request.values('x-part')[0]);
      const mac = request.values('x-mac')[0] ?? '';
      const lines = [
        `HTTP/1.1 ${request.target === '/pay/404' ? 404 : 200} ${echoes[from] ?? 'Fine'}`,
        ...echoes.map((text, i) => `x-echo-${i}: ${text}`),
        // Headers whose values the inspector shows.
        `server: ${echoes[from] ?? ''}`,
        `x-half: ${mac.slice(0, 60)}`,
        `x-half: ${mac.slice(60)}`,
        'x-kept: 1',
        'content-type: text/plain',
      ];
      const body = echoes.slice(from, from + 12).join('\n');
      return [...lines, `content-length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
    });
    const collector = await Collector.start();
    const adminPort = await freePort();
    const publicKey = createPublicKey(RSA.privateKey).export({ type: 'spki', format: 'pem' }).toString();
    const route = routeTo(upstream, {
      credentials: { key: 'canary-api-key', public_key: publicKey, ...SIGNING_CREDENTIALS },
      sign: [ALL_RULES],
      max_response_header: '256KiB',
    });
    const config = configFile({
      ...{ listen: '127.0.0.1:0', admin: `127.0.0.1:${adminPort}`, inspect_bodies: true },
      ...{ log: { level: 'debug', requests: true }, tracing: { otlp: collector.origin }, routes: { '/api/*': route } },
    });
    const cli = new CliProcess(['serve', '-c', config]);
    const [, port] = await cli.until(/"event":"ready","listen":"127\.0\.0\.1:(\d+)"/);
    const events = dashboardEvents(adminPort);
    let written = '';
    const send = async (path: string, body: unknown, part = 0) => {
      const response = await sendJson(Number(port), `/api${path}`, body, { 'x-part': String(part) });
      written += `${response.reason}\n${response.rawHeaders.join('\n')}\n`;
      // The body is relayed unchanged.
      if (response.header('x-kept') === undefined) written += response.text;
      return response;
    };
    const parts = Math.ceil((9 * SPELLINGS.length) / 12);
    for (let part = 0; part < parts; part++) {
      const response = await send(part % 2 === 0 ? '/pay' : '/pay/404', { code: 174379 }, part * 12);
      expect(response.header('x-kept')).toBe('1');
    }
    expect((await send('/pay/refused', { code: 174379 })).status).toBe(418);
    for (const body of [{}, [], { code: null }]) {
      expect((await send('/pay', body)).json()['code']).toBe('signature_impossible');
    }
    const { requests } = (await sendRequest(adminPort, '/api/requests')).json() as { requests: { id: string }[] };
    expect(requests).toHaveLength(parts + 4);
    const pages = [
      '/',
      '/routes/%2Fapi%2F*',
      '/livez',
      '/readyz',
      '/metrics',
      '/api/routes',
      '/requests',
      '/api/requests',
    ];
    for (const { id } of requests) pages.push(`/requests/${id}`, `/api/requests/${id}`);
    for (const page of pages) written += (await sendRequest(adminPort, page)).text;
    const explain = ['check', '--explain', '/api/*', 'POST /pay', '--body', configFile({ code: 174379 })];
    for (const args of [['check'], ['check', '--json'], ['routes'], ['doctor'], explain, [...explain, '--json']]) {
      const { stdout, stderr } = await runCli([...args, '-c', config]);
      written += stdout + stderr;
    }
    expect(written).toContain('[pin]');
    expect(written).toContain('curl -sS');
    await collector.batches(1);
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
    written += [cli.commandLine(), cli.stdout, cli.stderr, events(), ...collector.payloads].join('\n');
    const computed = upstream.requests.flatMap(computedOf);
    expect(computed).toHaveLength(9 * (parts + 1));
    expect(written).toContain('/pay/refused');
    for (const secret of [...SIGNING_SECRETS, ...computed]) {
      expect(spellingsIn(written, secret), `${secret.slice(0, 12)}... was written`).toEqual([]);
    }
  });

  it('and its keys are not in the problems of a configuration', async () => {
    const broken = PEM.split('\n').with(3, 'canary-line').join('\n');
    const route = {
      upstream: 'http://127.0.0.1:1',
      token: 'none',
      credentials: { ...SIGNING_CREDENTIALS, private_key: broken, ec_key: JSON.stringify({ ...JWK, crv: 'P-384' }) },
      sign: [
        {
          calls: ['POST /pay*'],
          values: {
            rsa: { rsa_sha256: '{nothing}{pin}', key: '{private_key}' },
            ec: { ecdsa_sha256: '{pin}', key: '{ec_key}' },
            sealed: { aes_256_cbc: '{body}', key: '{passkey}', iv: '{pin}' },
          },
          headers: { 'X-Rsa': '{rsa}{ec}{sealed}' },
        },
      ],
    };
    const file = configFile({ routes: { '/api/*': route } });
    const printed = await Promise.all([
      runCli(['check', '-c', file]),
      runCli(['check', '-c', file, '--json']),
      runCli(['serve', '-c', file]),
      runCli(['doctor', '-c', file]),
    ]);
    expect(printed.map(({ code }) => code)).toEqual([3, 3, 3, 3]);
    const written = JSON.stringify(printed);
    expect(written).toContain('private_key');
    expect(written).not.toContain('canary');
    for (const secret of SIGNING_SECRETS) expect(spellingsIn(written, secret)).toEqual([]);
  });
});
