import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { Secret } from '../secret.ts';
import type { TlsFiles } from './config.ts';
import { checkFileMode, type FileModeContext, readError } from './disk.ts';
import type { TlsInput } from './schema.ts';

const DAY_MS = 86_400_000;
const RENEW_WITHIN_DAYS = 14;

interface TlsContext extends FileModeContext {
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

interface Certificates {
  readonly text: string;
  /** At least one. That of the server comes first. */
  readonly all: readonly X509Certificate[];
}

type FileKey = keyof TlsInput;

/** The files of `listen.tls`. Reports one that cannot be used, and returns undefined. */
export function readTls(tls: TlsInput, context: TlsContext): TlsFiles | undefined {
  const { report } = context;
  const cert = readCertificates('cert', tls.cert, context);
  const key = readKey(tls.key, context);
  const clientCa = tls.client_ca === undefined ? undefined : readCertificates('client_ca', tls.client_ca, context);
  if (cert === undefined || key === undefined || !checkPair(cert, key.object, context)) return undefined;
  if (clientCa === undefined && tls.client_ca !== undefined) return undefined;
  const contextError = errorCodeOf(() => createSecureContext({ cert: cert.text, key: key.text, ca: clientCa?.text }));
  if (contextError !== undefined) report.problem(at('cert'), `cannot be used: ${contextError}`);
  return {
    cert: cert.text,
    key: new Secret(key.text),
    clientCa: clientCa?.text,
  };
}

/** The certificates of a PEM text, in order. A damaged one is undefined. */
export function certificatesIn(text: string): (X509Certificate | undefined)[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      return undefined;
    }
  });
}

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

/** What is wrong with the PEM text of a private key; undefined if nothing is. */
export function keyError(text: string): string | undefined {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    const swapped = text.includes('-----BEGIN CERTIFICATE-----');
    const hint = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN PRIVATE KEY-----`';
    return `contains no private key; ${hint}`;
  }
  if (/ENCRYPTED/.test(text)) {
    return 'is encrypted, and Wakala cannot ask for a passphrase; decrypt it with `openssl pkey -in OLD -out NEW`';
  }
  const damaged = errorCodeOf(() => createPrivateKey(text)) !== undefined;
  return damaged ? 'its private key is damaged; copy the whole file again' : undefined;
}

/** What is wrong with the PEM text of a certificate; undefined if it seems to contain one. */
export function certificateError(text: string): string | undefined {
  if (text.includes('-----BEGIN CERTIFICATE-----')) return undefined;
  const swapped = text.includes('PRIVATE KEY-----');
  const hint = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
  return `contains no certificate; ${hint}`;
}

/** The code of the error that `attempt` throws; undefined if it throws none. Messages of OpenSSL are not for users. */
export function errorCodeOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  }
}

function at(key: FileKey) {
  return ['listen', 'tls', key];
}

function readPem(key: FileKey, path: string, context: TlsContext): string | undefined {
  const { files, report } = context;
  // Checked first, because a message about a path quotes the value, and this value may be the key itself.
  const error =
    path.trim() === ''
      ? 'is empty; write the path of a PEM file'
      : path.includes('-----BEGIN')
        ? 'is the text of a PEM file; write the path of the file instead'
        : undefined;
  if (error !== undefined) {
    report.problem(at(key), error);
    return undefined;
  }
  try {
    const text = files.read(path);
    const isNameHidden = report.isInterpolated(at(key));
    checkFileMode({ path: at(key), file: path, isSecret: key === 'key', isNameHidden }, context);
    return text;
  } catch (error) {
    const shown = report.isInterpolated(at(key)) ? 'this file' : `the file \`${path}\``;
    const folder = 'a relative path starts at the folder of this configuration';
    report.problem(at(key), `cannot read ${shown}: ${readError(error)}; ${folder}`);
    return undefined;
  }
}

function readCertificates(key: 'cert' | 'client_ca', path: string, context: TlsContext): Certificates | undefined {
  const text = readPem(key, path, context);
  if (text === undefined) return undefined;
  const { report } = context;
  const read = certificatesIn(text);
  if (read.length === 0) {
    const swapped = key === 'cert' && text.includes('PRIVATE KEY-----');
    const hint = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
    report.problem(at(key), `contains no certificate; ${hint}`);
    return undefined;
  }
  const all = read.flatMap((certificate, i) => {
    if (certificate !== undefined) return [certificate];
    report.problem(at(key), `certificate ${i + 1} of the file is damaged; get the file from its issuer again`);
    return [];
  });
  if (all.length < read.length) return undefined;
  // Only a warning, because the clock of this machine may be wrong.
  const outcome = key === 'cert' ? 'clients refuse to connect' : 'no client can connect';
  const warnings = all.flatMap((certificate) => dateWarnings(certificate, context.nowMs, outcome));
  for (const warning of warnings) report.warn(at(key), warning);
  return { text, all };
}

function readKey(path: string, context: TlsContext): { text: string; object: KeyObject } | undefined {
  const text = readPem('key', path, context);
  if (text === undefined) return undefined;
  const { report } = context;
  const error = keyError(text);
  if (error !== undefined) {
    report.problem(at('key'), error);
    return undefined;
  }
  return { text, object: createPrivateKey(text) };
}

function checkPair({ all }: Certificates, key: KeyObject, { report }: TlsContext): boolean {
  const [own, ...chain] = all;
  if (own?.checkPrivateKey(key) === true) return true;
  if (chain.some((certificate) => certificate.checkPrivateKey(key))) {
    report.problem(at('cert'), 'the certificate that belongs to `key` must come first in the file, before its chain');
  } else {
    const hint = 'use the key that the certificate was requested with, or request a certificate for this key';
    report.problem(at('key'), `does not belong to the certificate in \`cert\`; ${hint}`);
  }
  return false;
}
