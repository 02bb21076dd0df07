import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { Secret } from '../secret.ts';
import type { TlsFiles } from './config.ts';
import { readFault } from './files.ts';
import type { ConfigInput, TlsInput } from './schema.ts';
import { reportShared, type SecretReading } from './secret-files.ts';

export interface TlsReading extends SecretReading {
  readonly input: ConfigInput;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

interface Certificates {
  readonly text: string;
  /** At least one; a server's own comes first. */
  readonly all: readonly X509Certificate[];
}

type FileKey = keyof TlsInput;

const DAY_MS = 86_400_000;
const RENEW_WITHIN_DAYS = 14;

/** The files of `listen.tls`. Undefined, and a problem reported, where one cannot be used. */
export function readTls(tls: TlsInput, reading: TlsReading): TlsFiles | undefined {
  const { files, report } = reading;
  const cert = readCertificates('cert', tls.cert, reading);
  const key = readKey(tls.key, reading);
  const clientCa = tls.client_ca === undefined ? undefined : readCertificates('client_ca', tls.client_ca, reading);
  if (cert === undefined || key === undefined || !checkPair(cert, key.object, reading)) return undefined;
  if (clientCa === undefined && tls.client_ca !== undefined) return undefined;
  const contextFault = faultOf(() => createSecureContext({ cert: cert.text, key: key.text, ca: clientCa?.text }));
  if (contextFault !== undefined) report.problem(at('cert'), `cannot be served: ${contextFault}`);
  return {
    certFile: files.absolute(tls.cert),
    keyFile: files.absolute(tls.key),
    clientCaFile: tls.client_ca && files.absolute(tls.client_ca),
    cert: cert.text,
    key: new Secret(key.text),
    clientCa: clientCa?.text,
  };
}

function at(key: FileKey) {
  return ['listen', 'tls', key];
}

function readPem(key: FileKey, path: string, { files, report }: TlsReading): string | undefined {
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
    return files.read(path);
  } catch (error) {
    const shown = report.isInterpolated(at(key)) ? 'the file named here' : `the file \`${path}\``;
    const folder = 'a relative path starts at the folder of this configuration';
    report.problem(at(key), `cannot read ${shown}: ${readFault(error)}; ${folder}`);
    return undefined;
  }
}

function readCertificates(key: 'cert' | 'client_ca', path: string, reading: TlsReading): Certificates | undefined {
  const text = readPem(key, path, reading);
  if (text === undefined) return undefined;
  const { report } = reading;
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    const swapped = key === 'cert' && text.includes('PRIVATE KEY-----');
    const remedy = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
    report.problem(at(key), `holds no certificate; ${remedy}`);
    return undefined;
  }
  const all = blocks.flatMap((block, i) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      report.problem(at(key), `certificate ${i + 1} of the file is damaged; get the file once more from its issuer`);
      return [];
    }
  });
  if (all.length < blocks.length) return undefined;
  for (const certificate of all) warnOfDates(key, certificate, reading);
  return { text, all };
}

/** Only a warning: the clock of this machine may be what is wrong. */
function warnOfDates(key: FileKey, { validFromDate, validToDate }: X509Certificate, { report, now }: TlsReading): void {
  const day = (date: Date) => date.toISOString().slice(0, 10);
  const left = validToDate.getTime() - now;
  const remedy = `renew it, or ${key === 'cert' ? 'callers refuse to connect' : 'no client is let in'}`;
  if (left < 0) {
    report.warn(at(key), `expired on ${day(validToDate)}, by the clock of this machine; ${remedy}`);
  } else if (left < RENEW_WITHIN_DAYS * DAY_MS) {
    report.warn(at(key), `expires soon, on ${day(validToDate)}; ${remedy}`);
  }
  if (validFromDate.getTime() > now) {
    report.warn(at(key), `is valid only from ${day(validFromDate)}; is the clock of this machine right?`);
  }
}

function readKey(path: string, reading: TlsReading): { text: string; object: KeyObject } | undefined {
  const text = readPem('key', path, reading);
  if (text === undefined) return undefined;
  const { report, input, files } = reading;
  const shown = report.isInterpolated(at('key')) ? undefined : files.absolute(path);
  if (files.isShared(path)) reportShared(at('key'), shown, input, reading);
  const fault = keyFault(text);
  if (fault !== undefined) {
    report.problem(at('key'), fault);
    return undefined;
  }
  return { text, object: createPrivateKey(text) };
}

function keyFault(text: string): string | undefined {
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

function checkPair({ all }: Certificates, key: KeyObject, { report }: TlsReading): boolean {
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

/** The code of what `attempt` throws; undefined if it throws nothing. Messages of OpenSSL are not for users. */
function faultOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  }
}
