import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { defaultConfig, loadConfig, validateConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/errors.ts';
import { FILE, good, mpesaWith, problemsOf, validateText } from './validate-text.ts';

describe('loadConfig', () => {
  it('reads the file and the files it refers to', () => {
    const folder = mkdtempSync(join(tmpdir(), 'wakala-'));
    try {
      const file = join(folder, 'proxy.config.yaml');
      writeFileSync(join(folder, 'key'), 'from a file\n', { mode: 0o600 });
      writeFileSync(file, mpesaWith().replace('consumer_key: k', 'consumer_key: "${file:key}"'));
      const { config, warnings, files } = loadConfig(file, { env: {} });
      expect(config.file).toBe(file);
      expect(config.routes[0]?.credentials.get('consumer_key')?.reveal()).toBe('from a file');
      expect(warnings).toEqual([]);
      expect(files).toEqual([file, join(folder, 'key')]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says what to do if there is no file', () => {
    expect(() => loadConfig('/nowhere/proxy.config.yaml')).toThrow(
      '/nowhere/proxy.config.yaml:1:1: there is no such file; `wakala init` writes one, and `wakala dev` needs none',
    );
  });

  it('reports a file that cannot be read', () => {
    expect(() => loadConfig(tmpdir())).toThrow(`${tmpdir()}:1:1: cannot be read: it is a folder, not a regular file`);
  });

  it('throws every problem in one error', () => {
    const readFile = () => 'open: maybe\nroutes: {}\n';
    expect(() => loadConfig('a.yaml', { readFile, env: {} })).toThrow(ConfigError);
    expect(() => loadConfig('a.yaml', { readFile, env: {} })).toThrow(
      'a.yaml:1:7: open: must be `true` or `false`\na.yaml:2:9: routes: is empty',
    );
  });
});

describe('the files of a configuration', () => {
  const FOLDER = process.cwd();
  const references = '{consumer_key: "${file:/run/key}${file:/run/key}", consumer_secret: "${file:keys/gone}"}';
  const text = mpesaWith().replace('{consumer_key: k, consumer_secret: s}', references);

  it('are listed with absolute paths, including those that cannot be read', () => {
    const { config, files } = validateText(text, { files: { '/run/key': 'k' } });
    expect(config).toBeUndefined();
    expect(files).toEqual([join(FOLDER, FILE), '/run/key', join(FOLDER, 'keys/gone')]);
  });

  it.each([['routes: ['], ['routes: {}'], ['']])('include the configuration even if it is invalid: %j', (bad) => {
    expect(validateText(bad)).toMatchObject({ config: undefined, files: [join(FOLDER, FILE)] });
  });

  it('include the configuration even if it does not exist', () => {
    expect(validateConfig('/nowhere/proxy.config.yaml').files).toEqual(['/nowhere/proxy.config.yaml']);
  });

  it('include those of an emulated configuration', () => {
    const { config, files } = validateText(text, { emulated: true });
    expect(config).toBeDefined();
    expect(files).toHaveLength(3);
  });
});

describe('an emulated configuration', () => {
  const options = { emulated: true };

  it('needs no credentials, and no variable that a route refers to', () => {
    const text = [
      'routes:',
      '  /mpesa/*:',
      '    provider: mpesa',
      '    upstream: ${UPSTREAM}',
      '    headers: {x-key: "${KEY}"}',
      '    timeout: ${TIMEOUT}',
      '    allow: ["${ALLOW}"]',
      '    credentials: {consumer_key: "${K}", consumer_secret: "${file:/gone}"}',
      '  /jpay/*: {provider: jpay}',
      '  /jeel/*: {provider: jeel, credentials: {client_id: ""}}',
      '  /acme/*:',
      '    upstream: ${ACME}',
      '    credentials: {id: "${ID}"}',
      '    token: {request: {path: /t, json: {id: "{id}"}}, response: {access_token: t}}',
      '  /static/*: {provider: static, upstream: "${STATIC}"}',
      '',
    ].join('\n');
    const { routes } = good(text, options);
    expect(routes.map((route) => [route.name, [...route.credentials.keys()]])).toEqual([
      ['/mpesa/*', ['consumer_key', 'consumer_secret', 'certificate']],
      ['/jpay/*', ['app_key', 'app_secret']],
      ['/jeel/*', ['client_id', 'client_secret']],
      ['/acme/*', ['id']],
      ['/static/*', ['token']],
    ]);
    expect(routes[0]).toMatchObject({ timeoutMs: 60_000, allow: undefined, headers: [] });
    expect(problemsOf(text).length).toBeGreaterThan(10);
  });

  it('reports every other problem', () => {
    const text = [
      'listen: ${LISTEN}',
      'routes:',
      '  /mpesa/*:',
      '    provider: ${PROVIDER}',
      '  /jpay/*:',
      '    provider: jpay',
      '    timeout: 60',
      '    credentials: {app_kye: "${X}", app_secret: "${"}',
      '  /static/*: {provider: static}',
      '',
    ].join('\n');
    expect(problemsOf(text, options)).toEqual([
      '1:9 listen | listen: environment variable `LISTEN` is not set',
      '4:15 routes./mpesa/*.provider | routes./mpesa/*.provider: environment variable `PROVIDER` is not set',
      expect.stringMatching(/^7:14 routes\.\/jpay\/\*\.timeout /),
      expect.stringMatching(/^8:19 routes\.\/jpay\/\*\.credentials\.app_kye .*did you mean `app_key`/),
      expect.stringMatching(/^8:48 routes\.\/jpay\/\*\.credentials\.app_secret .*without a closing/),
      expect.stringMatching(/^9:3 routes\.\/static\/\*\.upstream /),
    ]);
  });

  it('needs the values without which a route cannot be resolved', () => {
    const text = [
      'routes:',
      '  /acme/*:',
      '    upstream: ${ACME}',
      '    token: {request: {path: "${PATH_OF_TOKEN}"}, response: {access_token: t}}',
      '',
    ].join('\n');
    expect(problemsOf(text, options)).toEqual([
      expect.stringMatching(/^3:15 .*`ACME` is not set/),
      expect.stringMatching(/^4:29 .*`PATH_OF_TOKEN` is not set/),
    ]);
  });
});

describe('the configuration without a file', () => {
  it('has a sandbox route for every provider with hosts', () => {
    const config = defaultConfig();
    expect(config.routes.map((route) => [route.name, route.provider.name, route.environment])).toEqual([
      ['/jpay/*', 'jpay', 'sandbox'],
      ['/mpesa/*', 'mpesa', 'sandbox'],
      ['/jeel/*', 'jeel', 'sandbox'],
      ['/paypack/*', 'paypack', 'sandbox'],
    ]);
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8080 });
  });

  it('listens on the given address', () => {
    expect(defaultConfig({ listen: { host: '::1', port: 0 }, admin: false })).toMatchObject({
      listen: { host: '::1', port: 0 },
      admin: undefined,
    });
  });
});

describe('a secret', () => {
  const CANARY = 'canary-5ecret-value-{consumer_key}';
  const env = { CANARY };
  const places = [
    'credentials: {consumer_key: "${CANARY}", consumer_secret: "${CANARY}"}',
    'headers: {x-key: "Key ${CANARY}"}',
    'token: {request: {headers: {x-key: "${CANARY}"}, query: {k: "${CANARY}"}, basic: {username: "${CANARY}", password: "${CANARY}"}}}',
  ];

  it('does not appear in a printed configuration', () => {
    const head = `clients: [{name: a, key: "\${CANARY}"}]\nroutes:\n  /mpesa/*:\n    provider: mpesa\n`;
    const config = good(`${head}${places.map((line) => `    ${line}\n`).join('')}`, { env });
    expect(config.routes[0]?.credentials.get('consumer_key')?.reveal()).toBe(CANARY);
    for (const printed of [JSON.stringify(config), inspect(config, { depth: Infinity, showHidden: true })]) {
      expect(printed).not.toContain('canary');
    }
  });

  const everyKey = [
    'environment', 'upstream', 'auth_server', 'encoding', 'timeout', 'connect_timeout', 'max_body', 'replay_limit',
    'replay', 'token_paths', 'max_concurrency', 'websocket', 'provider', 'credentials', 'token', 'headers', 'allow',
    'tls', 'egress_proxy', 'allow_addresses', 'host_header', 'max_response_header', 'rewrite_location',
  ]; // prettier-ignore
  const topKeys = ['listen', 'admin', 'environment', 'routes', 'clients', 'open', 'allowed_hosts', 'allowed_origins',
    'max_connections', 'drain_timeout', 'log', 'egress_proxy']; // prettier-ignore

  it.each([
    ...everyKey.flatMap((key) => [
      `routes: {/a/*: {${key}: "\${CANARY}"}}`,
      `routes: {/a/*: {${key}: ["\${CANARY}"]}}`,
    ]),
    ...everyKey.map((key) => `routes: {/a/*: {provider: static, ${key}: {token: "\${CANARY}", status: "\${CANARY}"}}}`),
    ...topKeys.flatMap((key) => [`${key}: "\${CANARY}"`, `${key}: ["\${CANARY}"]`, `${key}: {level: "\${CANARY}"}`]),
    'clients: [{name: "${CANARY}", key: "${CANARY}", routes: ["${CANARY}"]}, {name: "${CANARY}", key: "${CANARY}"}]',
    'clients: [{name: a, key: "${CANARY} ", routes: ["${CANARY}"]}]',
    'admin: {address: "127.0.0.1:1", token: "${CANARY} "}\nallowed_hosts: ["${CANARY}"]',
    ...['cert', 'key', 'client_ca'].map((k) => `listen: {address: "127.0.0.1:1", tls: {${k}: "\${CANARY}"}}`),
    ...['ca', 'cert', 'key', 'pfx', 'passphrase', 'server_name', 'min_version'].map(
      (k) => `routes: {/a/*: {provider: mpesa, tls: {${k}: "\${CANARY} "}}}`,
    ),
    ...['http://u:${CANARY}', 'http://h/${CANARY}', '${CANARY}://h', 'http://${CANARY}%@h', 'socks5://${CANARY}'].map(
      (url) => `egress_proxy: "${url}"`,
    ),
    'listen: {address: "127.0.0.1:1", tls: {cert: "${CANARY}", key: "${CANARY}", client_ca: "${CANARY}"}}',
    'routes: {/a/*: {replay: ["${CANARY}"], allow: ["${CANARY}", "GET ${CANARY}", "${CANARY} /x"]}}',
    'routes: {/a/*: {upstream: "https://x:${CANARY}@h", auth_server: "https://h/?${CANARY}"}}',
    'routes: {/a/*: {token: {request: {path: "${CANARY}", url: "${CANARY}", json: {a: "{x}${CANARY}"}}, response: {access_token: ".${CANARY}"}}}}',
  ])('does not appear in a message about %s', (text) => {
    const { problems, warnings } = validateText(`${text}\n`, { env });
    expect(problems.length).toBeGreaterThan(0);
    expect(JSON.stringify([problems, warnings])).not.toContain('canary');
  });
});
