import type { KeyObject } from 'node:crypto';

/** A key, or what is wrong with its text. `problem` completes "The key ...". */
export type ReadKey = { readonly key: KeyObject } | { readonly problem: string };

/** Reads a private key: PEM (line breaks may be written as `\n`), a JWK, or base64 of DER. */
export function readPrivateKey(_text: string): ReadKey {
  throw new Error('not written yet');
}

/** Reads a public key: the same forms, or a certificate, whose dates do not matter. */
export function readPublicKey(_text: string): ReadKey {
  throw new Error('not written yet');
}
