import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { good, mpesaWith, problemsOf, routeOf, topWith, validateText } from './validate-text.ts';

type Env = Readonly<Record<string, string>>;

/** The proxies of a route for its https and http servers, and the hosts that they are not used for. */
function egressOf(text: string, env: Env = {}) {
  const { connection, tokenConnection } = routeOf(text, { env });
  expect(tokenConnection).toEqual(connection);
  const { http, https, noProxy } = connection.egress ?? {};
  const shown = (proxy = https) =>
    proxy && [`${proxy.isTls ? 'https' : 'http'}://${proxy.host}:${proxy.port}`, proxy.source].join(' from ');
  return { https: shown(), ...(http && { http: shown(http) }), ...(noProxy && { noProxy }) };
}

const LOCAL = ['localhost', '127.0.0.0/8', '::1'];
const PROXY = 'http://proxy.bank.example:3128';

describe('egress_proxy', () => {
  it.each([
    ['http://proxy.bank.example:3128', 'http://proxy.bank.example:3128'],
    ['https://proxy.bank.example:8443/', 'https://proxy.bank.example:8443'],
    ['proxy.bank.example:3128', 'http://proxy.bank.example:3128'],
    ['HTTP://proxy', 'http://proxy:80'],
    ['https://proxy', 'https://proxy:443'],
    ['http://[2001:db8::1]:3128', 'http://2001:db8::1:3128'],
    ['http://127.0.0.1:3128', 'http://127.0.0.1:3128'],
  ])('may be %s', (written, proxy) => {
    const shown = `${proxy} from egress_proxy`;
    expect(egressOf(mpesaWith(`egress_proxy: "${written}"`))).toEqual({ https: shown, http: shown });
  });

  it.each([
    ['user:pass', 'user:pass'],
    ['user', 'user:'],
    ['us%40er:p%3Aa%2Fs%25s', 'us@er:p:a/s%s'],
    ['user:p@ss', 'user:p@ss'],
    ['j%C3%BCrgen:p%C3%A4ss', 'jürgen:päss'],
  ])('sends its user and password as Basic: %s', (written, sent) => {
    const { connection } = routeOf(mpesaWith(`egress_proxy: "http://${written}@proxy:3128"`));
    expect(connection.egress?.https?.authorization?.reveal()).toBe(`Basic ${Buffer.from(sent).toString('base64')}`);
    expect(inspect(connection, { depth: Infinity })).not.toContain(Buffer.from(sent).toString('base64'));
  });

  it('of a route replaces the top-level one, which replaces the environment', () => {
    const env = { HTTPS_PROXY: 'http://from-env:1' };
    const text = (top: string, ...route: string[]) => `${top}\n${mpesaWith(...route)}`;
    expect(egressOf(text(''), env).https).toBe('http://from-env:1 from HTTPS_PROXY');
    expect(egressOf(text(`egress_proxy: ${PROXY}`), env).https).toBe(`${PROXY} from egress_proxy`);
    const own = text(`egress_proxy: ${PROXY}`, 'egress_proxy: http://own:1');
    expect(egressOf(own, env).https).toBe('http://own:1 from egress_proxy');
    expect(egressOf(text(`egress_proxy: ${PROXY}`, 'egress_proxy: false'), env)).toEqual({});
    expect(egressOf(text('egress_proxy: false'), env)).toEqual({});
  });

  it('has no exceptions from NO_PROXY', () => {
    expect(egressOf(topWith(`egress_proxy: ${PROXY}`), { NO_PROXY: '*' })).toEqual({
      https: `${PROXY} from egress_proxy`,
      http: `${PROXY} from egress_proxy`,
    });
  });

  const ENCODE = 'percent-encode special characters in the user name and the password (`%40` for `@`)';
  it.each([
    ['socks5://user:s3cret@proxy:1080', 'names a SOCKS proxy; Wakala can use only HTTP proxies'],
    ['socks4a://proxy', 'names a SOCKS proxy; Wakala can use only HTTP proxies'],
    ['ftp://proxy:21', 'must begin with `http://` or `https://`'],
    ['', `must be a URL such as \`http://user:password@proxy.internal:3128\`; ${ENCODE}`],
    ['http://user:s3#cret@proxy:3128', `must be a URL such as \`http://user:password@proxy.internal:3128\`; ${ENCODE}`],
    ['http://proxy:0', `must be a URL such as \`http://user:password@proxy.internal:3128\`; ${ENCODE}`],
    ['http://user:3/s3cret@proxy:3128', `must end after the port; ${ENCODE}`],
    ['http://user:s3%cret@proxy:3128', `has a \`%\` that encodes nothing; ${ENCODE}`],
    ['http://us%3Aer:s3cret@proxy:3128', 'has a `:` in its user name, which HTTP Basic does not allow'],
    ['http://169.254.169.254:80', 'must not name a link-local address or a metadata service'],
  ])('may not be %s', (written, problem) => {
    const found = problemsOf(mpesaWith(`egress_proxy: "${written}"`));
    expect(found).toEqual([`5:19 routes./mpesa/*.egress_proxy | routes./mpesa/*.egress_proxy: ${problem}`]);
    expect(problemsOf(topWith(`egress_proxy: "${written}"`))).toEqual([`5:15 egress_proxy | egress_proxy: ${problem}`]);
    expect(found.join()).not.toContain('s3');
  });

  it.each(['true', '3128', '[a]'])('may not be %s', (written) => {
    expect(problemsOf(topWith(`egress_proxy: ${written}`))).toEqual([
      '5:15 egress_proxy | egress_proxy: must be the URL of an HTTP proxy such as `http://proxy.internal:3128`, or `false`',
    ]);
  });

  it('from a file is a secret of that file', () => {
    const surroundings = { files: { '/proxy': 'http://u:p@proxy:3128\n' }, modes: { '/proxy': 0o644 } };
    const text = topWith('egress_proxy: "${file:/proxy}"', 'environment: production');
    expect(problemsOf(text, surroundings)).toEqual([expect.stringContaining('can read `/proxy`')]);
    expect(validateText(text, { ...surroundings, modes: {} }).config).toBeDefined();
  });
});

