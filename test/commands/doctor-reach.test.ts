import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import tls from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { checkEndpoint } from '../../src/commands/doctor/network-checks.ts';
import type { Probes } from '../../src/commands/doctor/probes.ts';
import { checkEnvironment } from '../../src/commands/doctor/run-checks.ts';
import { guardedLookup } from '../../src/http/ip-address.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { fixedToken } from '../../src/providers/static.ts';
import { issue } from '../config/certificate.ts';
import { freePort } from '../support/free-port.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  brokenLookup,
  containing,
  diagnosed,
  everyNameIsHere,
  matching,
  mpesaRoute,
  serve,
  serveSockets,
  serveTls,
  tokens,
} from './doctor-support.ts';

const DAY_MS = 86_400_000;

function endpoint(origin: string, replaced: Partial<Probes> = {}) {
  return checkEndpoint(origin, 'upstream', { clock: systemClock, lookup: guardedLookup, ...replaced });
}

describe('the name of a host', () => {
  it.each([
    ['ENOTFOUND', 'no address for api.nowhere.invalid', 'is spelled in `upstream`'],
    ['EAI_AGAIN', 'did not respond, so api.nowhere.invalid cannot be found', '/etc/resolv.conf'],
    ['LINK_LOCAL_ADDRESS', 'leads to a link-local or cloud metadata address', 'who changed its DNS entry'],
    ['EAI_FAIL', 'cannot be found (EAI_FAIL)', '/etc/resolv.conf'],
  ])('that cannot be looked up has a diagnosis: %s', async (code, what, hint) => {
    const { dns, tcp, tls } = await endpoint('https://api.nowhere.invalid', { lookup: brokenLookup(code) });
    expect(dns).toMatchObject({ result: 'failed', failure: 'unreachable' });
    expect(dns.what).toContain(what);
    expect(dns.hint).toContain(hint);
    expect([tcp.result, tls.result]).toEqual(['skipped', 'skipped']);
  });

  it('is given up after 5 s without a response, and not before', async () => {
    const clock = new ManualClock();
    let over = false;
    const found = endpoint('https://api.nowhere.invalid', { clock, lookup: () => undefined });
    void found.finally(() => (over = true));
    await clock.advance(4999);
    expect(over).toBe(false);
    await clock.advance(1);
    expect((await found).dns).toMatchObject({ result: 'failed', what: containing('did not respond') });
  });

  it('is shown with the first of its addresses', async () => {
    const lookup: LookupFunction = (_, __, callback) =>
      callback(null, [
        { address: '127.0.0.1', family: 4 },
        { address: '::1', family: 6 },
      ]);
    const port = await serveSockets();
    const { dns } = await endpoint(`http://api.example:${port}`, { lookup });
    expect(dns).toMatchObject({ result: 'ok', what: 'api.example resolves to 127.0.0.1 and 1 more' });
  });

  it('may not be a metadata address', async () => {
    const { dns, tcp } = await endpoint('http://169.254.169.254');
    expect([dns.result, tcp.result]).toEqual(['failed', 'skipped']);
  });
});

describe('a connection', () => {
  it('is opened, or refused', async () => {
    expect((await endpoint(`http://127.0.0.1:${await serveSockets()}`)).tcp.result).toBe('ok');
    const port = await freePort();
    expect((await endpoint(`http://127.0.0.1:${port}`)).tcp).toMatchObject({
      result: 'failed',
      failure: 'unreachable',
      what: `127.0.0.1:${port} refuses connections: nothing listens there (ECONNREFUSED).`,
    });
  });

  it('is given up after 5 s', async () => {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<undefined>();
    let lookups = 0;
    // The first lookup is the check of the name; the connection waits for the second.
    const lookup: LookupFunction = (...args) => {
      if (++lookups === 1) everyNameIsHere(...args);
      else asked.resolve(undefined);
    };
    const found = endpoint('http://api.example', { clock, lookup });
    await asked.promise;
    await clock.advance(5000);
    expect((await found).tcp).toMatchObject({ what: 'api.example did not accept a connection within 5 s.' });
    expect(clock.timers).toBe(0);
  });

  it('without a network route has its own diagnosis', async () => {
    let lookups = 0;
    const lookup: LookupFunction = (...args) =>
      ++lookups === 1 ? everyNameIsHere(...args) : brokenLookup('ENETUNREACH')(...args);
    const { tcp } = await endpoint('http://api.example', { lookup });
    expect(tcp).toMatchObject({ result: 'failed', what: containing('no network route to api.example') });
  });
});

