import { describe, expect, it, onTestFinished } from 'vitest';
import { routes } from '../../../src/commands/config-commands.ts';
import { DevEmulators } from '../../../src/commands/dev/dev-emulators.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { silentLog } from '../../../src/logger.ts';
import { startServer } from '../../../src/server/server.ts';
import { run } from '../../commands/doctor-support.ts';
import { sendRequest } from '../../support/proxy-client.ts';
import { configFile } from '../../support/proxy-process.ts';
import { pairFor, pemOf } from './keys.ts';
import { CLIENT_ID, oidcProvider, scriptedServer, scriptedTokenServer, SECRET } from './servers.ts';
import { configOf, createFetcherFor, type Settings } from './token-fetcher.ts';

/** What `wakala dev` serves of such a route. */
async function emulated(oauth2: Settings, settings: Settings = {}) {
  const text = configOf(oauth2, settings);
  const readFile = (path: string) => {
    if (path === 'proxy.config.yaml') return text;
    throw Object.assign(new Error('not there'), { code: 'ENOENT' });
  };
  const { config: written } = loadConfig('proxy.config.yaml', { readFile, env: {}, emulated: true });
  const emulation = new DevEmulators({ ports: 'free' });
  onTestFinished(() => emulation.close());
  const { started, config } = await emulation.emulate({
    ...written,
    listen: { host: '127.0.0.1', port: 0 },
    admin: undefined,
  });
  emulation.keep(started);
  const server = await startServer(config, { log: silentLog, emulated: true });
  onTestFinished(async () => {
    await server.drain();
  });
  return { port: server.address.port, route: config.routes[0]!, emulators: emulation.running };
}

const ISSUER = 'https://login.bank.example';

describe('wakala dev with `provider: oauth2`', () => {
  it.each([
    ['an issuer', { issuer: ISSUER, scope: 'payments' }],
    ['a token endpoint', { token_endpoint: `${ISSUER}/a/token?x=1`, audience: 'x' }],
    ['the secret in the body', { issuer: ISSUER, client_auth: 'client_secret_post' }],
    ['a key', { issuer: ISSUER, client_auth: 'private_key_jwt', key: pemOf(pairFor('ES256')) }],
    ['a key that is not there', { issuer: ISSUER, client_auth: 'private_key_jwt', key: '${file:/run/no/key.pem}' }],
    [
      'a certificate that is not there',
      { issuer: ISSUER, client_auth: 'tls_client_auth', cert: '${NO_CERT}', key: '${NO_KEY}' },
    ],
    ['a refresh token', { issuer: ISSUER, refresh_token: '${NO_TOKEN}' }],
    ['several resources', { issuer: ISSUER, resource: ['https://a.example', 'https://b.example'] }],
    ['a server that is not known yet', { issuer: '${NO_ISSUER}' }],
  ])('starts an emulator in place of the server: %s', async (_, oauth2) => {
    const { port } = await emulated(oauth2);
    const response = await sendRequest(port, '/bank/v1/x?a=b');
    expect([response.status, response.header('wakala-token')]).toEqual([200, 'fetched']);
    expect(response.json()).toMatchObject({ path: '/v1/x', query: 'a=b' });
  });

  it('refreshes with the refresh token that was issued with a token', async () => {
    const { port, emulators } = await emulated({ issuer: ISSUER });
    await sendRequest(port, '/bank/x');
    emulators[0]!.control({ expire_tokens: true });
    expect((await sendRequest(port, '/bank/x')).header('wakala-token')).toBe('replayed');
    expect(emulators[0]!.stats()).toMatchObject({ exchanges: 1, refreshes: 1, denied: 0 });
  });

  it('checks the credentials', async () => {
    const { route } = await emulated({ issuer: ISSUER, client_auth: 'client_secret_post' });
    const other = { ...route, credentials: new Map([...route.credentials].slice(0, 1)) };
    await expect(createFetcherFor(other).fetcher.fetch(undefined)).rejects.toMatchObject({ code: 'token_denied' });
  });

  it('sends the token in the header of the route, with the headers issued with it', async () => {
    const { port } = await emulated(
      { issuer: ISSUER },
      { token_header: { name: 'X-Api-Key' }, headers_from_token: { 'X-App-Code': 'app.code' } },
    );
    expect((await sendRequest(port, '/bank/x')).status).toBe(200);
  });
});

describe('wakala routes with `provider: oauth2`', () => {
  it.each([
    [{ issuer: ISSUER }, `POST token endpoint in the metadata of ${ISSUER}`],
    [{ token_endpoint: `${ISSUER}/t` }, `POST ${ISSUER}/t`],
  ])('prints for %j the line %s', (oauth2, words) => {
    let stdout = '';
    const io = { stdout: (text: string) => void (stdout += text), stderr: () => {}, env: {}, tty: false };
    routes({ config: configFile(configOf(oauth2)), json: false }, io);
    expect(stdout).toContain(words);
  });
});

describe('wakala doctor with `provider: oauth2`', () => {
  const credentials = { client_id: CLIENT_ID, client_secret: SECRET };
  const config = async (oauth2: Settings) => {
    const api = await scriptedServer(() => ({ json: {} }));
    const route = { provider: 'oauth2', upstream: api.origin, credentials, oauth2 };
    return { listen: '127.0.0.1:0', admin: false, routes: { '/bank/*': route } };
  };

  it('requests a token as the proxy does', async () => {
    const { issuer } = await oidcProvider({ client_secret: SECRET });
    const { code, stdout } = await run(await config({ issuer }));
    expect(stdout).toMatch(/ok +token +received token [0-9a-f]{8} from 127\.0\.0\.1:\d+/);
    expect(code).toBe(0);
  });

  it('does not use up a refresh token', async () => {
    const { endpoint, arrived } = await scriptedTokenServer();
    const { code, stdout } = await run(await config({ token_endpoint: endpoint, refresh_token: 'given-made-up' }));
    expect(stdout).toMatch(/skipped +token +the credential is a refresh token/);
    expect([code, arrived.length]).toEqual([0, 0]);
  });

  it('names the refused credentials', async () => {
    const { issuer } = await oidcProvider({ client_secret: 'another made-up secret' });
    const { code, stdout } = await run(await config({ issuer }));
    expect(stdout).toMatch(/FAILED +token +.* refused the credentials at .* \(HTTP 401\)/);
    expect(stdout).toContain('`client_secret` (from FILE)');
    expect(stdout).not.toContain(SECRET);
    expect(code).toBe(4);
  });

  it('says what is wrong with the metadata of an issuer, and what to do', async () => {
    const { origin } = await scriptedServer(() => ({ status: 404, json: {} }));
    const { code, stdout } = await run(await config({ issuer: origin }));
    expect(stdout).toContain('/.well-known/oauth-authorization-server responded with HTTP 404');
    expect(stdout).toMatch(/-> Write `issuer` exactly/);
    expect(code).toBe(5);
  });
});
