import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { Secret } from '../secret.ts';
import type { TlsFiles } from './config.ts';
import { readError } from './files.ts';
import { certificatesIn, dateWarnings, faultOf, keyError } from './pem.ts';
import type { TlsInput } from './schema.ts';
import { checkFileMode, type FileModeContext } from './secret-files.ts';

export interface TlsContext extends FileModeContext {
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
