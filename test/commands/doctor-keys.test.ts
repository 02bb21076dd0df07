import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { describeKeys } from '../../src/commands/doctor/key-check.ts';
import { EMULATED_PRIVATE_KEY } from '../../src/emulators/emulated-keys.ts';
import { mpesa } from '../../src/providers/mpesa.ts';
import { NO_TOKEN, type Provider } from '../../src/providers/provider.ts';
import { Secret } from '../../src/secret.ts';
import { issue } from '../config/certificate.ts';
import { mpesaRoute } from './doctor-support.ts';

const PUBLIC_KEY = createPublicKey(EMULATED_PRIVATE_KEY).export({ type: 'spki', format: 'pem' }).toString();

/** What `openssl` and `sha256sum` say about the public key. */
function fingerprint(): string {
  const der = spawnSync('openssl', ['pkey', '-pubin', '-outform', 'der'], { input: PUBLIC_KEY }).stdout;
  return createHash('sha256').update(der).digest('hex');
}

function checked(provider: Partial<Provider>, credentials: Readonly<Record<string, string>>) {
  const secrets = new Map(Object.entries(credentials).map(([name, value]) => [name, new Secret(value)]));
  return describeKeys(mpesaRoute({ provider: { ...mpesa, sign: [], ...provider }, credentials: secrets }));
}

const sign = [
  {
    calls: ['* /*'],
    values: {
      s: { rsa_sha256: '{body}', key: '{own}' },
      e: { rsa_encrypt: '{pin}', key: '{theirs}', padding: 'pkcs1' },
      h: { hmac_sha256: '{body}', key: '{shared}' },
    },
  },
] as const;

it('doctor shows the size and the fingerprint of private and public keys, and of no other key', () => {
  const result = checked({ sign }, { own: EMULATED_PRIVATE_KEY, theirs: PUBLIC_KEY, shared: 'shared-key-1' });
  expect(result).toMatchObject({ result: 'ok' });
  expect(result?.what).toBe(
    `\`own\` is RSA with 2048 bits, SHA-256 of its public key ${fingerprint()}; \`theirs\` is RSA with 2048 bits, SHA-256 ${fingerprint()}`,
  );
});

it('doctor shows the fingerprint of a certificate, as openssl does', () => {
  const { cert } = issue({ name: 'provider' });
  const result = checked({ sign }, { theirs: cert.replaceAll('\n', '\\n') });
  const expected = new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase();
  expect(result?.what).toContain(`in a certificate, SHA-256 of the certificate ${expected}`);
});

it('doctor finds keys of token requests and of the header that carries the token', () => {
  const value = { rsa_encrypt: '{access_token}', key: '{theirs}', padding: 'pkcs1' } as const;
  const tokenHeader = { name: 'authorization', scheme: 'Bearer', value };
  const request = { method: 'POST', path: '/token', values: { s: { rsa_sha256: 'x', key: '{value_1}' } } } as const;
  const token = { request, response: { accessToken: 'access_token' } };
  const result = checked({ token, tokenHeader }, { value_1: EMULATED_PRIVATE_KEY, theirs: PUBLIC_KEY });
  expect(result?.what).toMatch(/^in the rules is RSA with 2048 bits.*; `theirs` is RSA/);
});

it('doctor says what is wrong with a key, and shows none of it', () => {
  const result = checked({ sign }, { theirs: EMULATED_PRIVATE_KEY });
  expect(result).toMatchObject({ result: 'failed', failure: 'wrong' });
  expect(result?.what).toMatch(/^The key `theirs` is a private key/);
  expect(result?.what).not.toContain('MII');
});

it('doctor says nothing about keys on a route without any', () => {
  expect(checked({ token: NO_TOKEN }, {})).toBeUndefined();
});
