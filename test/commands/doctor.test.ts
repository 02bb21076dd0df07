import { describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { routeToEmulator } from '../support/proxy-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { hasTool } from '../support/tools.ts';
import { containing, emulated, matching, type Ran, resultsOf, run, serve, tokens } from './doctor-support.ts';

const ESC = '\u001b[';

const fixedRoute = (upstream: string) => ({ provider: 'static', upstream, credentials: { token: 'sk-canary' } });

const ALL_FINE = {
  environment: 'ok',
  dns: 'ok',
  tcp: 'ok',
  tls: 'skipped',
  token: 'ok',
  lifetime: 'ok',
  clock: 'ok',
  call: 'skipped',
};

/** What a run printed, without what differs from run to run. */
function steady({ stdout }: Ran): string[] {
  const plain = stdout
    .replace(/127\.0\.0\.1:\d+/g, 'HOST')
    .replace(/token [0-9a-f]{8} from HOST in [\d.]+ m?s/, 'token FINGERPRINT from HOST in TIME')
    .replace(/in \d+ ms/g, 'in TIME');
  return plain.split('\n');
}

describe('doctor', () => {
  it('finds nothing wrong with an emulated provider', async () => {
    const emulator = await emulated('mpesa');
    const ran = await run({ routes: { '/mpesa/*': routeToEmulator(emulator) } });
    expect(steady(ran)).toEqual([
      '/mpesa/*  mpesa  sandbox  http://HOST',
      '  ok       environment  sandbox, at HOST',
      '  ok       keys         `certificate` is RSA with 2048 bits, SHA-256 627771f25da426d1f9ae315e42106d700b1529850eee1592acf39603959d795d',
      '  ok       dns          127.0.0.1 is an IP address',
      '  ok       tcp          connected to HOST in TIME',
      '  skipped  tls          `http:` has no TLS',
      '  ok       token        received token FINGERPRINT from HOST in TIME',
      '  ok       lifetime     59 min 59 s (from `expires_in`), refreshed 30 s before it ends',
      '  ok       clock        the clock of this machine agrees with that of HOST',
      '  skipped  call         not tried; `wakala doctor --call` sends GET http://HOST',
      '',
      '1 route: all fine (7 ok, 2 skipped)',
      '',
    ]);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(emulator.stats()).toMatchObject({ token_requests: 1, exchanges: 1 });
  });

  it('also checks the host of the tokens if it is another one', async () => {
    const ran = await run({ routes: { '/jeel/*': routeToEmulator(await emulated('jeel')) } }, { json: true });
    expect(resultsOf(ran, '/jeel/*')).toEqual({ ...ALL_FINE, auth_dns: 'ok', auth_tcp: 'ok', auth_tls: 'skipped' });
    expect(ran.code).toBe(0);
  });

  it('names refused credentials and where they come from, with exit code 4', async () => {
    const emulator = await emulated('mpesa');
    const credentials = { consumer_key: '${KEY}', consumer_secret: 'written-canary' };
    const settings = { routes: { '/mpesa/*': routeToEmulator(emulator, { credentials }) } };
    const ran = await run(settings, { env: { KEY: 'key-canary' } });
    expect(ran.code).toBe(4);
    const [refused, remedy] = ran.stdout.split('\n').slice(5);
    expect(refused).toMatch(
      /^ {2}FAILED {3}token .* refused the credentials at .* \(HTTP 400\) and said \{.*Invalid Auth/,
    );
    expect(remedy).toContain('-> Check `consumer_key` (from $KEY) and `consumer_secret` (from FILE): copy');
    expect(ran.stdout).toContain('\n1 route: credentials were refused (');
    expect(emulator.stats().token_requests).toBe(1);
  });

  it('reports an unreachable host with exit code 5, and requests no token there', async () => {
    const upstream = `http://127.0.0.1:${await freePort()}`;
    const credentials = { consumer_key: 'k', consumer_secret: 's' };
    const ran = await run({ routes: { '/mpesa/*': { provider: 'mpesa', upstream, credentials } } }, { json: true });
    expect(resultsOf(ran, '/mpesa/*')).toEqual({
      ...ALL_FINE,
      tcp: 'failed',
      token: 'skipped',
      lifetime: 'skipped',
      clock: 'skipped',
    });
    expect(ran.code).toBe(5);
  });

  it('exits with 4 if one route is refused and another cannot be reached', async () => {
    const emulator = await emulated('mpesa');
    emulator.control({ token_endpoint: 'denied' });
    const gone = fixedRoute(`http://127.0.0.1:${await freePort()}`);
    const routes = { '/gone/*': gone, '/mpesa/*': routeToEmulator(emulator) };
    expect(await run({ routes })).toMatchObject({ code: 4 });
    expect(await run({ routes }, { route: 'gone' })).toMatchObject({ code: 5 });
  });

  it('requests no token for a fixed key', async () => {
    let asked = 0;
    const upstream = await serve((_, response) => response.end(String((asked += 1))));
    const ran = await run({ routes: { '/wave/*': fixedRoute(upstream) } }, { json: true });
    expect(resultsOf(ran, '/wave/*')).toMatchObject({ tcp: 'ok', token: 'skipped', lifetime: 'skipped' });
    expect(ran.stdout).toContain('a fixed key');
    expect([ran.code, asked]).toEqual([0, 0]);
  });

  it('requests one token for two routes with the same credentials, and reports in the order of the file', async () => {
    const emulator = await emulated('mpesa');
    const route = routeToEmulator(emulator);
    const other = { ...route, credentials: { consumer_key: 'other', consumer_secret: 'other' } };
    const ran = await run({ routes: { '/b/*': route, '/a/*': { ...route, timeout: '9s' }, '/c/*': other } });
    const tokenLines = ran.stdout.split('\n').filter((line) => /^ {2}\S+ +token /.test(line));
    expect(tokenLines).toEqual([
      matching(/^ {2}ok {7}token {8}received token [0-9a-f]{8} /),
      matching(/^ {2}ok {7}token {8}shares the token of \/b\/\*: received token [0-9a-f]{8} /),
      matching(/^ {2}FAILED/),
    ]);
    expect(ran.stdout.match(/^\/\w/gm)).toEqual(['/b', '/a', '/c']);
    expect(emulator.stats()).toMatchObject({ token_requests: 2, exchanges: 1 });
  });

  it.each(['/mpesa/*', '/mpesa', 'mpesa', 'mpesa/*'])('checks one route alone, named as %s', async (route) => {
    const [mpesa, jpay] = [await emulated('mpesa'), await emulated('jpay')];
    const settings = { routes: { '/mpesa/*': routeToEmulator(mpesa), '/jpay/*': routeToEmulator(jpay) } };
    const ran = await run(settings, { route });
    expect(ran.stdout.match(/^\/\w+/gm)).toEqual(['/mpesa']);
    expect([ran.code, jpay.stats().token_requests]).toEqual([0, 0]);
  });

  it('suggests a route for a misspelled name, and sends nothing', async () => {
    const emulator = await emulated('mpesa');
    const settings = { routes: { '/mpesa/*': routeToEmulator(emulator) } };
    expect(await run(settings, { route: 'mpsea' })).toEqual({
      code: 2,
      stdout: '',
      stderr: 'wakala doctor: no route is named `mpsea`; did you mean `mpesa`?\n',
    });
    expect(await run(settings, { route: 'x', json: true })).toEqual({
      code: 2,
      stdout: '',
      stderr: 'wakala doctor: no route is named `x`; the routes are /mpesa/*\n',
    });
    expect(emulator.stats().token_requests).toBe(0);
  });

  it('reports an invalid file with exit code 3', async () => {
    expect(await run('routes: {}\nopne: true\n')).toMatchObject({
      code: 3,
      stdout: '',
      stderr: matching(/^FILE:1:9: routes: .*\nFILE:2:1: unknown key `opne`; did you mean `open`\?\n$/),
    });
    const json = await run('routes: {}\n', { json: true });
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, problems: [{ line: 1, key: 'routes' }], routes: [] });
    expect(json).toMatchObject({ code: 3, stderr: '' });
  });

  it('prints the warnings of the configuration, with exit code 0', async () => {
    const upstream = await serve(tokens());
    const credentials = { consumer_key: 'k-canary"', consumer_secret: 's-canary' };
    const settings = { routes: { '/mpesa/*': { provider: 'mpesa', upstream, credentials } } };
    const text = await run(settings);
    expect(text).toMatchObject({ code: 0, stderr: matching(/^FILE:1:\d+: warning: .* a quote;/) });
    const json = await run(settings, { json: true });
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: true, warnings: [{ line: 1 }] });
    expect(json.stderr).toBe('');
  });

  it('prints one JSON object with stable names', async () => {
    const emulator = await emulated('mpesa');
    const ran = await run({ routes: { '/mpesa/*': routeToEmulator(emulator) } }, { json: true, tty: true });
    const report = JSON.parse(ran.stdout) as { routes: { checks: unknown[] }[] };
    expect(report).toEqual({
      ok: true,
      problems: [],
      warnings: [],
      routes: [
        {
          route: '/mpesa/*',
          provider: 'mpesa',
          environment: 'sandbox',
          upstream: emulator.apiUrl,
          checks: expect.any(Array) as unknown,
        },
      ],
    });
    expect(report.routes[0]!.checks[0]).toEqual({
      name: 'environment',
      result: 'ok',
      saw: `sandbox, at ${new URL(emulator.apiUrl).host}`,
      remedy: null,
    });
    emulator.control({ token_endpoint: '500' });
    const failing = await run({ routes: { '/mpesa/*': routeToEmulator(emulator) } }, { json: true });
    expect(JSON.parse(failing.stdout)).toMatchObject({
      ok: false,
      routes: [
        {
          checks: expect.arrayContaining([
            { name: 'token', result: 'failed', saw: matching(/./), remedy: matching(/./) },
          ]) as unknown,
        },
      ],
    });
  });

  it('is coloured only on a terminal, and not if NO_COLOR is set', async () => {
    const settings = { routes: { '/wave/*': fixedRoute(await serve(tokens())) } };
    expect((await run(settings, { tty: true })).stdout).toContain(`${ESC}32mok`);
    expect((await run(settings)).stdout).not.toContain(ESC);
    expect((await run(settings, { tty: true, env: { NO_COLOR: '1' } })).stdout).not.toContain(ESC);
  });

  it('never prints a token, a refresh token or a secret, whatever happens', async () => {
    const given: string[] = [];
    const upstream = await serve((request, response) => {
      const name = `canary-token-${given.push('')}`;
      // A provider that echoes what it got, in a refusal of every second request.
      const denied = given.length % 2 === 0;
      response.writeHead(denied ? 401 : 200, { 'content-type': 'application/json' });
      if (!denied) return response.end(JSON.stringify({ access: name, refresh: `${name}-refresh` }));
      return request.pipe(response);
    });
    const credentials = { app_key: 'canary/key+1', app_secret: '${SECRET}' };
    const settings = { routes: { '/jpay/*': { provider: 'jpay', upstream, credentials } } };
    const runs: Ran[] = [];
    for (const json of [true, true, false, false]) {
      runs.push(await run(settings, { json, env: { SECRET: 'canary-secret' } }));
    }
    expect(runs.map(({ code }) => code)).toEqual([0, 4, 0, 4]);
    expect(runs[1]!.stdout).toContain('[redacted]');
    expect(JSON.stringify(runs)).not.toMatch(/canary/);
  });
});

