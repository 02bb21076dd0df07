import { describe, expect, it } from 'vitest';
import { tokenContext } from '../../src/diagnosis/diagnosis-context.ts';
import { isRequested } from '../../src/providers/provider.ts';
import { jwkOf, pairFor, pemOf } from '../e2e/oauth2/keys.ts';
import { issue } from './certificate.ts';
import { expectProblem, problemsOf, routeOf, type Surroundings, validateText, warningsOf } from './validate-text.ts';

/** A route with these lines of `oauth2`, the first of them line 6, column 7. */
function bank(lines: readonly string[], credentials = 'client_id: i, client_secret: s'): string {
  return [
    'routes:',
    '  /bank/*:',
    '    provider: oauth2',
    '    upstream: https://api.bank.example',
    '    oauth2:',
    ...lines.map((line) => `      ${line}`),
    `    credentials: {${credentials}}`,
    '',
  ].join('\n');
}

const ISSUER = 'issuer: https://login.bank.example';
const JWT = [ISSUER, 'client_auth: private_key_jwt', 'key: "${file:/run/key}"'];
const TLS = [ISSUER, 'client_auth: tls_client_auth', 'cert: "${file:/run/cert}"', 'key: "${file:/run/key}"'];
const [EC, RSA, ED] = [pairFor('ES256'), pairFor('RS256'), pairFor('EdDSA')];
const NOW = Date.UTC(2026, 0, 15);

const withFiles = (files: Readonly<Record<string, string>>): Surroundings => ({
  files: Object.fromEntries(Object.entries(files).map(([name, text]) => [`/run/${name}`, text])),
  nowMs: NOW,
});
const jwt = (key: string, ...lines: string[]) =>
  problemsOf(bank([...JWT, ...lines], 'client_id: i'), withFiles({ key }));

function requestOf(lines: readonly string[], credentials?: string, surroundings?: Surroundings) {
  const route = routeOf(bank(lines, credentials), surroundings);
  if (!isRequested(route.provider.token)) throw new Error('fixed');
  return { route, request: route.provider.token.request };
}

describe('oauth2', () => {
  it('uses Basic at the token endpoint by default', () => {
    const { route, request } = requestOf(['token_endpoint: https://login.bank.example/a/token?x=1']);
    expect(request).toEqual({
      method: 'POST',
      path: 'https://login.bank.example/a/token?x=1',
      basic: ['{client_id}', '{client_secret}'],
      body: { encoding: 'form', fields: { grant_type: 'client_credentials' } },
      oauth2: { clientAuth: 'client_secret_basic' },
    });
    expect(route).toMatchObject({ upstream: 'https://api.bank.example', authServer: 'https://login.bank.example' });
    expect(route.provider.tokenPaths).toEqual([]);
  });

  it('keeps the issuer unchanged, including its slash', () => {
    for (const issuer of [
      'https://login.bank.example',
      'https://login.bank.example/',
      'https://LOGIN.bank.example/a/',
    ]) {
      expect(requestOf([`issuer: ${issuer}`]).request.oauth2?.issuer).toBe(issuer);
    }
  });

  it('treats values from references as secrets, except the URLs of the server', () => {
    const { route, request } = requestOf(['issuer: "${ISSUER}"', 'scope: "${SCOPE}"', 'audience: a'], undefined, {
      env: { ISSUER: 'https://login.bank.example', SCOPE: '{client_id} x' },
    });
    expect(request).toMatchObject({
      body: { fields: { scope: '{value_1}', audience: 'a' } },
      oauth2: { issuer: 'https://login.bank.example' },
    });
    expect(route.credentials.get('value_1')?.reveal()).toBe('{client_id} x');
  });

  it('adds the token endpoint to the token paths if it is below the API', () => {
    const route = routeOf(bank(['token_endpoint: https://api.bank.example/oauth/token']));
    expect(route.provider.tokenPaths).toEqual([{ method: 'POST', path: '/oauth/token' }]);
  });

  it('keeps keys and refresh tokens as secrets, and needs no unused `client_secret`', () => {
    const key = pemOf(EC);
    const { route } = requestOf([...JWT, 'refresh_token: r'], 'client_id: i', withFiles({ key }));
    expect([...route.credentials.keys()]).toEqual(['client_id', 'client_key', 'given_refresh_token']);
    expect(tokenContext(route).credentials).toEqual(['`client_id`', '`oauth2.key`', '`oauth2.refresh_token`']);
    expect(route.provider.credentials.map(({ name }) => name)).toEqual([...route.credentials.keys()]);
    expect(JSON.stringify(route.provider.token)).not.toContain('PRIVATE');
    expect(route.credentials.get('client_key')?.reveal()).toBe(key.trimEnd());
  });
});

