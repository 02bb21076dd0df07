import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Client } from '../../src/config/config.ts';
import { verifyPlaceholder } from '../../src/proxy/login.ts';
import { Secret } from '../../src/secret.ts';
import { type Chance, fuzz } from './random.ts';

const NOW_MS = Date.UTC(2026, 0, 1, 9);
const NOW_S = NOW_MS / 1000;
const KEYS = { shop: 'shop-key-0123456789', till: 'till-key-0123456789', __proto__0: 'proto-key-0123456789' };
const clients = new Map<string, Client>(
  [
    ...Object.entries(KEYS).map(([name, key]) => ({ name, key: new Secret(key), routes: undefined })),
    { name: 'by-certificate', key: undefined, routes: undefined },
  ].map((client) => [client.name, client]),
);

const base64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const seal = (payload: string, key: string) =>
  createHmac('sha256', key).update(`wakala-placeholder.${payload}`).digest('base64url');

const NAMES = [...clients.keys(), '', 'nobody', '__proto__', 'toString', 'SHOP', 'shop ', null, 7, ['shop'], { a: 1 }];
const WRONG_KEYS = [
  '',
  'undefined',
  'null',
  '[redacted]',
  'shop',
  'unsigned',
  'wakala',
  'wakala-placeholder',
  KEYS.shop.slice(1),
];
const EXPIRIES = [
  NOW_S + 3600,
  NOW_S + 1,
  NOW_S,
  NOW_S - 1,
  0,
  -1,
  1e300,
  'never',
  '9999999999',
  null,
  [9e9],
  {},
  true,
];
const KINDS = ['access', 'access', 'access', 'refresh', 'ACCESS', '', null, undefined, ['access']];
const PIECES = [
  '.',
  '..',
  '=',
  '==',
  '-',
  '_',
  '+',
  '/',
  '%',
  'unsigned',
  base64({}),
  base64(null),
  base64('[]'),
  'e30',
  '\xe9',
  ' ',
];

interface Input {
  readonly token: string;
  /** The client whose key signed these claims, if the claims are valid. Only this client may be accepted. */
  readonly rightful: string | undefined;
}

function placeholder(chance: Chance): Input {
  const claims = {
    iss: chance.oneIn(10) ? chance.pick(['evil', '', null, 'Wakala', ['wakala']]) : 'wakala',
    sub: chance.oneIn(2) ? chance.pick(Object.keys(KEYS)) : chance.pick(NAMES),
    iat: NOW_S,
    exp: chance.oneIn(2) ? NOW_S + 3600 : chance.pick(EXPIRIES),
    kind: chance.pick(KINDS),
  };
  const payload = base64(claims);
  const { sub } = claims;
  const own = typeof sub === 'string' && Object.hasOwn(KEYS, sub) ? KEYS[sub as keyof typeof KEYS] : undefined;
  const key = own !== undefined && !chance.oneIn(3) ? own : chance.pick([...WRONG_KEYS, ...Object.values(KEYS)]);
  const header = chance.pick(['wakala-placeholder', base64({ alg: 'none', typ: 'JWT' }), '', 'x', payload]);
  const signature = chance.oneIn(6)
    ? chance.pick(['unsigned', '', payload, 'A'.repeat(43), '\xe9'.repeat(43)])
    : seal(payload, key);
  const whole = `${header}.${payload}.${signature}`;
  const good =
    claims.iss === 'wakala' && claims.kind === 'access' && typeof claims.exp === 'number' && claims.exp > NOW_S;
  const signed = own !== undefined && signature === seal(payload, own);
  const rightful = good && signed && typeof sub === 'string' ? sub : undefined;
  if (!chance.oneIn(3)) return { token: whole, rightful };
  const token = chance.mutate(whole, PIECES, 3);
  // The token stays valid only if claims and signature are unchanged.
  const [, payloadLeft, signatureLeft] = token.split('.');
  return { token, rightful: payloadLeft === payload && signatureLeft === signature ? rightful : undefined };
}

/** The client that the token authenticates. @throws Error if the expiry differs from the claims */
function nameOf({ token }: Input): string | undefined {
  const use = verifyPlaceholder(token, (name) => clients.get(name), NOW_MS);
  if (use === undefined) return undefined;
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp: unknown };
  if (use.expiresAtS !== exp) throw new Error(`it expires at ${use.expiresAtS}, not at ${String(exp)}`);
  return use.client.name;
}

describe('a placeholder', () => {
  it('authenticates only the client whose key signed it, and only until it expires', async () => {
    const opened = { yes: 0, no: 0 };
    await fuzz({
      name: 'placeholders',
      count: 50_000,
      make: placeholder,
      check: (input) => {
        const name = nameOf(input);
        if (name !== input.rightful) throw new Error(`it authenticates ${name}, not ${input.rightful}`);
        opened[name === undefined ? 'no' : 'yes'] += 1;
      },
    });
    expect(Math.min(opened.yes, opened.no)).toBeGreaterThan(200);
  });
});
