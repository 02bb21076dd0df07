import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { Secret } from '../secret.ts';
import type { TlsFiles } from './config.ts';
import { checkFileMode, type FileModeContext, readError } from './files.ts';
import type { TlsInput } from './schema.ts';

const DAY_MS = 86_400_000;
const RENEW_WITHIN_DAYS = 14;

/** The certificates of a PEM text, in order; undefined in place of one that is damaged. */
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

/** What to warn of in a certificate's dates. `outcome`: what becomes of one that is out of date. */
export function dateWarnings(
  { validFromDate, validToDate }: X509Certificate,
  nowMs: number,
  outcome: string,
): readonly string[] {
  const day = (date: Date) => date.toISOString().slice(0, 10);
  const left = validToDate.getTime() - nowMs;
  const remedy = `renew it, or ${outcome}`;
  const warnings: string[] = [];
  if (left < 0) {
    warnings.push(`expired on ${day(validToDate)}, by the clock of this machine; ${remedy}`);
  } else if (left < RENEW_WITHIN_DAYS * DAY_MS) {
    warnings.push(`expires soon, on ${day(validToDate)}; ${remedy}`);
  }
  if (validFromDate.getTime() > nowMs) {
    warnings.push(`is valid only from ${day(validFromDate)}; is the clock of this machine right?`);
  }
  return warnings;
}

/** Why a PEM text gives no private key; undefined if it gives one. `cert` and `key` are what the two are called. */
export function keyError(text: string): string | undefined {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    const swapped = text.includes('-----BEGIN CERTIFICATE-----');
    const remedy = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN PRIVATE KEY-----`';
    return `holds no private key; ${remedy}`;
  }
  if (/ENCRYPTED/.test(text)) {
    return 'is encrypted, and there is nobody to ask for its passphrase; decrypt it with `openssl pkey -in OLD -out NEW`';
  }
  const damaged = faultOf(() => createPrivateKey(text)) !== undefined;
  return damaged ? 'its private key is damaged; copy the whole file once more' : undefined;
}

/** Why a PEM text gives no certificate of one's own; undefined if it seems to hold one. */
export function certificateError(text: string): string | undefined {
  if (text.includes('-----BEGIN CERTIFICATE-----')) return undefined;
  const swapped = text.includes('PRIVATE KEY-----');
  const remedy = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
  return `holds no certificate; ${remedy}`;
}

/** The code of what `attempt` throws; undefined if it throws nothing. Messages of OpenSSL are not for users. */
export function faultOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  }
}

interface TlsContext extends FileModeContext {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

interface Certificates {
  readonly text: string;
  /** At least one; a server's own comes first. */
  readonly all: readonly X509Certificate[];
}

type FileKey = keyof TlsInput;

/** The files of `listen.tls`. Undefined, and a problem reported, where one cannot be used. */
export function readTls(tls: TlsInput, reading: TlsContext): TlsFiles | undefined {
  const { report } = reading;
  const cert = readCertificates('cert', tls.cert, reading);
  const key = readKey(tls.key, reading);
  const clientCa = tls.client_ca === undefined ? undefined : readCertificates('client_ca', tls.client_ca, reading);
  if (cert === undefined || key === undefined || !checkPair(cert, key.object, reading)) return undefined;
  if (clientCa === undefined && tls.client_ca !== undefined) return undefined;
  const contextFault = faultOf(() => createSecureContext({ cert: cert.text, key: key.text, ca: clientCa?.text }));
  if (contextFault !== undefined) report.problem(at('cert'), `cannot be served: ${contextFault}`);
  return {
    cert: cert.text,
    key: new Secret(key.text),
    clientCa: clientCa?.text,
  };
}

function at(key: FileKey) {
  return ['listen', 'tls', key];
}

function readPem(key: FileKey, path: string, reading: TlsContext): string | undefined {
  const { files, report } = reading;
  // A message that quoted the value, as one about a path does, would print the key.
  const fault =
    path.trim() === ''
      ? 'is empty; give the path of a PEM file'
      : path.includes('-----BEGIN')
        ? 'is the text of a PEM file; give the path of the file instead'
        : undefined;
  if (fault !== undefined) {
    report.problem(at(key), fault);
    return undefined;
  }
  try {
    const text = files.read(path);
    const isNameHidden = report.isInterpolated(at(key));
    checkFileMode({ path: at(key), file: path, isSecret: key === 'key', isNameHidden }, reading);
    return text;
  } catch (error) {
    const shown = report.isInterpolated(at(key)) ? 'the file named here' : `the file \`${path}\``;
    const folder = 'a relative path starts at the folder of this configuration';
    report.problem(at(key), `cannot read ${shown}: ${readError(error)}; ${folder}`);
    return undefined;
  }
}

function readCertificates(key: 'cert' | 'client_ca', path: string, reading: TlsContext): Certificates | undefined {
  const text = readPem(key, path, reading);
  if (text === undefined) return undefined;
  const { report } = reading;
  const read = certificatesIn(text);
  if (read.length === 0) {
    const swapped = key === 'cert' && text.includes('PRIVATE KEY-----');
    const remedy = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
    report.problem(at(key), `holds no certificate; ${remedy}`);
    return undefined;
  }
  const all = read.flatMap((certificate, i) => {
    if (certificate !== undefined) return [certificate];
    report.problem(at(key), `certificate ${i + 1} of the file is damaged; get the file once more from its issuer`);
    return [];
  });
  if (all.length < read.length) return undefined;
  // Only a warning: the clock of this machine may be what is wrong.
  const outcome = key === 'cert' ? 'callers refuse to connect' : 'no client is let in';
  const warnings = all.flatMap((certificate) => dateWarnings(certificate, reading.now, outcome));
  for (const warning of warnings) report.warn(at(key), warning);
  return { text, all };
}

function readKey(path: string, reading: TlsContext): { text: string; object: KeyObject } | undefined {
  const text = readPem('key', path, reading);
  if (text === undefined) return undefined;
  const { report } = reading;
  const fault = keyError(text);
  if (fault !== undefined) {
    report.problem(at('key'), fault);
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
    const remedy = 'name the key that the certificate was asked for with, or have a new one issued for this key';
    report.problem(at('key'), `does not belong to the certificate in \`cert\`; ${remedy}`);
  }
  return false;
}