describe('the signature of private_key_jwt', () => {
  const assertionOf = (key: string, ...lines: string[]) =>
    requestOf([...JWT, ...lines], 'client_id: i', withFiles({ key })).request.oauth2?.assertion;

  it.each([
    ['ES256', pemOf(EC), []],
    ['RS256', pemOf(RSA), []],
    ['PS256', pemOf(RSA), ['algorithm: PS256']],
    ['EdDSA', pemOf(ED), []],
    ['PS256', jwkOf(RSA, { alg: 'PS256' }), []],
  ])('is %s by configuration, by the JWK or by the type of the key', (algorithm, key, lines) => {
    expect(assertionOf(key, ...lines)).toEqual({ clientId: '{client_id}', key: '{client_key}', algorithm });
  });

  it('uses the configured key id, or that of the JWK', () => {
    const jwk = jwkOf(EC, { kid: 'own' });
    expect([assertionOf(jwk)?.keyId, assertionOf(jwk, 'key_id: k-1')?.keyId]).toEqual(['own', 'k-1']);
  });

  it.each([
    ['a damaged key', pemOf(EC).slice(0, 90), [], '8:12 routes./bank/*.oauth2.key', 'damaged'],
    ['a path', '/run/key.pem', [], '8:12 routes./bank/*.oauth2.key', 'write `${file:/path}`'],
    ['a short key', 'x', [], '8:12 routes./bank/*.oauth2.key', 'use PEM or a JWK'],
    ['RSA for ES256', pemOf(RSA), ['algorithm: ES256'], '9:18 routes./bank/*.oauth2.algorithm', '`RS256` or `PS256`'],
    ['EC for EdDSA', pemOf(EC), ['algorithm: EdDSA'], '9:18 routes./bank/*.oauth2.algorithm', 'is for `ES256`'],
    [
      'a JWK for another algorithm',
      jwkOf(RSA, { alg: 'RS256' }),
      ['algorithm: PS256'],
      '9:18 routes./bank/*.oauth2.algorithm',
      '`alg`',
    ],
    ['an `alg` of old', jwkOf(RSA, { alg: 'RS512' }), [], '8:12 routes./bank/*.oauth2.key', 'is not supported'],
    ['an `alg` that does not fit', jwkOf(RSA, { alg: 'ES256' }), [], '8:12 routes./bank/*.oauth2.key', 'does not fit'],
  ])('cannot be made with %s', (_, key, lines, place, reason) => {
    expectProblem(jwt(key, ...lines), place, reason);
  });

  it('accepts only known algorithms', () => {
    expect(jwt(pemOf(EC), 'algorithm: ES265')).toEqual([expect.stringMatching(/^9:18 .*did you mean `ES256`/)]);
  });
});

