import type { TlsIdentity } from '../http/client/connect-options.ts';
import { Secret } from '../secret.ts';
import {
  type Certificates,
  checkPair,
  checkUsable,
  clientCertificateOf,
  dateWarnings,
  EXPIRED_CLIENT,
  isEncryptedKey,
  readCertificates,
  readKey,
  readUnencryptedKey,
} from './certificates.ts';
import type { TlsFiles } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import { checkFileMode, type FileModeContext, readError } from './disk.ts';
import type { TlsInput } from './schema.ts';
import type { RouteTlsInput } from './schema-route.ts';
import type { Path } from './source.ts';

export interface CertificateContext extends FileModeContext {
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** The files of `listen.tls`. Reports one that cannot be used, and returns undefined. */
export function readListenerTls(tls: TlsInput, context: CertificateContext): TlsFiles | undefined {
  const { report } = context;
  const at = ['listen', 'tls'];
  const cert = readCertificateFile([...at, 'cert'], tls.cert, context, 'clients refuse to connect');
  const key = readFileAt([...at, 'key'], tls.key, KEY_FILE, context);
  const privateKey = key === undefined ? undefined : readUnencryptedKey(at, key, report);
  const clientCa = readCertificateFile([...at, 'client_ca'], tls.client_ca, context, 'no client can connect');
  if (cert === undefined || key === undefined || privateKey === undefined) return undefined;
  if (!checkPair(at, cert, privateKey, report)) return undefined;
  if (clientCa === undefined && tls.client_ca !== undefined) return undefined;
  checkUsable(at, { cert: cert.text, key, ca: clientCa?.text }, report);
  return { cert: cert.text, key: new Secret(key), clientCa: clientCa?.text };
}

/** The `tls` of the route at `path`. Reports what cannot be used; then the result is incomplete. */
export function readRouteTls(path: Path, tls: RouteTlsInput, context: CertificateContext): TlsIdentity {
  const at = [...path, 'tls'];
  checkCombination(at, tls, context.report);
  const ca = readCertificateFile([...at, 'ca'], tls.ca, context, 'connections to its servers fail');
  const { server_name: serverName, min_version: minVersion } = tls;
  return {
    ...(ca && { ca: ca.all.map(String) }),
    ...(tls.pfx === undefined ? readPair(at, tls, context) : readPfx(at, tls.pfx, tls.passphrase, context)),
    ...(serverName !== undefined && { serverName }),
    ...(minVersion !== undefined && { minVersion }),
  };
}

interface FileType {
  readonly kind: 'PEM' | 'PKCS#12';
  readonly isSecret: boolean;
}

const CERTIFICATE_FILE: FileType = { kind: 'PEM', isSecret: false };
const KEY_FILE: FileType = { kind: 'PEM', isSecret: true };
const PFX_FILE: FileType = { kind: 'PKCS#12', isSecret: true };

/** The text of the file that the value at `at` names; a PKCS#12 file as Base64. */
function readFileAt(
  at: Path,
  path: string,
  { kind, isSecret }: FileType,
  context: CertificateContext,
): string | undefined {
  const { files, report } = context;
  // Checked first, because a message about a path quotes the value, and this value may be the key itself.
  const error =
    path.trim() === ''
      ? `is empty; write the path of a ${kind} file`
      : path.includes('-----BEGIN')
        ? 'is the text of a PEM file; write the path of the file instead'
        : undefined;
  if (error !== undefined) {
    report.problem(at, error);
    return undefined;
  }
  try {
    const text = kind === 'PEM' ? files.read(path) : files.readBase64(path);
    checkFileMode({ path: at, file: path, isSecret, isNameHidden: report.isInterpolated(at) }, context);
    return text;
  } catch (error) {
    const shown = report.isInterpolated(at) ? 'this file' : `the file \`${path}\``;
    const folder = 'a relative path starts at the folder of this configuration';
    report.problem(at, `cannot read ${shown}: ${readError(error)}; ${folder}`);
    return undefined;
  }
}

/** The certificates of a PEM file. `outcome`: what happens after one has expired. Undefined without a path. */
function readCertificateFile(
  at: Path,
  path: string | undefined,
  context: CertificateContext,
  outcome: string,
): Certificates | undefined {
  const text = path === undefined ? undefined : readFileAt(at, path, CERTIFICATE_FILE, context);
  return text === undefined ? undefined : readCertificates(at, text, context, outcome);
}

/** Reports keys of a route's `tls` that do not go together. */
function checkCombination(at: Path, { cert, key, pfx, passphrase }: RouteTlsInput, report: Diagnostics): void {
  const written = report.keysAt(at);
  if (pfx !== undefined && (cert !== undefined || key !== undefined)) {
    report.problem(at, '`pfx` has the certificate and its key; remove `cert` and `key`, or remove `pfx`', 'pfx');
  } else if (cert !== undefined && !written.includes('key')) {
    report.problem(at, '`key` is missing; add the file of the private key of `cert`', 'key');
  } else if (key !== undefined && !written.includes('cert')) {
    report.problem(at, '`cert` is missing; add the file of the client certificate that belongs to `key`', 'cert');
  }
  if (passphrase !== undefined && !written.includes('key') && !written.includes('pfx')) {
    report.problem(at, '`passphrase` has no effect without an encrypted `key` or `pfx`; remove it', 'passphrase');
  }
}

type ClientIdentity = Pick<TlsIdentity, 'cert' | 'key' | 'pfx' | 'passphrase'>;

/** The client certificate in `cert` and `key` of a route. */
function readPair(at: Path, tls: RouteTlsInput, context: CertificateContext): ClientIdentity {
  const { report } = context;
  const cert = readCertificateFile([...at, 'cert'], tls.cert, context, EXPIRED_CLIENT);
  const key = tls.key === undefined ? undefined : readFileAt([...at, 'key'], tls.key, KEY_FILE, context);
  const privateKey = key === undefined ? undefined : readKey(at, key, tls.passphrase, report);
  if (cert === undefined || key === undefined || privateKey === undefined) return {};
  if (!checkPair(at, cert, privateKey, report)) return {};
  const passphrase = isEncryptedKey(key) ? tls.passphrase : undefined;
  checkUsable(at, { cert: cert.text, key, passphrase }, report);
  return {
    cert: cert.text,
    key: new Secret(key),
    ...(passphrase !== undefined && { passphrase: new Secret(passphrase) }),
  };
}

/** The client certificate in `pfx` of a route. */
function readPfx(at: Path, path: string, passphrase: string | undefined, context: CertificateContext): ClientIdentity {
  const { report, nowMs } = context;
  const pfx = readFileAt([...at, 'pfx'], path, PFX_FILE, context);
  if (pfx === undefined) return {};
  const identity = { pfx: new Secret(pfx), ...(passphrase !== undefined && { passphrase: new Secret(passphrase) }) };
  try {
    const certificate = clientCertificateOf(identity);
    const warnings = certificate === undefined ? [] : dateWarnings(certificate, nowMs, EXPIRED_CLIENT);
    for (const warning of warnings) report.warn([...at, 'pfx'], warning);
    return identity;
  } catch (error) {
    const { key, text } = pfxError(error, pfx, passphrase !== undefined);
    report.problem([...at, key], text);
    return {};
  }
}

const LEGACY_PFX =
  'is encrypted with algorithms that OpenSSL 3 no longer supports; run `openssl pkcs12 -legacy -in OLD -nodes -out ' +
  'TEMP.pem`, then `openssl pkcs12 -export -in TEMP.pem -out NEW`, and delete TEMP.pem';

/** Why a PKCS#12 file cannot be used. Node reports most reasons only as the text of OpenSSL. */
function pfxError(error: unknown, pfx: string, hasPassphrase: boolean): { key: 'pfx' | 'passphrase'; text: string } {
  const { message = '', code = '' } = error as { message?: string; code?: string };
  if (message.includes('mac verify failure')) {
    return hasPassphrase
      ? { key: 'passphrase', text: 'does not open `pfx`, or that file is damaged' }
      : { key: 'pfx', text: 'is encrypted; add its `passphrase`' };
  }
  if (code === 'ERR_CRYPTO_UNSUPPORTED_OPERATION') return { key: 'pfx', text: LEGACY_PFX };
  if (/load private key/.test(message)) return { key: 'pfx', text: 'contains no private key; export it with its key' };
  if (/load certificate/.test(message)) return { key: 'pfx', text: 'contains no certificate; export it with the key' };
  if (code.startsWith('ERR_SSL_')) return { key: 'pfx', text: `cannot be used: ${code}` };
  const isPem = Buffer.from(pfx, 'base64').includes('-----BEGIN');
  const hint = isPem ? 'it is PEM, so name it in `cert` and `key`' : 'copy the whole file again';
  return { key: 'pfx', text: `is not a PKCS#12 file, or is damaged; ${hint}` };
}
