import { describe, expect, it } from 'vitest';
import { DiscoveredEndpoints, Discovery } from '../../src/tokens/discovery.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ISSUER = 'https://login.bank.example';
const PLAIN = `${ISSUER}/token`;
const ALIAS = 'https://mtls.bank.example/token';

describe('the discovered token endpoints', () => {
  it('have a new version when one is added', () => {
    const found = new DiscoveredEndpoints();
    found.add(PLAIN);
    const { version } = found;
    found.add(PLAIN);
    expect(found.version).toBe(version);
    found.add(ALIAS);
    expect(found.version).not.toBe(version);
    expect([...found.urls]).toEqual([PLAIN, ALIAS]);
  });

  it('are a thousand at most; the oldest is dropped first', () => {
    const found = new DiscoveredEndpoints();
    for (let i = 0; i < 1100; i++) found.add(`${PLAIN}/${i}`);
    const urls = [...found.urls];
    expect([urls.length, urls[0], urls.at(-1), found.version]).toEqual([1000, `${PLAIN}/100`, `${PLAIN}/1099`, 1100]);
  });
});

describe('an endpoint in issuer metadata', () => {
  it.each([
    ['tls_client_auth', ALIAS],
    ['client_secret_basic', PLAIN],
  ] as const)('is found with %s, and tokens are requested at %s', async (clientAuth, endpoint) => {
    const metadata = { issuer: ISSUER, token_endpoint: PLAIN, mtls_endpoint_aliases: { token_endpoint: ALIAS } };
    const discovery = new Discovery(ISSUER, clientAuth, new ManualClock());
    const found = await discovery.find(async () => ({ status: 200, headers: {}, body: JSON.stringify(metadata) }));
    expect(found).toMatchObject({ tokenEndpoint: endpoint, allEndpoints: [PLAIN, ALIAS] });
  });

  it.each([undefined, 7, 'no URL', null])('is ignored if it is not a URL: %j', async (alias) => {
    const metadata = { issuer: ISSUER, token_endpoint: PLAIN, mtls_endpoint_aliases: { token_endpoint: alias } };
    const discovery = new Discovery(ISSUER, 'client_secret_basic', new ManualClock());
    const found = await discovery.find(async () => ({ status: 200, headers: {}, body: JSON.stringify(metadata) }));
    expect(found.allEndpoints).toEqual([PLAIN]);
  });
});

it('issuer metadata that redirects is not followed, and the error says where it redirects to', async () => {
  const discovery = new Discovery(ISSUER, 'client_secret_basic', new ManualClock());
  const headers = { location: 'https://id.bank.example/.well-known/metadata?x=1' };
  const found = discovery.find(async () => ({ status: 302, headers, body: '' }));
  await expect(found).rejects.toThrow('redirects to https://id.bank.example/.well-known/metadata;');
});

it('issuer metadata that cannot be decoded is named in the error', async () => {
  const discovery = new Discovery(ISSUER, 'client_secret_basic', new ManualClock());
  const bodyProblem = { kind: 'broken', coding: 'gzip' } as const;
  const found = discovery.find(async () => ({ status: 200, headers: {}, body: '', bodyProblem }));
  await expect(found).rejects.toThrow('has a body that is not valid gzip');
});

it('issuer metadata behind a client certificate says that it demands one', async () => {
  const discovery = new Discovery(ISSUER, 'client_secret_basic', new ManualClock());
  const found = discovery.find(async () => ({
    status: 400,
    headers: {},
    body: 'No required SSL certificate was sent',
  }));
  await expect(found).rejects.toThrow('responded with HTTP 400: it demands a client certificate');
});

it.each([
  [['169.254.171.0/24'], '169.254.171.7', true],
  [['169.254.171.0/24'], '169.254.172.7', false],
  [['169.254.0.0/16'], '169.254.169.254', false],
  [undefined, '169.254.171.7', false],
])(
  'with `allow_addresses` %j, metadata that names a token endpoint at %s: accepted is %j',
  async (allowed, ip, isOk) => {
    const discovery = new Discovery(ISSUER, 'client_secret_basic', new ManualClock(), allowed);
    const body = JSON.stringify({ issuer: ISSUER, token_endpoint: `https://${ip}/token` });
    const found = discovery.find(async () => ({ status: 200, headers: {}, body }));
    if (isOk) expect(await found).toMatchObject({ tokenEndpoint: `https://${ip}/token` });
    else await expect(found).rejects.toThrow('link-local');
  },
);