describe('the certificate of tls_client_auth', () => {
  const own = issue({ name: 'shop' });
  const files = { cert: own.cert, key: own.key };
  const problems = (changed: Partial<typeof files>) =>
    problemsOf(bank(TLS, 'client_id: i'), withFiles({ ...files, ...changed }));

  it('is read with its key', () => {
    const { request, route } = requestOf(TLS, 'client_id: i', withFiles(files));
    expect(request.body?.fields).toEqual({ grant_type: 'client_credentials', client_id: '{client_id}' });
    expect(route.tokenConnection.tls?.cert).toBe(own.cert.trimEnd());
    expect(route.tokenConnection.tls?.key?.reveal()).toBe(own.key.trimEnd());
    expect(route.connection).toEqual({});
  });

  describe('under `tls` of the route', () => {
    const MUTUAL = [ISSUER, 'client_auth: self_signed_tls_client_auth'];
    const PAIR = 'cert: /run/cert, key: /run/key';
    const withTls = (tls: string, lines = MUTUAL) => `${bank(lines, 'client_id: i')}    tls: {${tls}}\n`;

    it('is presented to the API and to a token endpoint on another host', () => {
      const { connection, tokenConnection } = routeOf(withTls(`${PAIR}, server_name: a.example`), withFiles(files));
      expect(connection.tls).toMatchObject({ cert: own.cert, serverName: 'a.example' });
      expect(tokenConnection.tls).toEqual({ ...connection.tls, serverName: undefined });
    });

    it('goes to the API alone if `oauth2` has another one', () => {
      const other = issue({ name: 'other' });
      const surroundings = withFiles({ cert: other.cert, key: other.key });
      const both = { files: { ...surroundings.files, '/tls/cert': own.cert, '/tls/key': own.key } };
      const text = withTls('cert: /tls/cert, key: /tls/key, token_endpoint: true', TLS);
      const { connection, tokenConnection } = routeOf(text, both);
      expect(connection.tls?.cert).toBe(own.cert);
      expect(tokenConnection.tls?.cert).toBe(other.cert.trimEnd());
    });

    it('cannot be kept from the token endpoint', () => {
      expect(problemsOf(withTls(`${PAIR}, token_endpoint: false`), withFiles(files))).toEqual([
        expect.stringMatching(
          /tls\.token_endpoint: must not be `false`: `client_auth` of `oauth2` uses the client cert/,
        ),
      ]);
    });

    it('is missing if `tls` has only other settings', () => {
      expect(problemsOf(withTls('server_name: a.example'))).toEqual([
        '5:5 routes./bank/*.oauth2.cert | routes./bank/*.oauth2: the client certificate is missing; set `cert` and ' +
          '`key`, here or under `tls` of the route',
      ]);
    });
  });

  it.each([
    ['no PEM', { cert: 'tls/cert.pem' }, '8:13 routes./bank/*.oauth2.cert', '${file:/path}'],
    ['a key in its place', { cert: own.key }, '8:13 routes./bank/*.oauth2.cert', 'swapped'],
    ['a certificate for a key', { key: own.cert }, '9:12 routes./bank/*.oauth2.key', 'swapped'],
    ['the key of another', { key: issue({ name: 'x' }).key }, '9:12 routes./bank/*.oauth2.key', 'does not belong'],
    ['a damaged one', { cert: own.cert.replace(/\n.{20}/, '\nAAAA') }, '8:13 routes./bank/*.oauth2.cert', 'damaged'],
    [
      'one after its issuer',
      { cert: issue({ name: 'ca', isCa: true }).cert + own.cert },
      '8:13 routes./bank/*.oauth2.cert',
      'must come first',
    ],
  ])('cannot be %s', (_, changed, place, reason) => {
    expectProblem(problems(changed), place, reason);
  });

  it.each([
    ['2026-01-14', 'expired on 2026-01-14'],
    ['2026-01-20', 'expires soon, on 2026-01-20'],
  ])('that expires on %s is a warning', (day, text) => {
    const old = issue({ name: 'shop', to: new Date(day) });
    expect(warningsOf(bank(TLS, 'client_id: i'), withFiles(old as never))).toEqual([
      expect.stringMatching(new RegExp(`^8:13 .*${text}.*the server refuses it`)),
    ]);
  });

  it('requires TLS', () => {
    const plain = TLS.map((line) => line.replace('https://login.bank.example', 'http://127.0.0.1:9'));
    expect(problemsOf(bank(plain, 'client_id: i'), withFiles(files))).toEqual([
      expect.stringMatching(/^6:15 .*use `https:`/),
    ]);
  });
});

