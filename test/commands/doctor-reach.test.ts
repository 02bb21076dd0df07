import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import tls from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { checkEndpoint } from '../../src/commands/doctor/network-checks.ts';
import { checkEnvironment } from '../../src/commands/doctor/diagnose.ts';
import type { Probes } from '../../src/commands/doctor/probes.ts';
import { guardedLookup } from '../../src/http/ip-address.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { fixedToken } from '../../src/providers/static.ts';
import { issue } from '../config/certificate.ts';
import { freePort } from '../support/free-port.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  brokenLookup,
  diagnosed,
  everyNameIsHere,
  mpesaRoute,
  serve,
  serveSockets,
  serveTls,
  tokens,
  containing,
  matching,
} from './doctor-support.ts';

const DAY_MS = 86_400_000;

function endpoint(origin: string, world: Partial<Probes> = {}) {
  const transport = () => Promise.reject(new Error('nobody asks for a token here'));
  return checkEndpoint(origin, { clock: systemClock, lookup: guardedLookup, transport, ...world });
}

describe('the name of a host', () => {
  it.each([
    ['ENOTFOUND', 'there is no host named api.nowhere.invalid', 'how it is spelt'],
    ['EAI_AGAIN', 'no resolver could be reached', '/etc/resolv.conf'],
    ['LINK_LOCAL_ADDRESS', 'leads to a link-local or metadata address', 'who changed its DNS entry'],
    ['EAI_FAIL', 'looking api.nowhere.invalid up failed (EAI_FAIL)', '/etc/resolv.conf'],
  ])('that cannot be looked up says so: %s', async (code, saw, remedy) => {
    const { dns, tcp, tls } = await endpoint('https://api.nowhere.invalid', { lookup: brokenLookup(code) });
    expect(dns).toMatchObject({ result: 'failed', fault: 'unreachable' });
    expect(dns.saw).toContain(saw);
    expect(dns.remedy).toContain(remedy);
    expect([tcp.result, tls.result]).toEqual(['skipped', 'skipped']);
  });

  it('is given up on after 5 s without an answer, and not before', async () => {
    const clock = new ManualClock();
    let over = false;
    const found = endpoint('https://api.nowhere.invalid', { clock, lookup: () => undefined });
    void found.finally(() => (over = true));
    await clock.advance(4999);
    expect(over).toBe(false);
    await clock.advance(1);
    expect((await found).dns).toMatchObject({ result: 'failed', saw: containing('within 5 s') });
  });

  it('is told with the first of its addresses', async () => {
    const lookup: LookupFunction = (_, __, callback) =>
      callback(null, [
        { address: '127.0.0.1', family: 4 },
        { address: '::1', family: 6 },
      ]);
    const port = await serveSockets();
    const { dns } = await endpoint(`http://api.example:${port}`, { lookup });
    expect(dns).toMatchObject({ result: 'ok', saw: 'api.example is 127.0.0.1 and 1 more' });
  });

  it('may not be a metadata address', async () => {
    const { dns, tcp } = await endpoint('http://169.254.169.254');
    expect([dns.result, tcp.result]).toEqual(['failed', 'skipped']);
  });
});

describe('a connection', () => {
  it('is there, or refused', async () => {
    expect((await endpoint(`http://127.0.0.1:${await serveSockets()}`)).tcp.result).toBe('ok');
    const port = await freePort();
    expect((await endpoint(`http://127.0.0.1:${port}`)).tcp).toMatchObject({
      result: 'failed',
      fault: 'unreachable',
      saw: `127.0.0.1:${port} refused the connection`,
    });
  });

  it('is given up after 5 s', async () => {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<undefined>();
    let lookups = 0;
    // The first answers the check of the name; the connection waits for the second.
    const lookup: LookupFunction = (...args) => {
      if (++lookups === 1) everyNameIsHere(...args);
      else asked.resolve(undefined);
    };
    const found = endpoint('http://api.example', { clock, lookup });
    await asked.promise;
    await clock.advance(5000);
    expect((await found).tcp).toMatchObject({ saw: 'api.example:80 did not answer within 5 s' });
    expect(clock.timers).toBe(0);
  });

  it('without a way there is told apart', async () => {
    let lookups = 0;
    const lookup: LookupFunction = (...args) =>
      ++lookups === 1 ? everyNameIsHere(...args) : brokenLookup('ENETUNREACH')(...args);
    const { tcp } = await endpoint('http://api.example', { lookup });
    expect(tcp).toMatchObject({ result: 'failed', saw: containing('there is no way from this machine') });
  });
});

