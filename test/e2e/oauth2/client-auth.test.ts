import tls from 'node:tls';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ASSERTION_ALGORITHMS } from '../../../src/providers/provider.ts';
import { issue } from '../../config/certificate.ts';
import { expectNoSecret, refusalOf } from '../../support/token-fakes.ts';
import { jwkOf, pairFor, pemOf } from './keys.ts';
import { CLIENT_ID, oidcProvider, SECRET } from './servers.ts';
import { createFetcher, fieldOf, formOf } from './token-fetcher.ts';

const RESOURCE = 'https://api.bank.example/';

describe.each(['client_secret_basic', 'client_secret_post'] as const)('%s', (client_auth) => {
  const client = { client_secret: SECRET, token_endpoint_auth_method: client_auth };

  it('gets a token, with any characters in ID and secret', async () => {
    const { issuer } = await oidcProvider(client);
    const { fetcher, sent } = createFetcher({ issuer, client_auth, scope: 'payments', resource: RESOURCE });
    const token = await fetcher.fetch(undefined);
    expect(decodeJwt(token.accessToken.reveal())).toMatchObject({
      iss: issuer,
      client_id: CLIENT_ID,
      scope: 'payments',
      aud: RESOURCE,
    });
    const isBasic = client_auth === 'client_secret_basic';
    expect(sent.at(-1)?.headers['authorization']?.split(' ')[0]).toBe(isBasic ? 'Basic' : undefined);
    expect(fieldOf(sent.at(-1), 'client_secret')).toBe(isBasic ? '' : SECRET);
  });

  it('with a wrong secret is a token_denied that shows no secret', async () => {
    const { issuer } = await oidcProvider({ ...client, client_secret: 'another made-up secret' });
    const { fetcher, log } = createFetcher({ issuer, client_auth });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_denied');
    expect(log.lines).toMatchObject([{ fields: { status: 401, provider: 'oauth2' } }]);
    expect(String(log.lines[0]?.fields['provider_said'])).toContain('invalid_client');
    expectNoSecret([log.lines, refusal], SECRET, CLIENT_ID, new URLSearchParams([['', SECRET]]).toString().slice(1));
  });
});

describe('client_secret_basic', () => {
  it('encodes both parts as a form does, then joins them (RFC 6749 2.3.1)', async () => {
    const { issuer } = await oidcProvider({ client_secret: SECRET });
    const { fetcher, sent } = createFetcher({ issuer });
    await fetcher.fetch(undefined);
    const basic = Buffer.from(String(sent.at(-1)?.headers['authorization']).slice('Basic '.length), 'base64');
    expect(basic.toString()).toBe(
      'shop%2F1%3A+%22a%2Bb%22+%26+co:made-up%3Ds3cret%3A%2F%3F%26%3D%2B+%2541+%22quoted%22',
    );
    expect(formOf(sent.at(-1))).toEqual([['grant_type', 'client_credentials']]);
  });
});

describe('private_key_jwt', () => {
  const registered = (algorithm: string, publicKey: object) => ({
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: algorithm,
    jwks: { keys: [publicKey] },
  });

  it.each(ASSERTION_ALGORITHMS.flatMap((algorithm) => [[algorithm, 'PEM'] as const, [algorithm, 'JWK'] as const]))(
    'with %s and a key as %s gets tokens, each with a new jti',
    async (algorithm, format) => {
      const pair = pairFor(algorithm);
      const { issuer } = await oidcProvider(registered(algorithm, pair.publicKey.export({ format: 'jwk' })));
      const key = format === 'PEM' ? pemOf(pair) : jwkOf(pair);
      const { fetcher, sent } = createFetcher({ issuer, client_auth: 'private_key_jwt', key, algorithm });
      // The server takes no jti twice.
      await fetcher.fetch(undefined);
      await fetcher.fetch(undefined);
      const assertions = sent
        .filter(({ method }) => method === 'POST')
        .map((each) => fieldOf(each, 'client_assertion'));
      const jtis = assertions.map((assertion) => decodeJwt(assertion).jti);
      expect(new Set(jtis).size).toBe(2);
      expect(fieldOf(sent.at(-1), 'client_id')).toBe(CLIENT_ID);
    },
  );

  it('accepts the token endpoint as audience in place of the issuer', async () => {
    const pair = pairFor('ES256');
    const { endpoint } = await oidcProvider(registered('ES256', pair.publicKey.export({ format: 'jwk' })));
    const key = pemOf(pair);
    const { fetcher, sent } = createFetcher({ token_endpoint: endpoint, client_auth: 'private_key_jwt', key });
    await fetcher.fetch(undefined);
    expect(decodeJwt(fieldOf(sent[0], 'client_assertion')).aud).toBe(endpoint);
  });

  it('signed with a key that the server does not know is a token_denied that shows neither key nor assertion', async () => {
    const known = pairFor('ES256').publicKey.export({ format: 'jwk' });
    const { issuer } = await oidcProvider(registered('ES256', known));
    const pem = pemOf(pairFor('ES256'));
    const { fetcher, log, sent } = createFetcher({ issuer, client_auth: 'private_key_jwt', key: pem });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_denied');
    const assertion = fieldOf(sent.at(-1), 'client_assertion');
    expect(assertion).not.toBe('');
    expectNoSecret([log.lines, refusal], pem, pem.split('\n')[1]!, assertion);
  });
});

describe('tls_client_auth', () => {
  const authority = issue({ name: 'authority', isCa: true });
  const server = issue({ name: 'localhost', issuer: authority });
  const client = issue({ name: 'shop', issuer: authority });
  const before = tls.getCACertificates('default');
  beforeAll(() => tls.setDefaultCACertificates([...before, authority.cert]));
  afterAll(() => tls.setDefaultCACertificates([...before]));

  const over = { tls: { own: server, clientCa: authority } };
  const registered = { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=shop' };

  it('presents the certificate to the token endpoint, with the client ID in the body', async () => {
    const { issuer } = await oidcProvider(registered, over);
    const { cert, key } = client;
    const { fetcher, sent } = createFetcher({ issuer, client_auth: 'tls_client_auth', cert, key });
    expect((await fetcher.fetch(undefined)).accessToken.reveal()).not.toBe('');
    expect(formOf(sent.at(-1))).toEqual([
      ['grant_type', 'client_credentials'],
      ['client_id', CLIENT_ID],
    ]);
    expect(sent.at(-1)?.headers).not.toHaveProperty('authorization');
  });

  it('works with a certificate that the server knows', async () => {
    const own = issue({ name: 'shop' });
    const jwk = own.keys.publicKey.export({ format: 'jwk' });
    const x5c = [own.cert.replace(/-----[A-Z ]+-----|\n/g, '')];
    const { issuer } = await oidcProvider(
      { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [{ ...jwk, x5c }] } },
      over,
    );
    const { fetcher } = createFetcher({
      issuer,
      client_auth: 'self_signed_tls_client_auth',
      cert: own.cert,
      key: own.key,
    });
    expect((await fetcher.fetch(undefined)).accessToken.reveal()).not.toBe('');
  });

  it('with the certificate of another client is a token_denied that does not show the key', async () => {
    const { issuer } = await oidcProvider(registered, over);
    const { cert, key } = issue({ name: 'other', issuer: authority });
    const { fetcher, log } = createFetcher({ issuer, client_auth: 'tls_client_auth', cert, key });
    const refusal = await refusalOf(fetcher.fetch(undefined));
    expect(refusal.code).toBe('token_denied');
    expectNoSecret([log.lines, refusal], key, key.split('\n')[1]!);
  });
});