describe('the proxy variables of the environment', () => {
  const plain = 'upstream: http://api.bank.example';
  const https = (env: Env) => egressOf(mpesaWith(), env).https;

  it.each<[env: Env, expected: string | undefined]>([
    [{ HTTPS_PROXY: PROXY }, `${PROXY} from HTTPS_PROXY`],
    [{ https_proxy: PROXY }, `${PROXY} from https_proxy`],
    [{ https_proxy: 'http://lower:1', HTTPS_PROXY: 'http://upper:1' }, 'http://lower:1 from https_proxy'],
    [{ https_proxy: '', HTTPS_PROXY: 'http://upper:1' }, 'http://upper:1 from HTTPS_PROXY'],
    [{ ALL_PROXY: PROXY }, `${PROXY} from ALL_PROXY`],
    [{ all_proxy: PROXY, HTTPS_PROXY: 'http://upper:1' }, 'http://upper:1 from HTTPS_PROXY'],
    [{ HTTP_PROXY: PROXY }, undefined],
    [{ HTTPS_PROXY: ' ' }, undefined],
    [{ HTTPS_PROXY: ' proxy:3128\n' }, 'http://proxy:3128 from HTTPS_PROXY'],
  ])('for https servers: %j', (env, expected) => {
    expect(https(env)).toBe(expected);
  });

  it.each<[env: Env, expected: string | undefined]>([
    [{ HTTP_PROXY: PROXY }, `${PROXY} from HTTP_PROXY`],
    [{ http_proxy: 'http://lower:1', HTTP_PROXY: 'http://upper:1' }, 'http://lower:1 from http_proxy'],
    [{ ALL_PROXY: PROXY }, `${PROXY} from ALL_PROXY`],
    [{ HTTPS_PROXY: PROXY }, undefined],
  ])('for http servers: %j', (env, expected) => {
    expect(egressOf(mpesaWith(plain), env)).toEqual(
      expected === undefined ? {} : { http: expected, https: undefined, noProxy: LOCAL },
    );
  });

  it('count for the token endpoint too', () => {
    const text = mpesaWith('upstream: http://127.0.0.1:9', 'auth_server: https://login.bank.example');
    expect(egressOf(text, { HTTPS_PROXY: PROXY }).https).toBe(`${PROXY} from HTTPS_PROXY`);
  });

  it('do not count for NO_PROXY and for this machine', () => {
    const noProxy = (env: Env) => egressOf(mpesaWith(), { HTTPS_PROXY: PROXY, ...env }).noProxy;
    expect(noProxy({})).toEqual(LOCAL);
    expect(noProxy({ NO_PROXY: 'a.example, .b.example 10.0.0.0/8,,*' })).toEqual([
      ...['a.example', '.b.example', '10.0.0.0/8', '*'],
      ...LOCAL,
    ]);
    expect(noProxy({ no_proxy: 'lower', NO_PROXY: 'upper' })).toEqual(['lower', ...LOCAL]);
    for (const host of ['127.0.0.1:1', 'localhost', '[::1]:1']) {
      expect(egressOf(mpesaWith(`upstream: http://${host}`), { ALL_PROXY: PROXY })).toEqual({});
    }
  });

  it('that are malformed are one problem, which does not show the value', () => {
    const twoRoutes = `${mpesaWith()}  /static/*: {provider: static, upstream: "https://a.example", credentials: {token: t}}\n`;
    expect(problemsOf(twoRoutes, { env: { HTTPS_PROXY: 'socks5://u:s3cret@proxy' } })).toEqual([
      '1:1  | the environment variable `HTTPS_PROXY` names a SOCKS proxy; Wakala can use only HTTP proxies; correct it, ' +
        'or set `egress_proxy` to the proxy, or to `false` for none',
    ]);
    expect(problemsOf(twoRoutes, { env: { all_proxy: 'http://u:s3%cret@proxy' } })).toEqual([
      expect.stringContaining('`all_proxy` has a `%` that encodes nothing'),
    ]);
  });

  it('that no server needs may be malformed', () => {
    const env = { ALL_PROXY: 'socks5://proxy' };
    expect(problemsOf(mpesaWith('egress_proxy: false'), { env })).toEqual([]);
    expect(problemsOf(topWith(`egress_proxy: ${PROXY}`), { env })).toEqual([]);
    expect(problemsOf(mpesaWith('upstream: http://localhost:1'), { env })).toEqual([]);
    expect(problemsOf(mpesaWith(), { env: { HTTP_PROXY: 'socks5://proxy' } })).toEqual([]);
    expect(good(mpesaWith(), { env, emulated: true }).routes[0]?.connection).toEqual({});
  });
});

