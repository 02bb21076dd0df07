import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { createSecureContext, type SecureContextOptions, TLSSocket } from 'node:tls';
import type { TlsIdentity } from '../http/client/connect-options.ts';
import type { Diagnostics } from './diagnostics.ts';
import type { Path } from './source.ts';

/** The certificates of a PEM text. */
export interface Certificates {
  readonly text: string;
  /** At least one. That of the server or client comes first. */
  readonly all: readonly X509Certificate[];
}

interface ReadContext {
  readonly report: Diagnostics;
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** What happens after a client certificate has expired. */
export const EXPIRED_CLIENT = 'the server refuses it';

/**
 * The certificates in the PEM text of the key at `at`. Undefined if one of them cannot be used; then a problem is
 * reported.
 * @param outcome what happens after a certificate has expired
 */
export function readCertificates(
  at: Path,
  text: string,
  { report, nowMs }: ReadContext,
  outcome: string,
): Certificates | undefined {
  const read = certificatesIn(text);
  if (read.length === 0) {
    const swapped = at.at(-1) === 'cert' && text.includes('PRIVATE KEY-----');
    const hint = swapped ? SWAPPED : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
    report.problem(at, `contains no certificate; ${hint}`);
    return undefined;
  }
  const all = read.flatMap((certificate, i) => {
    if (certificate !== undefined) return [certificate];
    report.problem(at, `certificate ${i + 1} is damaged; get it from its issuer again`);
    return [];
  });
  if (all.length < read.length) return undefined;
  // Only a warning, because the clock of this machine may be wrong.
  const warnings = all.flatMap((certificate) => dateWarnings(certificate, nowMs, outcome));
  for (const warning of warnings) report.warn(at, warning);
  return { text, all };
}

/** The certificates of a PEM text, in order. A damaged one is undefined. */
function certificatesIn(text: string): (X509Certificate | undefined)[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      return undefined;
    }
  });
}

const DAY_MS = 86_400_000;
/** A certificate that expires sooner causes a warning. */
export const RENEW_WITHIN_DAYS = 14;

/** Warnings about the dates of a certificate. `outcome`: what happens after it has expired. */
export function dateWarnings(
  { validFromDate, validToDate }: X509Certificate,
  nowMs: number,
  outcome: string,
): readonly string[] {
  const day = (date: Date) => date.toISOString().slice(0, 10);
  const left = validToDate.getTime() - nowMs;
  const consequence = `renew it, or ${outcome}`;
  const warnings: string[] = [];
  if (left < 0) {
    warnings.push(`expired on ${day(validToDate)}, by the clock of this machine; ${consequence}`);
  } else if (left < RENEW_WITHIN_DAYS * DAY_MS) {
    warnings.push(`expires soon, on ${day(validToDate)}; ${consequence}`);
  }
  if (validFromDate.getTime() > nowMs) {
    warnings.push(`is valid only from ${day(validFromDate)}; check the clock of this machine`);
  }
  return warnings;
}

const SWAPPED = 'are `cert` and `key` swapped?';

/** The unencrypted private key in the PEM text of `key` in the mapping at `at`. Reports why it cannot be used. */
export function readUnencryptedKey(at: Path, text: string, report: Diagnostics): KeyObject | undefined {
  if (!isEncryptedKey(text)) return readKey(at, text, undefined, report);
  const hint = 'decrypt it with `openssl pkey -in OLD -out NEW`';
  report.problem([...at, 'key'], `is encrypted, and Wakala cannot ask for a passphrase; ${hint}`);
  return undefined;
}

/**
 * The private key in the PEM text of `key` in the mapping at `at`, decrypted with the `passphrase` there. Reports why it
 * cannot be used.
 */
export function readKey(
  at: Path,
  text: string,
  passphrase: string | undefined,
  report: Diagnostics,
): KeyObject | undefined {
  const isEncrypted = isEncryptedKey(text);
  const problem = (key: 'key' | 'passphrase', message: string): undefined => {
    report.problem([...at, key], message);
  };
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    const isSwapped = text.includes('-----BEGIN CERTIFICATE-----');
    const hint = isSwapped ? SWAPPED : 'it must be PEM, with `-----BEGIN PRIVATE KEY-----`';
    problem('key', `contains no private key; ${hint}`);
    return;
  }
  if (isEncrypted && passphrase === undefined) {
    problem('key', 'is encrypted; add its `passphrase`');
    return;
  }
  if (!isEncrypted && passphrase !== undefined) {
    report.warn([...at, 'passphrase'], 'has no effect: `key` is not encrypted');
  }
  try {
    return createPrivateKey(isEncrypted && passphrase !== undefined ? { key: text, passphrase } : text);
  } catch (error) {
    switch (codeOf(error)) {
      case 'ERR_OSSL_BAD_DECRYPT': {
        problem('passphrase', 'does not decrypt `key`');
        return;
      }
      case 'ERR_OSSL_EVP_UNSUPPORTED': {
        const command = 'openssl pkey -provider legacy -provider default -in OLD -aes256 -out NEW';
        problem('key', `is encrypted with an algorithm that OpenSSL 3 no longer supports; run \`${command}\``);
        return;
      }
      default: {
        problem('key', 'its private key is damaged; copy the whole file again');
        return;
      }
    }
  }
}

/** Whether the key is encrypted, as PKCS#8 or in the older form with a `Proc-Type` header. */
export function isEncryptedKey(text: string): boolean {
  return /^(-----BEGIN ENCRYPTED |Proc-Type:.*ENCRYPTED)/m.test(text);
}

/** Whether the first certificate belongs to the key. `at`: the mapping with `cert` and `key`. */
export function checkPair(at: Path, { all }: Certificates, key: KeyObject, report: Diagnostics): boolean {
  const [own, ...chain] = all;
  if (own?.checkPrivateKey(key) === true) return true;
  if (chain.some((certificate) => certificate.checkPrivateKey(key))) {
    const text = 'the certificate that belongs to `key` must come first, before its chain';
    report.problem([...at, 'cert'], text);
  } else {
    const hint = 'use the key that the certificate was requested with, or request a certificate for this key';
    report.problem([...at, 'key'], `does not belong to the certificate in \`cert\`; ${hint}`);
  }
  return false;
}

/** Reports a certificate that OpenSSL rejects. `at`: the mapping with `cert`. */
export function checkUsable(at: Path, options: SecureContextOptions, report: Diagnostics): void {
  try {
    createSecureContext(options);
  } catch (error) {
    // Messages of OpenSSL are not for users.
    report.problem([...at, 'cert'], `cannot be used: ${codeOf(error) ?? 'unreadable'}`);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** The client certificate of the identity. Undefined if it has none. */
export function clientCertificateOf({ cert, pfx, passphrase }: TlsIdentity): X509Certificate | undefined {
  if (pfx === undefined) return cert === undefined ? undefined : certificatesIn(cert)[0];
  const secureContext = createSecureContext({
    pfx: Buffer.from(pfx.reveal(), 'base64'),
    ...(passphrase && { passphrase: passphrase.reveal() }),
  });
  // Node has no reader of PKCS#12 files. A socket that is never connected returns the certificate that it would send.
  const socket = new TLSSocket(new PassThrough(), { secureContext });
  try {
    return socket.getX509Certificate();
  } finally {
    socket.destroy();
  }
}
