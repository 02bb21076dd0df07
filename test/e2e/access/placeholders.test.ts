import { createHmac } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../../src/emulators/emulator.ts';
import { valueAt } from '../../../src/json.ts';
import { sampleBody } from '../../../src/providers/provider.ts';
import { isRequested } from '../../../src/providers/provider.ts';
import { providerNamed } from '../../../src/providers/registry.ts';
import { expectProblem, type ProxyResponse, sendJson, sendRequest } from '../../support/proxy-client.ts';
import { ShiftedClock } from '../../support/proxy-clock.ts';
import { routeToEmulator, startProxy } from '../../support/proxy-server.ts';
import { basic, bearer } from './support.ts';

const LOGINS = {
  jpay: ['POST', '/auth/app/token'],
  mpesa: ['GET', '/oauth/v1/generate?grant_type=client_credentials'],
  jeel: ['POST', '/oauth2/token'],
  paypack: ['POST', '/auth/agents/authorize'],
} as const;
type Name = keyof typeof LOGINS;
const NAMES = Object.keys(LOGINS) as Name[];

/** One client for each route, and one for all. */
const ADMIN = { name: 'admin', key: 'admin-key-0123456789' };
const clientOf = (name: string) => ({ name, key: `${name}-key-0123456789`, routes: [`/${name}/*`] });
const EVERYONE = [ADMIN, ...NAMES.map(clientOf)];

interface Listed {
  readonly name: string;
  readonly key: string;
}

/** Emulated providers, and any number of proxies in front of them. */
async function start(...names: Name[]) {
  const clock = new ShiftedClock();
  const started = await Promise.all(
    names.map(async (name) => {
      const emulator = await startEmulator(providerNamed(name)!, { port: 0, authPort: 0, clock });
      onTestFinished(() => emulator.close());
      return [`/${name}/*`, routeToEmulator(emulator)] as const;
    }),
  );
  const routes = Object.fromEntries(started);
  const proxy = async (clients: readonly Listed[] | undefined) => {
    const listed = clients?.map((client) => ({ ...client, routes: routesOf(client) }));
    return (await startProxy({ routes, ...(listed && { clients: listed }) }, clock)).port;
  };
  const routesOf = ({ name }: Listed) => (`/${name}/*` in routes ? [`/${name}/*`] : undefined);
  return { clock, proxy };
}

function login(port: number, name: Name, client: Listed | undefined): Promise<ProxyResponse> {
  const [method, path] = LOGINS[name];
  const body = method === 'POST' ? JSON.stringify({ client_id: 'theirs' }) : undefined;
  return sendRequest(port, `/${name}${path}`, { method, headers: client ? basic(client) : {}, ...(body && { body }) });
}

async function placeholder(
  port: number,
  name: Name,
  client: Listed | undefined,
  kind: 'access' | 'refresh' = 'access',
) {
  const response = await login(port, name, client);
  expect(response.status).toBe(200);
  const { token } = providerNamed(name)!;
  if (!isRequested(token)) throw new Error('never asked for');
  const field = kind === 'access' ? token.response.accessToken : (token.response.refreshToken ?? '');
  return String(valueAt(response.json(), field)).replace(/^Bearer /, '');
}

function call(port: number, name: Name, token: string): Promise<ProxyResponse> {
  const { samples } = providerNamed(name)!;
  return sendJson(port, `/${name}${samples.call.path}`, sampleBody({ samples }), bearer(token));
}

const UNAUTHORIZED = { status: 401, code: 'client_unauthorized', outcome: 'not_sent' } as const;

describe.each(NAMES)('a login to %s with the name and key of a client', (name) => {
  it('has the format of the provider and contains no key', async () => {
    const { proxy } = await start(name);
    const response = await login(await proxy(EVERYONE.slice(0, 1)), name, ADMIN);
    const sample = providerNamed(name)!.samples.tokenResponse;
    expect(response.status).toBe(200);
    const types = (object: object) => Object.entries(object).map(([key, value]) => [key, typeof value]);
    expect(types(response.json())).toEqual(types(sample));
    expect(response.text).not.toContain(ADMIN.key);
  });

  it('returns a placeholder that is valid for calls without name and key', async () => {
    const { proxy } = await start(name);
    const port = await proxy(EVERYONE.filter((client) => client.name === name));
    expect((await call(port, name, await placeholder(port, name, clientOf(name)))).status).toBe(200);
  });

  it('is refused with a wrong key', async () => {
    const { proxy } = await start(name);
    const port = await proxy([ADMIN]);
    expectProblem(await login(port, name, { ...ADMIN, key: 'wrong-key-0123456789' }), UNAUTHORIZED);
    expectProblem(await login(port, name, undefined), UNAUTHORIZED);
  });
});

