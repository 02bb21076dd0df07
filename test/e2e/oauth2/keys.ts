import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { AssertionAlgorithm } from '../../../src/providers/provider.ts';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A pair of keys of the kind that this algorithm takes. */
export function pairFor(algorithm: AssertionAlgorithm): KeyPair {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'RS256':
    case 'PS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'EdDSA':
      return generateKeyPairSync('ed25519');
  }
}

export function pemOf({ privateKey }: KeyPair): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function jwkOf({ privateKey }: KeyPair, more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...more });
}
