import { once } from 'node:events';
import type { LookupFunction, Socket } from 'node:net';
import tls from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { checkEndpoint } from '../../src/commands/doctor/network-checks.ts';
import type { Probes } from '../../src/commands/doctor/probes.ts';
import { checkEnvironment } from '../../src/commands/doctor/run-checks.ts';
import type { ConnectOptions, EgressRules } from '../../src/http/client/connect-options.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { fixedToken } from '../../src/providers/static.ts';
import { Secret } from '../../src/secret.ts';
import { issue, type Issued } from '../config/certificate.ts';
import { EgressProxyServer } from '../support/egress-proxy.ts';
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

function endpoint(
  url: string,
  { connection = {}, ...probes }: Partial<Probes> & { readonly connection?: ConnectOptions } = {},
) {
  return checkEndpoint({ url, key: 'upstream', connection }, { clock: systemClock, ...probes });
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
      what: 'TLSv1.3, certificate valid for 100 more days; provider <- our own authority',
    });
    expect((await endpoint(`https://127.0.0.1:${port}`)).tls.result).toBe('ok');
  });

  it.each([
    [13.9, 'warning', '13 more days'],
    [1.5, 'warning', '1 more day'],
    [14.1, 'ok', '14 more days'],
  ])('with %d days left gets: %s', async (days, result, what) => {
    const port = await serveTls(issue({ name: 'provider', issuer: authority, to: from(days) }));
    const found = await endpoint(`https://127.0.0.1:${port}`);
    expect(found.tls).toMatchObject({
      result,
      what: containing(`TLSv1.3, certificate valid for ${what}; provider <- `),
    });
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
    const connection = { tls: { serverName: 'api.example' } };
    const found = await endpoint(`https://127.0.0.1:${port}`, { connection });
    expect(found.tls).toMatchObject({
      result: 'failed',
      what: containing(' is for localhost, 127.0.0.1 (ERR_TLS_CERT_ALTNAME_INVALID).'),
    });
  });

  it('in the chain that ends first gets a warning', async () => {
    const middle = issue({ name: 'middle', isCa: true, issuer: authority, to: from(9.5) });
    const leaf = issue({ name: 'provider', issuer: middle, to: from(100.5) });
    const port = await serveTls({ ...leaf, cert: leaf.cert + middle.cert });
    expect((await endpoint(`https://127.0.0.1:${port}`)).tls).toMatchObject({
      result: 'warning',
      what: 'TLSv1.3, certificate valid for 100 more days; `middle` in its chain valid for 9 more days; provider <- middle <- our own authority.',
      hint: containing(`before ${from(9.5).toISOString().slice(0, 10)}.`),
    });
  });

  it('of a private authority, for another name, is trusted with `tls.ca` and `tls.server_name`', async () => {
    const own = issue({ name: 'private authority', isCa: true });
    const port = await serveTls(issue({ name: 'api.internal', issuer: own, names: ['api.internal'] }));
    const connection = { tls: { ca: [own.cert], serverName: 'api.internal' } };
    expect((await endpoint(`https://127.0.0.1:${port}`, { connection })).tls).toMatchObject({
      result: 'ok',
      what: matching(
        /^TLSv1\.3 with `tls\.ca` and the name api\.internal, certificate valid for .*; api\.internal <- /,
      ),
    });
    expect((await endpoint(`https://127.0.0.1:${port}`)).tls.result).toBe('failed');
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

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a client certificate in %s', (version) => {
  const authority = issue({ name: 'server authority', isCa: true });
  const clients = issue({ name: 'client authority', isCa: true });
  const server = issue({ name: 'bank', issuer: authority });
  const demanding = () =>
    serveTls(server, undefined, { ca: clients.cert, requestCert: true, rejectUnauthorized: true, maxVersion: version });
  const tlsOf = (client: Issued | undefined) => ({
    ca: [authority.cert],
    ...(client && { cert: client.cert, key: new Secret(client.key) }),
  });

  it('that the server demands is named, with exit code 5', async () => {
    const upstream = `https://127.0.0.1:${await demanding()}`;
    const connection = { tls: tlsOf(undefined) };
    const { tls } = await endpoint(upstream, { connection });
    expect(tls).toMatchObject({ result: 'failed', failure: 'unreachable' });
    expect(tls.hint).toMatch(/`tls\.cert` and `tls\.key`/);
    const route = mpesaRoute({ upstream, authServer: await serve(tokens()), connection });
    const { code, check } = await diagnosed([route], { call: true });
    expect([check('tls').result, check('token').result, check('call').result]).toEqual(['failed', 'ok', 'skipped']);
    expect(code).toBe(5);
  });

  it('that the server accepts is shown with its remaining days', async () => {
    const port = await demanding();
    const judged = async (days: number) => {
      const to = new Date(Date.now() + days * DAY_MS);
      const connection = { tls: tlsOf(issue({ name: 'our shop', issuer: clients, to })) };
      return (await endpoint(`https://127.0.0.1:${port}`, { connection })).tls;
    };
    expect(await judged(50.5)).toMatchObject({
      result: 'ok',
      what: containing('; client certificate `our shop` valid for 50 more days'),
    });
    expect(await judged(3.5)).toMatchObject({
      result: 'warning',
      what: containing('; client certificate `our shop` valid for 3 more days.'),
      hint: containing('`tls.cert`'),
    });
  });

  it('that the server does not accept is named', async () => {
    const connection = { tls: tlsOf(issue({ name: 'another shop' })) };
    const { tls } = await endpoint(`https://127.0.0.1:${await demanding()}`, { connection });
    expect(tls).toMatchObject({
      result: 'failed',
      failure: 'unreachable',
      hint: containing('check `tls.cert` and `tls.key`'),
    });
  });

  it('that the server does not demand is not needed', async () => {
    const port = await serveTls(server, undefined, {
      requestCert: true,
      rejectUnauthorized: false,
      maxVersion: version,
    });
    const connection = { tls: tlsOf(undefined) };
    expect((await endpoint(`https://127.0.0.1:${port}`, { connection })).tls.result).toBe('ok');
  });

  it('is sent with the request of `--call`', async () => {
    let subject: unknown;
    const port = await serveTls(
      server,
      (request, response) => {
        if (request.socket instanceof tls.TLSSocket) subject = request.socket.getPeerCertificate().subject?.CN;
        response.end('{}');
      },
      { ca: clients.cert, requestCert: true, rejectUnauthorized: true, maxVersion: version },
    );
    const connection = { tls: tlsOf(issue({ name: 'our shop', issuer: clients })) };
    const upstream = `https://127.0.0.1:${port}`;
    const { check } = await diagnosed([mpesaRoute({ upstream, authServer: await serve(tokens()), connection })], {
      call: true,
    });
    expect([check('call').result, subject]).toEqual(['ok', 'our shop']);
  });
});