describe('a certificate', () => {
  const authority = issue({ name: 'our own authority', isCa: true });
  const from = (days: number) => new Date(Date.now() + days * DAY_MS);

  beforeAll(() => tls.setDefaultCACertificates([...tls.getCACertificates('default'), authority.cert]));

  it('that is trusted is ok, and has its remaining days', async () => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority, to: from(100.5) }));
    expect((await endpoint(`https://localhost:${port}`, { lookup: everyNameIsHere })).tls).toMatchObject({
      result: 'ok',
      what: 'TLSv1.3, certificate valid for 100 more days',
    });
    expect((await endpoint(`https://127.0.0.1:${port}`)).tls.result).toBe('ok');
  });

  it.each([
    [13.9, 'warning', '13 more days.'],
    [1.5, 'warning', '1 more day.'],
    [14.1, 'ok', '14 more days'],
  ])('with %d days left gets: %s', async (days, result, what) => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority, to: from(days) }));
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({ result, what: `TLSv1.3, certificate valid for ${what}` });
  });

  it.each([
    ['that is self-signed', issue({ name: 'provider' }), 'is self-signed', 'NODE_EXTRA_CA_CERTS'],
    [
      'of an unknown authority',
      issue({ name: 'provider', issuer: issue({ name: 'Middlebox\u001b[31m', isCa: true }) }),
      ', `Middlebox?[31m` (',
      'NODE_EXTRA_CA_CERTS',
    ],
    [
      'that has expired',
      issue({ name: 'provider', issuer: authority, to: new Date('2024-05-06') }),
      'expired on 2024-05-06',
      'date and time of this machine',
    ],
    [
      'that is not valid yet',
      issue({ name: 'provider', issuer: authority, from: new Date('2048-05-06') }),
      'is not valid before 2048-05-06',
      'date and time of this machine',
    ],
  ])('%s has a diagnosis', async (_, certificate, what, hint) => {
    const port = await serveTls(certificate);
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({ result: 'failed', failure: 'unreachable' });
    expect(found.tls.what).toContain(what);
    expect(found.tls.hint).toContain(hint);
  });

  it('for another name has a diagnosis with the names it is for', async () => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority }));
    const found = await endpoint(`https://api.example:${port}`, { lookup: everyNameIsHere });
    expect(found.tls).toMatchObject({
      result: 'failed',
      what: containing(' is for localhost, 127.0.0.1 (ERR_TLS_CERT_ALTNAME_INVALID).'),
    });
  });

  it('that is not trusted keeps the credentials from being sent: exit code 5', async () => {
    let requests = 0;
    const port = await serveTls(issue({ name: 'provider' }), (_, response) => response.end(String((requests += 1))));
    const base = `https://127.0.0.1:${port}`;
    const { code, check } = await diagnosed([mpesaRoute({ upstream: base, authServer: base })]);
    expect(check('tls').result).toBe('failed');
    expect(check('token')).toMatchObject({ result: 'skipped', what: 'the token endpoint cannot be reached' });
    expect([code, requests]).toEqual([5, 0]);
  });

  it('of the API that is not trusted does not keep a token of another host from being requested', async () => {
    const bad = `https://127.0.0.1:${await serveTls(issue({ name: 'provider' }))}`;
    const { code, check } = await diagnosed([mpesaRoute({ upstream: bad, authServer: await serve(tokens()) })]);
    expect([check('tls').result, check('auth_tcp').result, check('token').result]).toEqual(['failed', 'ok', 'ok']);
    expect(code).toBe(5);
  });

  it('is missing if the server does not speak TLS', async () => {
    const port = new URL(await serve(tokens())).port;
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({
      result: 'failed',
      what: containing(`127.0.0.1:${port} does not speak TLS on this port`),
    });
  });

  it('is missing if the connection is cut', async () => {
    const port = await serveSockets((socket) => socket.once('data', () => socket.destroy()));
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({
      result: 'failed',
      what: containing('closed the connection before it responded (ECONNRESET).'),
    });
  });

  it('is given up after 5 s', async () => {
    const clock = new ManualClock();
    const greeted = Promise.withResolvers<unknown>();
    const port = await serveSockets((socket) => void once(socket, 'data').then(greeted.resolve, () => undefined));
    const found = endpoint(`https://127.0.0.1:${port}`, { clock });
    await greeted.promise;
    await clock.advance(5000);
    expect((await found).tls.what).toContain('did not finish the TLS handshake within 5 s');
  });
});

describe('the environment of a route', () => {
  const sandbox = 'https://sandbox.safaricom.co.ke';
  const production = 'https://api.safaricom.co.ke';
  const at = (environment: 'sandbox' | 'production', upstream: string, authServer = upstream, provider = mpesa) =>
    checkEnvironment({ environment, upstream, authServer, provider });

  it('fits the hosts of the provider, and production is labelled', () => {
    expect(at('sandbox', sandbox)).toMatchObject({ result: 'ok', what: 'sandbox, at the host of `mpesa`' });
    expect(at('production', production)).toMatchObject({
      result: 'ok',
      what: matching(/^PRODUCTION \(real money\), at/),
    });
  });

  it.each([
    ['production', sandbox, sandbox, 'sandbox'],
    ['production', production, sandbox, 'sandbox'],
    ['sandbox', production, production, 'production'],
  ] as const)('%s does not fit %s with tokens from %s', (environment, upstream, authServer, other) => {
    expect(at(environment, upstream, authServer)).toMatchObject({
      result: 'failed',
      failure: 'wrong',
      hint: `Set \`environment: ${other}\` on the route, or remove the URL from it.`,
    });
  });

  it('that does not fit keeps the credentials from being sent: exit code 1', async () => {
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
