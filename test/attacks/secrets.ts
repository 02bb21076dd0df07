import type { IncomingMessage } from 'node:http';
import type { Attack } from './attack.ts';
import { handshake } from './resets.ts';
import type { Target } from './target.ts';

const API_KEY = 'api/key+0123456789abcdef==';

/** How a provider may encode a secret that it returns. */
const SPELLINGS: Readonly<Record<string, (secret: string) => string>> = {
  literal: (secret) => secret,
  'percent-encoded': encodeURIComponent,
  'fully percent-encoded': (secret) =>
    [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  'as in JSON': (secret) => secret.replaceAll('/', '\\/'),
  'unicode escapes': (secret) =>
    Array.from(secret, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  'HTML entities': (secret) => Array.from(secret, (character) => `&#${character.charCodeAt(0)};`).join(''),
  base64: (secret) => Buffer.from(secret).toString('base64'),
  'base64url of a header': (secret) => Buffer.from(`Bearer ${secret}`).toString('base64url'),
};

/** A `sign` rule that computes a password with a time. */
const PASSWORD_RULE = {
  calls: ['* /*'],
  values: {
    time: { now: 'epoch_ms' },
    password: { text: '{api_key}/{time}', encoding: 'base64' },
  },
  headers: { 'X-Password': '{password}' },
};

/** The secrets in a request to the provider. */
function secretsIn({ headers }: IncomingMessage): string[] {
  const { authorization = '', 'x-api-key': key = '', 'x-password': password = [] } = headers;
  return [authorization.replace(/^Bearer /, ''), key, password].flat();
}

/** Header lines with every encoding of the secrets. */
function echoHeaders(secrets: readonly string[]): string[] {
  return secrets.flatMap((secret, i) =>
    Object.values(SPELLINGS).map((spell, n) => `X-Echo-${i}-${n}: before ${spell(secret)} after`),
  );
}

/** @throws Error if the text contains one of the secrets in any encoding */
function expectAbsent(text: string, secrets: readonly string[], where: string): void {
  const names = ['the token', 'a credential of `headers`', 'a computed value'];
  for (const [i, secret] of secrets.entries()) {
    for (const [spelling, spell] of Object.entries(SPELLINGS)) {
      if (text.includes(spell(secret))) throw new Error(`${names[i]} is in ${where} (${spelling})`);
    }
  }
}

/** @throws Error if the provider did not get a token, a credential and a computed value */
function expectAllSent(sent: readonly string[]): void {
  if (sent.length !== 3 || sent.includes('')) throw new Error(`the provider got ${sent.length} of 3 secrets`);
}

export const spelledSecrets: Attack = {
  row: 14,
  promise: 'no encoding of a secret is returned in a response head',
  prepare: (provider) => {
    const name = 'spelled';
    let sent: readonly string[] = [];
    provider.on(name, (req, res) => {
      sent = secretsIn(req);
      const [token = ''] = sent;
      const reason = req.url?.endsWith('/reason') === true ? encodeURIComponent(token) : 'OK';
      const lines = [`HTTP/1.1 200 ${reason}`, ...echoHeaders(sent), 'X-Kept: 1', 'Content-Length: 2', '', '{}'];
      res.socket?.end(lines.join('\r\n'));
    });
    provider.onUpgrade(name, (req, socket) => {
      const status = req.url?.endsWith('/101') === true ? '101 Switching Protocols' : '403 Forbidden';
      const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'X-Kept: 1'];
      sent = secretsIn(req);
      socket.write([`HTTP/1.1 ${status}`, ...upgrade, ...echoHeaders(sent), '', ''].join('\r\n'));
      if (!status.startsWith('101')) socket.end();
    });
    const settings = {
      credentials: { key: name, api_key: API_KEY },
      headers: { 'X-Api-Key': '{api_key}' },
      sign: [PASSWORD_RULE],
      websocket: true,
    };
    return {
      routes: { '/spelled/*': provider.route(name, settings) },
      run: async (target) => {
        for (const path of ['/spelled/headers', '/spelled/reason']) {
          const head = await responseHead(target, getRequest(path));
          expectAllSent(sent);
          expectAbsent(head, sent, `the response to ${path}`);
        }
        for (const path of ['/spelled/101', '/spelled/403']) {
          const head = await responseHead(target, handshake(path));
          expectAllSent(sent);
          expectAbsent(head, sent, `the response to the handshake ${path}`);
        }
      },
    };
  },
};

export const splitSecrets: Attack = {
  row: 14,
  promise: 'a token split over two header lines is not returned',
  prepare: (provider) => {
    provider.on('split', (req, res) => {
      const [token = ''] = secretsIn(req);
      const half = Math.ceil(token.length / 2);
      res.socket?.end(
        [
          'HTTP/1.1 200 OK',
          `X-Half: ${token.slice(0, half)}`,
          `X-Half: ${token.slice(half)}`,
          'Content-Length: 2',
          '',
          '{}',
        ].join('\r\n'),
      );
    });
    return {
      routes: { '/split/*': provider.route('split') },
      run: async (target) => {
        const head = await responseHead(target, getRequest('/split/x'));
        const [token = ''] = provider.tokensOf('split');
        const joined = [...head.matchAll(/^x-half: (.*)\r$/gim)].map(([, half]) => half).join('');
        if (joined === token) throw new Error('the token was returned in two halves');
      },
    };
  },
};

export const secretsInInspector: Attack = {
  row: 14,
  promise: 'no encoding of a secret is shown by the inspector',
  appliesTo: ({ form }) => form === 'binary',
  prepare: (provider) => {
    const name = 'shown';
    provider.on(name, (req, res) => {
      const secrets = secretsIn(req);
      const spelled = secrets.flatMap((secret) => Object.values(SPELLINGS).map((spell) => spell(secret)));
      const body = spelled.join('\n');
      // The inspector shows the values of these headers.
      const shown = ['Server', 'ETag', 'Via', 'Content-Language', 'Vary'];
      const lines = shown.map(
        (header, i) => `${header}: ${spelled.filter((_, n) => n % shown.length === i).join(' ')}`,
      );
      const length = `Content-Length: ${Buffer.byteLength(body)}`;
      res.socket?.end(['HTTP/1.1 404 Not Found', ...lines, 'Content-Type: text/plain', length, '', body].join('\r\n'));
    });
    return {
      routes: {
        '/shown/*': provider.route(name, {
          credentials: { key: name, api_key: API_KEY },
          headers: { 'X-Api-Key': '{api_key}' },
        }),
      },
      run: async (target) => {
        await target.sendRequest('/shown/x');
        const { text } = await target.sendAdminRequest('/api/requests?route=/shown/*');
        const { requests } = JSON.parse(text) as { requests: { id: string }[] };
        const [{ id } = { id: '' }] = requests;
        for (const path of ['/api/requests', `/api/requests/${id}`, `/requests/${id}`]) {
          const page = await target.sendAdminRequest(path);
          if (page.status !== 200) throw new Error(`${path} got ${page.status}`);
          // Undo the escaping of JSON and HTML.
          const text = page.text.replaceAll('\\\\', '\\').replaceAll('&amp;', '&').replaceAll('&#39;', "'");
          expectAbsent(text, [provider.tokensOf(name).at(-1) ?? '', API_KEY], path);
        }
      },
    };
  },
};

function getRequest(path: string): string {
  return handshake(path).replace(/^(?:Connection|Upgrade|Sec-WebSocket-[\w-]+):.*\r\n/gm, '');
}

/** Sends the bytes and returns the head of the response. */
async function responseHead(target: Target, bytes: string): Promise<string> {
  const wire = await target.open();
  try {
    wire.send(bytes);
    const [head] = await wire.waitFor(/^HTTP\/1\.1 \d{3}[^]*?\r\n\r\n/);
    return head;
  } finally {
    wire.close();
  }
}