describe('an egress proxy', () => {
  const authority = issue({ name: 'proxied authority', isCa: true });
  const egressOf = (port: number, authorization?: string): EgressRules => {
    const proxy = {
      ...{ isTls: false, host: '127.0.0.1', port, source: 'egress_proxy' },
      ...(authorization !== undefined && { authorization: new Secret(authorization) }),
    };
    return { http: proxy, https: proxy };
  };

  const refuse = (status: number) => (socket: Socket) => {
    socket.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\n\r\n`);
  };

  it('is checked first, then the tunnel through it; it looks up the name', async () => {
    const proxy = await EgressProxyServer.start();
    const port = await serveTls(issue({ name: 'provider', issuer: authority }));
    const connection = { tls: { ca: [authority.cert] }, egress: egressOf(proxy.port) };
    const found = await endpoint(`https://localhost:${port}`, { connection, lookup: brokenLookup('ENOTFOUND') });
    expect(found).toMatchObject({
      proxy: { result: 'ok', what: matching(/^connected to 127\.0\.0\.1:\d+ \(`egress_proxy`\) in /) },
      dns: { result: 'skipped', what: 'the egress proxy looks up the name' },
      tcp: { result: 'ok', what: containing(`opened a tunnel to localhost:${port} in `) },
      tls: { result: 'ok' },
    });
    expect(new Set(proxy.requests)).toEqual(new Set([`CONNECT localhost:${port}`]));
  });

  it('is used for the request of `--call` and for the token', async () => {
    const proxy = await EgressProxyServer.start();
    const api = await serve(tokens());
    const egress = egressOf(proxy.port);
    const route = mpesaRoute({ upstream: api, authServer: api, connection: { egress }, tokenConnection: { egress } });
    const { code, check } = await diagnosed([route], { call: true });
    expect([check('proxy').result, check('tcp').result, check('token').result, check('call').result]).toEqual([
      'ok',
      'skipped',
      'ok',
      'ok',
    ]);
    expect(proxy.requests).toEqual([`GET ${api}/oauth/v1/generate?grant_type=client_credentials`, `GET ${api}/`]);
    expect(code).toBe(0);
  });

  it.each([
    [407, 'does not accept the login, or requires one (HTTP 407)', 'user and password in `egress_proxy`'],
    [403, 'did not connect to 127.0.0.1:1 (HTTP 403)', 'Allow CONNECT'],
    [502, 'did not connect to 127.0.0.1:1 (HTTP 502)', 'its log'],
  ])('that responds %i to the request for a tunnel is named', async (status, what, hint) => {
    const proxy = await EgressProxyServer.start({ onConnect: refuse(status) });
    const connection = { egress: egressOf(proxy.port, 'Basic c2VjcmV0LWNhbmFyeQ==') };
    const found = await endpoint('https://127.0.0.1:1', { connection });
    expect(found).toMatchObject({ proxy: { result: 'ok' }, tcp: { result: 'failed', failure: 'unreachable' } });
    expect(found.tcp.what).toContain(what);
    expect(found.tcp.hint).toContain(hint);
    expect(found.tls).toMatchObject({ result: 'skipped', what: 'there is no connection' });
    expect(JSON.stringify(found)).not.toMatch(/canary|c2VjcmV0/);
  });

  it('that cannot be reached makes the other checks pointless', async () => {
    const connection = { egress: egressOf(await freePort()) };
    const found = await endpoint('https://api.example', { connection });
    expect(found.proxy).toMatchObject({
      result: 'failed',
      failure: 'unreachable',
      what: containing('The egress proxy cannot be used.'),
      hint: containing('`egress_proxy`'),
    });
    expect([found.dns.result, found.tcp.result, found.tls.result]).toEqual(['skipped', 'skipped', 'skipped']);
  });

  it('is not used for the hosts of `noProxy`', async () => {
    const connection = { egress: { ...egressOf(await freePort()), noProxy: ['127.0.0.1'] } };
    const found = await endpoint(`http://127.0.0.1:${await serveSockets()}`, { connection });
    expect([found.proxy, found.tcp.result]).toEqual([undefined, 'ok']);
  });

  it('gets requests for a link-local address that is allowed', async () => {
    const connection = {
      egress: egressOf((await EgressProxyServer.start({ onConnect: refuse(502) })).port),
      allowAddresses: ['169.254.171.0/24'],
    };
    const found = await endpoint('https://169.254.171.1', { connection });
    expect(found.dns).toMatchObject({ result: 'ok', what: '169.254.171.1 is an IP address' });
  });

  it('gets no request for a metadata address', async () => {
    const proxy = await EgressProxyServer.start();
    const found = await endpoint('https://169.254.169.254', { connection: { egress: egressOf(proxy.port) } });
    expect([found.dns.result, found.tcp.result, proxy.requests]).toEqual(['failed', 'skipped', []]);
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