describe('a certificate', () => {
  const authority = issue({ name: 'our own authority', isCa: true });
  const from = (days: number) => new Date(Date.now() + days * DAY_MS);

  beforeAll(() => tls.setDefaultCACertificates([...tls.getCACertificates('default'), authority.cert]));

  it('that is trusted is good, and says for how long', async () => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority, to: from(100.5) }));
    expect((await endpoint(`https://localhost:${port}`, { lookup: everyNameIsHere })).tls).toMatchObject({
      result: 'ok',
      saw: 'TLSv1.3, certificate good for 100 days more',
    });
    expect((await endpoint(`https://127.0.0.1:${port}`)).tls.result).toBe('ok');
  });

  it.each([
    [13.9, 'warning', '13 days'],
    [1.5, 'warning', '1 day'],
    [14.1, 'ok', '14 days'],
  ])('with %d days left gets: %s', async (days, result, saw) => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority, to: from(days) }));
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({ result, saw: `TLSv1.3, certificate good for ${saw} more` });
  });

  it.each([
    ['signed by itself', issue({ name: 'provider' }), 'is signed by itself', 'NODE_EXTRA_CA_CERTS'],
    [
      'of an unknown authority',
      issue({ name: 'provider', issuer: issue({ name: 'Middlebox\u001b[31m', isCa: true }) }),
      'was issued by `Middlebox?[31m`, whom',
      'NODE_EXTRA_CA_CERTS',
    ],
    [
      'that has expired',
      issue({ name: 'provider', issuer: authority, to: new Date('2024-05-06') }),
      'expired on 2024-05-06',
      'clock is wrong',
    ],
    [
      'that is not good yet',
      issue({ name: 'provider', issuer: authority, from: new Date('2048-05-06') }),
      'only from 2048-05-06 on',
      'clock is wrong',
    ],
  ])('%s is told', async (_, certificate, saw, remedy) => {
    const port = await serveTls(certificate);
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({ result: 'failed', fault: 'unreachable' });
    expect(found.tls.saw).toContain(saw);
    expect(found.tls.remedy).toContain(remedy);
  });

  it('for another name is told, with the names it is for', async () => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority }));
    const found = await endpoint(`https://api.example:${port}`, { lookup: everyNameIsHere });
    expect(found.tls).toMatchObject({
      result: 'failed',
      saw: 'the certificate is for localhost, 127.0.0.1, not for api.example',
    });
  });

  it('that nobody trusts keeps the credentials here: exit code 5', async () => {
    let requests = 0;
    const port = await serveTls(issue({ name: 'provider' }), (_, response) => response.end(String((requests += 1))));
    const base = `https://127.0.0.1:${port}`;
    const { code, check } = await diagnosed([mpesaRoute({ upstream: base, authServer: base })]);
    expect(check('tls').result).toBe('failed');
    expect(check('token')).toMatchObject({ result: 'skipped', saw: 'not asked: the token endpoint cannot be reached' });
    expect([code, requests]).toEqual([5, 0]);
  });

  it('of the API that is bad does not keep the token of another host from being asked for', async () => {
    const bad = `https://127.0.0.1:${await serveTls(issue({ name: 'provider' }))}`;
    const { code, check } = await diagnosed([mpesaRoute({ upstream: bad, authServer: await serve(tokens()) })]);
    expect([check('tls').result, check('auth_tcp').result, check('token').result]).toEqual(['failed', 'ok', 'ok']);
    expect(code).toBe(5);
  });

  it('is not there where nobody speaks TLS', async () => {
    const port = new URL(await serve(tokens())).port;
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({ result: 'failed', saw: `127.0.0.1:${port} does not speak TLS` });
  });

  it('is not there where the connection is cut', async () => {
    const port = await serveSockets((socket) => socket.once('data', () => socket.destroy()));
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({ result: 'failed', saw: containing('failed (ECONNRESET)') });
  });

  it('is waited for 5 s', async () => {
    const clock = new ManualClock();
    const greeted = Promise.withResolvers<unknown>();
    const port = await serveSockets((socket) => void once(socket, 'data').then(greeted.resolve, () => undefined));
    const found = endpoint(`https://127.0.0.1:${port}`, { clock });
    await greeted.promise;
    await clock.advance(5000);
    expect((await found).tls.saw).toContain('did not finish the TLS handshake within 5 s');
  });
});

describe('the environment of a route', () => {
  const sandbox = 'https://sandbox.safaricom.co.ke';
  const production = 'https://api.safaricom.co.ke';
  const at = (environment: 'sandbox' | 'production', upstream: string, authServer = upstream, provider = mpesa) =>
    checkEnvironment({ environment, upstream, authServer, provider });

  it('fits the hosts of the provider for it, and production is unmistakable', () => {
    expect(at('sandbox', sandbox)).toMatchObject({ result: 'ok', saw: 'sandbox, at the host of `mpesa` for it' });
    expect(at('production', production)).toMatchObject({
      result: 'ok',
      saw: matching(/^PRODUCTION \(real money\), at/),
    });
  });

  it.each([
    ['production', sandbox, sandbox, 'sandbox'],
    ['production', production, sandbox, 'sandbox'],
    ['sandbox', production, production, 'production'],
  ] as const)('%s does not fit %s with tokens from %s', (environment, upstream, authServer, other) => {
    expect(at(environment, upstream, authServer)).toMatchObject({
      result: 'failed',
      fault: 'wrong',
      remedy: `set \`environment: ${other}\` on the route, or leave the URL out of it`,
    });
  });

  it('that does not fit keeps the credentials here: exit code 1', async () => {
    let requests = 0;
    const api = await serve((_, response) => response.end(String((requests += 1))));
    const hosts = { sandbox: { api: 'http://127.0.0.1:1' }, production: { api } };
    const route = mpesaRoute({ provider: { ...mpesa, hosts }, upstream: api, authServer: api });
    const { code, check } = await diagnosed([route]);
    expect([check('environment').result, check('token').result]).toEqual(['failed', 'skipped']);
    expect([code, requests]).toEqual([1, 0]);
  });

  it.each([
    ['https://api.paystack.co', 'ok'],
    ['https://sandbox.paystack.co', 'warning'],
    ['https://api-test.paystack.co', 'warning'],
    ['https://latest.paystack.co', 'ok'],
    ['http://127.0.0.1:9000', 'warning'],
  ])('production at %s gets: %s', (upstream, result) => {
    expect(at('production', upstream, upstream, fixedToken).result).toBe(result);
  });
});