describe.skipIf(!hasTool('redis-server'))('doctor and the token store', () => {
  const KEY = 'k'.repeat(40);
  const storeAt = async (redis: string) => {
    const routes = { '/wave/*': fixedRoute(await serve(tokens())) };
    const ran = await run({ token_store: { redis, encryption_key: KEY }, routes }, { json: true });
    const { token_store } = JSON.parse(ran.stdout) as { token_store: { result: string; saw: string; remedy: string } };
    expect(JSON.stringify(ran)).not.toContain('canary');
    return { code: ran.code, ...token_store };
  };

  it('is ok if the store runs the scripts', async () => {
    const redis = await RedisServer.start(['--requirepass', 'pw-canary']);
    const store = await storeAt(redis.url.replace('//', '//:pw-canary@'));
    expect(store).toMatchObject({ code: 0, result: 'ok', saw: containing(`127.0.0.1:${redis.port}`) });
  });

  it('warns if the store cannot be reached', async () => {
    const redis = await RedisServer.absent();
    expect(await storeAt(redis.url)).toMatchObject({
      code: 0,
      result: 'warning',
      saw: containing(
        `at 127.0.0.1:${redis.port} cannot be used (ECONNREFUSED). Until it works, each process requests its own tokens`,
      ),
      remedy: containing('hosts and ports'),
    });
  });

  it.each([
    ['a wrong password', '//:wrong-canary@', 'WRONGPASS'],
    ['no password', '//', 'NOAUTH'],
  ])('warns if the login is refused: %s', async (_, at, reason) => {
    const redis = await RedisServer.start(['--requirepass', 'pw-canary']);
    expect(await storeAt(redis.url.replace('//', at))).toMatchObject({
      code: 0,
      result: 'warning',
      saw: containing(`(${reason})`),
      remedy: 'Redis refuses the login: check user and password under `token_store`.',
    });
  });

  it('has its own block', async () => {
    const redis = await RedisServer.absent();
    const routes = { '/wave/*': fixedRoute(await serve(tokens())) };
    const ran = await run({ token_store: { redis: redis.url, encryption_key: KEY }, routes });
    expect(ran.stdout).toMatch(/\n\ntoken store\n {2}WARN {5}redis {8}The token store/);
    expect(ran.stdout).toMatch(/\n1 route: all fine \(3 ok, 1 warning, 5 skipped\)\n$/);
  });
});