describe('host_header', () => {
  const upstream = ['upstream: https://10.20.0.7', 'host_header: api.bank.example'];

  it.each([
    ['the server of the API', [], 'api.bank.example'],
    ['another server', ['auth_server: https://10.20.0.8'], undefined],
    ['another port', ['auth_server: https://10.20.0.7:8443'], undefined],
    ['a URL on another server', ['token: {request: {url: "https://10.20.0.8/token"}}'], undefined],
  ])('for token requests to %s', (_, lines, expected) => {
    expect(routeOf(mpesaWith(...upstream, ...lines)).tokenConnection.tokenHostHeader).toBe(expected);
  });
});

describe('allow_addresses', () => {
  it('applies to the API and the token endpoint, which may be written as such an address', () => {
    const lines = ['allow_addresses: [169.254.171.0/24, "fe80::1"]', 'upstream: https://169.254.171.7'];
    const { connection, tokenConnection } = routeOf(mpesaWith(...lines, 'auth_server: "https://[fe80::1]"'));
    expect(connection).toEqual({ allowAddresses: ['169.254.171.0/24', 'fe80::1'] });
    expect(tokenConnection).toEqual(connection);
    const url = 'token: {request: {url: "https://169.254.171.8/token"}}';
    expect(problemsOf(mpesaWith(...lines, url))).toEqual([]);
  });

  it.each(['https://169.254.170.2', 'https://169.254.172.7', 'https://metadata.google.internal'])(
    'does not allow the upstream %s',
    (upstream) => {
      expect(problemsOf(mpesaWith('allow_addresses: [169.254.171.0/24]', `upstream: ${upstream}`))).toEqual([
        '6:15 routes./mpesa/*.upstream | routes./mpesa/*.upstream: must not be a link-local address (unless ' +
          '`allow_addresses` has it) or a metadata service',
      ]);
    },
  );

  it('never allows a metadata service, also in a larger range', () => {
    const text = mpesaWith('allow_addresses: [169.254.0.0/16]', 'upstream: https://169.254.169.254');
    expect(problemsOf(text)).toHaveLength(1);
  });

  it.each([
    ['169.254.169.254', 'belongs to a cloud metadata service'],
    ['fd00:ec2::254', 'belongs to a cloud metadata service'],
    ['10.0.0.0/8', 'is not link-local'],
    ['0.0.0.0/0', 'is not link-local'],
    ['lattice.internal', 'must be an IP address or a range'],
    ['169.254.171.0/33', 'must be an IP address or a range'],
  ])('may not be %s', (entry, problem) => {
    expect(problemsOf(mpesaWith(`allow_addresses: ["${entry}"]`))).toEqual([
      expect.stringMatching(new RegExp(`^5:23 routes\\./mpesa/\\*\\.allow_addresses\\.0 \\| .*: ${problem}`)),
    ]);
  });
});