describe('a placeholder', () => {
  it('is valid only for the routes of its client, whichever login it came from', async () => {
    const { proxy } = await start('mpesa', 'jpay');
    const port = await proxy([ADMIN, clientOf('mpesa'), clientOf('jpay')]);
    const token = await placeholder(port, 'mpesa', clientOf('mpesa'));
    expect((await call(port, 'mpesa', token)).status).toBe(200);
    expectProblem(await call(port, 'jpay', token), { status: 403, code: 'client_forbidden', outcome: 'not_sent' });
    expect((await call(port, 'jpay', await placeholder(port, 'mpesa', ADMIN))).status).toBe(200);
    expectProblem(await login(port, 'jpay', clientOf('mpesa')), { status: 403, code: 'client_forbidden' });
  });

  it('is refused after one hour', async () => {
    const { clock, proxy } = await start('jpay');
    const port = await proxy([ADMIN]);
    const token = await placeholder(port, 'jpay', ADMIN);
    clock.shiftMs = 3590_000;
    expect((await call(port, 'jpay', token)).status).toBe(200);
    clock.shiftMs = 3600_000;
    expectProblem(await call(port, 'jpay', token), UNAUTHORIZED);
  });

  it('is valid on another replica with the same clients', async () => {
    const { proxy } = await start('paypack');
    const [here, there] = [await proxy([ADMIN]), await proxy([clientOf('paypack'), ADMIN])];
    expect((await call(there, 'paypack', await placeholder(here, 'paypack', ADMIN))).status).toBe(200);
  });

  it('is refused if its client was removed or has another key', async () => {
    const { proxy } = await start('jeel');
    const token = await placeholder(await proxy([ADMIN]), 'jeel', ADMIN);
    expectProblem(await call(await proxy([clientOf('jeel')]), 'jeel', token), UNAUTHORIZED);
    const rotated = await proxy([{ ...ADMIN, key: 'rotated-key-0123456789' }]);
    expectProblem(await call(rotated, 'jeel', token), UNAUTHORIZED);
    const renamed = await proxy([{ ...ADMIN, name: 'root' }]);
    expectProblem(await call(renamed, 'jeel', token), UNAUTHORIZED);
  });

  it.each(['jpay', 'paypack'] as const)('of %s for refreshing is not valid for calls', async (name) => {
    const { proxy } = await start(name);
    const port = await proxy([ADMIN]);
    expectProblem(await call(port, name, await placeholder(port, name, ADMIN, 'refresh')), UNAUTHORIZED);
  });

  it('of a proxy without clients is not valid on one with clients', async () => {
    const { proxy } = await start('mpesa');
    const [open, guarded] = [await proxy(undefined), await proxy([ADMIN])];
    const token = await placeholder(open, 'mpesa', undefined);
    expect((await call(open, 'mpesa', token)).status).toBe(200);
    expectProblem(await call(guarded, 'mpesa', token), UNAUTHORIZED);
  });

  it('of one client cannot be changed into that of another by editing its claims', async () => {
    const { proxy } = await start('mpesa');
    const port = await proxy([ADMIN, clientOf('mpesa')]);
    const token = await placeholder(port, 'mpesa', clientOf('mpesa'));
    const [mark = '', payload = '', signature = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const sealed = (changed: object, key: string | undefined) => {
      const text = Buffer.from(JSON.stringify({ ...claims, ...changed })).toString('base64url');
      const made = key && createHmac('sha256', key).update(`wakala-placeholder.${text}`).digest('base64url');
      return `${mark}.${text}.${made ?? signature}`;
    };
    const forged = [
      sealed({ sub: 'admin' }, undefined),
      sealed({ exp: 1e12 }, undefined),
      sealed({ sub: 'admin' }, clientOf('mpesa').key),
      sealed({ sub: 'nobody' }, clientOf('mpesa').key),
      sealed({ sub: '' }, ''),
      sealed({ iss: 'evil' }, clientOf('mpesa').key),
      sealed({ exp: 'never' }, clientOf('mpesa').key),
      sealed({ exp: null }, clientOf('mpesa').key),
      `${mark}.${payload}.${signature.slice(0, -1)}`,
      `${mark}.${payload}.${signature}A`,
      `${mark}.${payload}.${'é'.repeat(signature.length)}`,
      `${mark}.${Buffer.from('null').toString('base64url')}.${signature}`,
      signature,
    ];
    for (const bad of forged) {
      expectProblem(await call(port, 'mpesa', bad), UNAUTHORIZED);
    }
    expect((await call(port, 'mpesa', token)).status).toBe(200);
  });
});

describe.each(NAMES)('a login to %s with a placeholder', (name) => {
  /** Logs in again and again, each time with the placeholder that came before. */
  async function chained(hours: readonly number[]) {
    const { clock, proxy } = await start(name);
    const port = await proxy([ADMIN]);
    const tokens = [await placeholder(port, name, ADMIN)];
    for (const hour of hours) {
      clock.shiftMs = hour * 3600_000;
      tokens.push(tokenIn(await loginWith(port, name, bearer(tokens.at(-1)!)), name));
    }
    return { clock, port, tokens };
  }

  it('returns a placeholder with the same expiry, however often it is repeated', async () => {
    const { clock, port, tokens } = await chained([0.25, 0.5, 0.75, 0.9]);
    clock.shiftMs = 3400_000;
    for (const token of tokens) expect((await call(port, name, token)).status).toBe(200);
    clock.shiftMs = 3600_000;
    for (const token of tokens) {
      expectProblem(await call(port, name, token), UNAUTHORIZED);
      expectProblem(await loginWith(port, name, bearer(token)), UNAUTHORIZED);
    }
  });

  it('returns a refresh token with the same expiry, and says so in the response', async () => {
    const { clock, proxy } = await start(name);
    const port = await proxy([ADMIN]);
    const first = await placeholder(port, name, ADMIN);
    clock.shiftMs = 1800_000;
    const json = (await loginWith(port, name, bearer(first))).json();
    const { token } = providerNamed(name)!;
    if (!isRequested(token)) throw new Error('never asked for');
    const { accessToken, refreshToken, expiresIn } = token.response;
    for (const field of [accessToken, ...(refreshToken === undefined ? [] : [refreshToken])]) {
      expect(claimsOf(String(valueAt(json, field)))).toMatchObject({ exp: claimsOf(first).exp });
    }
    if (expiresIn !== undefined) expect(Number(valueAt(json, expiresIn))).toBeLessThanOrEqual(1800);
  });

  it('returns a placeholder for a whole hour if the other header has the key', async () => {
    const { clock, proxy } = await start(name);
    const port = await proxy([ADMIN]);
    const first = await placeholder(port, name, ADMIN);
    clock.shiftMs = 1800_000;
    const withKey = { ...bearer(first), 'proxy-authorization': bearer(ADMIN.key).authorization };
    const second = tokenIn(await loginWith(port, name, withKey), name);
    clock.shiftMs = 5000_000;
    expect((await call(port, name, second)).status).toBe(200);
  });
});

function loginWith(port: number, name: Name, headers: Record<string, string>): Promise<ProxyResponse> {
  const [method, path] = LOGINS[name];
  return sendRequest(port, `/${name}${path}`, { method, headers, ...(method === 'POST' && { body: '{}' }) });
}

function tokenIn(response: ProxyResponse, name: Name): string {
  expect(response.status).toBe(200);
  const { token } = providerNamed(name)!;
  if (!isRequested(token)) throw new Error('never asked for');
  return String(valueAt(response.json(), token.response.accessToken)).replace(/^Bearer /, '');
}

function claimsOf(token: string): { exp: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp: number };
}
