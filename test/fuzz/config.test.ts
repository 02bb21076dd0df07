import { describe, expect, it } from 'vitest';
import { isScalar, parseDocument, visit } from 'yaml';
import { validateConfig } from '../../src/config/load.ts';
import { type Chance, fuzz } from './random.ts';

const FILE = 'proxy.config.yaml';
/** The secrets in files, variables and texts. None of them may be shown. */
const SECRETS = {
  KEY: 'canary-key-0123456789',
  SECRET: 'canary-secret-0123456789',
  CLIENT: 'canary-client-0123456789',
  ADMIN: 'canary-admin-0123456789',
  IN_FILE: 'canary-file-0123456789',
  IN_ENV: 'canary-env-0123456789',
  DEFAULT: 'canary-default-0123456789',
  HEADER: 'canary-header-0123456789',
};
const { KEY, SECRET, CLIENT, ADMIN, IN_FILE, IN_ENV, DEFAULT, HEADER } = SECRETS;

const ENV = { MPESA_KEY: IN_ENV, EMPTY: '', PORT: '8443', LIST: '[1, 2]', YAML: `a: ${IN_ENV}`, LONG: `${IN_ENV}\n` };
const DISK: Readonly<Record<string, string>> = {
  '/run/secret': `${IN_FILE}\n`,
  '/run/empty': '',
  '/run/pem': `-----BEGIN PRIVATE KEY-----\n${IN_FILE}\n`,
};

const CORPUS: readonly string[] = [
  `listen: 127.0.0.1:8080
admin: { address: 0.0.0.0:9901, token: "${ADMIN}" }
environment: sandbox
clients:
  - { name: shop, key: "${CLIENT}", routes: [/mpesa/*] }
allowed_hosts: [wakala.internal, proxy.test:8443]
allowed_origins: [https://app.example]
max_connections: 100
drain_timeout: 25s
log: { level: info, format: json }
routes:
  /mpesa/*:
    provider: mpesa
    credentials:
      consumer_key: "\${MPESA_KEY}"
      consumer_secret: \${file:/run/secret}
    timeout: 60s
    max_body: 10MiB
    replay: [GET, POST]
    allow: ["POST /mpesa/*", "GET /*"]
`,
  `routes:
  /api/*:
    upstream: https://api.example/v1
    auth_server: https://auth.example
    credentials: { key: "${KEY}", secret: '${SECRET}' }
    headers: { X-Key: "{key}", X-Fixed: "${HEADER}", X-Env: "\${MPESA_KEY:-${DEFAULT}}" }
    token:
      request: { method: POST, path: /token, basic: ["{key}", "{secret}"], form: { grant_type: client_credentials } }
      response: { access_token: data.token, expires_in: ttl, refresh_token: refresh }
      refresh: { request: { path: "/refresh/{refresh_token}" } }
      default_lifetime: 5m
      dead_token: [{ status: 401 }, { status: 403, body: { code: 7 } }]
`,
  `listen: { address: 0.0.0.0:8443, tls: { cert: /run/pem, key: "\${file:/run/pem}", client_ca: /run/secret } }
x: &route { provider: jpay, credentials: &both { app_key: ${KEY}, app_secret: "${SECRET}" } }
routes:
  /jpay/*: { <<: *route, environment: production, websocket: true, token_paths: refuse }
  /jpay/deep/*: { provider: jpay, credentials: *both, max_concurrency: 5, replay_limit: 64KiB, connect_timeout: 5s }
  /*: { provider: static, upstream: "http://localhost:1", credentials: { token: ${KEY} } }
`,
];

const PIECES: readonly string[] = [
  ...[
    '\n',
    '\n  ',
    ': ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    "'",
    '|\n',
    '>-\n',
    '#',
    '&a ',
    '*a',
    '*both',
    '<<: ',
    '? ',
    '!!binary ',
  ],
  ...[
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '\t',
    '\0',
    '\ufeff',
    '\u2028',
    '\ud800',
    '\\',
    '@',
    '`',
    '!tag ',
    '!!set ',
    '!!js/function ',
  ],
  ...[
    '${',
    '}',
    '${MPESA_KEY}',
    '${NOPE}',
    '${NOPE:-',
    '${file:/run/secret}',
    '${file:/nope}',
    '${file:',
    '${EMPTY}',
    '${YAML}',
    '${LIST}',
    '$$',
    '${LONG}',
  ],
  ...[
    'null',
    '~',
    'true',
    '0',
    '-1',
    '1e999',
    '0x1f',
    '.inf',
    '.nan',
    '2026-01-01',
    '99999999999999999999',
    '1s',
    '1d',
    '10XB',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'provider',
    'mpeza',
    'credentials',
    'consumer_kez',
    'routes',
    '/mpesa/*',
    '/../*',
    '/*',
    'clients',
  ],
  ...[
    'http://',
    'https://user:pw@x',
    'http://169.254.169.254',
    'localhost:8080',
    '[::1]:80',
    '*/*',
    '{key}',
    '{nope}',
    '{refresh_token}',
  ],
  ...[
    'client_ca',
    '/run/pem',
    '/run/empty',
    '-----BEGIN CERTIFICATE-----',
    'a'.repeat(300),
    '['.repeat(200),
    '{a: '.repeat(100),
    '- '.repeat(150),
  ],
];

function file(chance: Chance): string {
  const whole = chance.pick(CORPUS);
  return chance.oneIn(30) ? whole : chance.mutate(whole, PIECES, 5);
}

function examine(text: string) {
  const readFile = (path: string) => {
    const found = path === FILE ? text : DISK[path];
    if (found === undefined) throw Object.assign(new Error('not there'), { code: 'ENOENT' });
    return found;
  };
  return validateConfig(FILE, { env: ENV, readFile, fileMode: () => 0o600, nowMs: 0 });
}

/** Every key with a value. A secret in the place of a key looks like a key. */
function keysOf(text: string): string {
  const keys: string[] = [];
  const shown = (node: unknown) => (isScalar(node) ? String(node.value) : JSON.stringify(node));
  visit(parseDocument(text, { logLevel: 'silent' }), {
    Pair(_, { key, value }) {
      if (value !== null && !(isScalar(value) && value.value === null)) keys.push(shown(key));
    },
  });
  return keys.join('\n');
}

const seen = { good: 0, bad: 0 };

function check(text: string): void {
  const { config, problems, warnings } = examine(text);
  seen[config === undefined ? 'bad' : 'good'] += 1;
  if ((config === undefined) !== problems.length > 0) throw new Error('neither a configuration nor problems, or both');
  const lines = text.split('\n').length;
  for (const { line, column, message } of [...problems, ...warnings]) {
    if (!(line >= 1 && line <= lines + 1 && column >= 1)) throw new Error(`at ${line}:${column} of ${lines} lines`);
    if (message.trim() === '' || /\n/.test(message)) throw new Error(`the message ${JSON.stringify(message)}`);
  }
  const shown = [...problems, ...warnings].map(({ key, message }) => `${key}: ${message}`).join('\n');
  const known = keysOf(text);
  const secret = Object.values(SECRETS).find((each) => shown.includes(each) && !known.includes(each));
  if (secret !== undefined) throw new Error(`it shows ${secret}: ${shown}`);
}

describe('any configuration file', () => {
  it(
    'gives a configuration or problems with valid positions, never throws, and shows no secret',
    { timeout: 120_000 },
    async () => {
      await fuzz({ name: 'configuration files', count: 4000, make: file, check });
      expect(Math.min(seen.good, seen.bad)).toBeGreaterThan(40);
    },
  );
});