describe('a problem is', () => {
  it.each([
    ['no `oauth2`', bank([]).replace('    oauth2:\n', ''), '2:3 routes./bank/*.oauth2', 'the token server is missing'],
    ['no server', bank(['scope: x']), '5:5 routes./bank/*.oauth2.issuer', 'set `issuer: https://...`'],
    [
      'two servers',
      bank([ISSUER, 'token_endpoint: https://a.example/t']),
      '7:7 routes./bank/*.oauth2.token_endpoint',
      'keep one',
    ],
    ['a key that is none', bank([ISSUER, 'scopes: x']), '7:7 routes./bank/*.oauth2.scopes', 'did you mean `scope`?'],
    [
      'an unknown client authentication',
      bank([ISSUER, 'client_auth: private_key_jtw']),
      '7:20 routes./bank/*.oauth2.client_auth',
      'did you mean `private_key_jwt`?',
    ],
    [
      '`http:` to another machine',
      bank(['issuer: http://login.bank.example']),
      '6:15 routes./bank/*.oauth2.issuer',
      'unencrypted',
    ],
    [
      'an issuer with a query',
      bank(['issuer: https://login.bank.example?x=1']),
      '6:15 routes./bank/*.oauth2.issuer',
      'not contain a query',
    ],
    [
      'an issuer with a placeholder',
      bank(['issuer: "https://{tenant}.bank.example"']),
      '6:15 routes./bank/*.oauth2.issuer',
      '`{tenant}` is not replaced in an issuer',
    ],
    [
      'an issuer that is not a URL',
      bank(['issuer: login.bank.example']),
      '6:15 routes./bank/*.oauth2.issuer',
      'an absolute URL',
    ],
    [
      'a token endpoint with a fragment',
      bank(['token_endpoint: "https://a.example/t#x"']),
      '6:23 routes./bank/*.oauth2.token_endpoint',
      'not contain a fragment',
    ],
    [
      'a metadata service',
      bank(['issuer: https://169.254.169.254']),
      '6:15 routes./bank/*.oauth2.issuer',
      'link-local',
    ],
    ['no secret', bank([ISSUER], 'client_id: i'), '7:5 routes./bank/*.credentials.client_secret', 'is missing'],
    [
      'no key',
      bank([ISSUER, 'client_auth: private_key_jwt'], 'client_id: i'),
      '5:5 routes./bank/*.oauth2.key',
      '`key` is missing',
    ],
    [
      'no certificate',
      bank([ISSUER, 'client_auth: tls_client_auth', `key: ${JSON.stringify(pemOf(EC))}`], 'client_id: i'),
      '5:5 routes./bank/*.oauth2.cert',
      '`cert` is missing',
    ],
    [
      'a key without its client authentication',
      bank([ISSUER, `key: ${JSON.stringify(pemOf(EC))}`]),
      '7:7 routes./bank/*.oauth2.key',
      'set `client_auth: private_key_jwt`',
    ],
    [
      'a key of another client authentication',
      bank([ISSUER, 'client_auth: client_secret_post', 'key_id: k']),
      '8:7 routes./bank/*.oauth2.key_id',
      'remove it',
    ],
    ['an empty text', bank([ISSUER, 'scope: ""']), '7:14 routes./bank/*.oauth2.scope', 'is empty'],
    ['an empty list', bank([ISSUER, 'resource: []']), '7:17 routes./bank/*.oauth2.resource', 'is empty'],
    [
      'a resource that is not a URL',
      bank([ISSUER, 'resource: [https://a.example, b]']),
      '7:37 routes./bank/*.oauth2.resource.1',
      'an absolute URL',
    ],
    [
      'a resource with a fragment',
      bank([ISSUER, 'resource: "https://a.example/#b"']),
      '7:17 routes./bank/*.oauth2.resource',
      'fragment',
    ],
    [
      'an unknown placeholder',
      bank([ISSUER, 'scope: "{client_di}"']),
      '7:14 routes./bank/*.oauth2.scope',
      'did you mean `client_id`?',
    ],
  ])('%s', (_, text, place, reason) => {
    expectProblem(problemsOf(text), place, reason);
  });

  it('a `client_secret` that the client authentication does not use', () => {
    expect(problemsOf(bank(JWT), withFiles({ key: pemOf(EC) }))).toEqual([
      '9:33 routes./bank/*.credentials.client_secret | routes./bank/*.credentials: `client_secret` is not used with `client_auth: private_key_jwt`; remove it',
    ]);
  });

  it.each([
    ['auth_server: https://login.bank.example', 'auth_server', 'remove `auth_server`'],
    ['encoding: json', 'encoding', 'remove `encoding`'],
    ['token: {refresh: {request: {path: /x}}}', 'token.refresh', 'remove `refresh`'],
    ['token: {request: {path: /x}}', 'token.request.path', 'remove `path`'],
    ['token: {request: {form: {a: b}}}', 'token.request.form', 'remove `form`'],
    ['token: {request: {basic: {username: a, password: b}}}', 'token.request.basic', 'remove `basic`'],
  ])('another key that describes the exchange: %s', (line, key, reason) => {
    const problems = problemsOf(`${bank([ISSUER])}    ${line}\n`);
    expect(problems.filter((problem) => problem.includes(` routes./bank/*.${key} | `))).toEqual([
      expect.stringContaining(reason),
    ]);
  });

  it('`oauth2` on a route with another provider or without one', () => {
    const text = bank([ISSUER]);
    expect(problemsOf(text.replace('provider: oauth2', 'provider: jeel'))).toEqual([
      expect.stringMatching(/^5:5 routes\.\/bank\/\*\.oauth2 \| .*belongs to `provider: oauth2`; remove/),
    ]);
    expect(problemsOf(text.replace('    provider: oauth2\n', ''))).toEqual([
      expect.stringMatching(/^4:5 routes\.\/bank\/\*\.oauth2 \| .*add `provider: oauth2`/),
    ]);
  });

  it('a server URL that leads to this proxy', () => {
    const text = `listen: 127.0.0.1:8080\n${bank(['issuer: http://127.0.0.1:8080'])}`;
    expect(problemsOf(text)).toEqual([
      expect.stringMatching(/^7:15 routes\.\/bank\/\*\.oauth2\.issuer \| .*leads back/),
    ]);
  });

  it('`http:` on loopback in production, but not in the sandbox', () => {
    const text = bank(['token_endpoint: http://127.0.0.1:9/token']);
    expect(validateText(text)).toMatchObject({ problems: [], warnings: [] });
    expect(problemsOf(`environment: production\n${text}`)).toEqual([expect.stringMatching(/^7:23 .*`http:`/)]);
  });

  it('a key file that others can read, in production', () => {
    const text = `environment: production\n${bank(JWT, 'client_id: i')}`;
    const surroundings = { ...withFiles({ key: pemOf(EC) }), modes: { '/run/key': 0o644 } };
    expect(problemsOf(text, surroundings)).toEqual([
      expect.stringMatching(/^9:12 .*other users of this machine can read `\/run\/key`/),
    ]);
  });

  it('reported without the key in the message', () => {
    const key = pemOf(RSA);
    for (const line of ['algorithm: ES256', 'scope: ""', 'key_id: ""', 'nokey: 1']) {
      const inner = key.split('\n')[1]!;
      expect(JSON.stringify([jwt(key, line), jwt(key.slice(0, 200), line)])).not.toContain(inner);
    }
  });
});

describe('a refresh token as credential', () => {
  const file = (route: object, more: object = {}) =>
    JSON.stringify({ routes: { '/bank/*': { upstream: 'https://api.bank.example', ...route } }, ...more });
  const oauth2 = {
    provider: 'oauth2',
    credentials: { client_id: 'a', client_secret: 'b' },
    oauth2: { issuer: 'https://login.bank.example', refresh_token: 'given' },
  };
  const form = { grant_type: 'refresh_token', refresh_token: '{first}' };
  const request = { path: '/token', form };
  const custom = {
    credentials: { first: 'given' },
    token: {
      request,
      response: { access_token: 'a', refresh_token: 'r' },
      refresh: { request: { ...request, form: { ...form, refresh_token: '{refresh_token}' } } },
    },
  };
  const store = { token_store: { redis: 'redis://127.0.0.1', encryption_key: 'k'.repeat(32) } };

  it.each([
    ['oauth2.refresh_token', oauth2],
    ['token.request', custom],
  ])('in `%s` gets a warning without a token store', (key, route) => {
    const lost = expect.stringMatching(
      `routes./bank/\\*.${key}: if the server issues a new refresh token .* add \`token_store\``,
    ) as unknown;
    expect(warningsOf(file(route))).toEqual([lost]);
    expect(warningsOf(file(route, store))).toEqual([]);
    expect(warningsOf(file(route), { emulated: true })).toEqual([]);
  });
});
