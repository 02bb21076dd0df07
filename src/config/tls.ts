import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { TlsIdentity } from '../http/client/connect-options.ts';
import { Secret } from '../secret.ts';
import type { TlsFiles } from './config.ts';
import type { Diagnostics } from './diagnostics.ts';
import { checkFileMode, type FileModeContext, readError } from './disk.ts';
import type { TlsInput } from './schema.ts';
import type { RouteTlsInput } from './schema-route.ts';
import type { Path } from './source.ts';

const DAY_MS = 86_400_000;
const RENEW_WITHIN_DAYS = 14;

export interface CertificateContext extends FileModeContext {
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

interface Certificates {
  readonly text: string;
  /** At least one. That of the server or client comes first. */
  readonly all: readonly X509Certificate[];
}

/** The files of `listen.tls`. Reports one that cannot be used, and returns undefined. */
export function readTls(tls: TlsInput, context: CertificateContext): TlsFiles | undefined {
  const { report } = context;
  const at = (key: keyof TlsInput) => ['listen', 'tls', key];
  const cert = readCertificates(at('cert'), tls.cert, context, 'clients refuse to connect');
  const key = readKey(at('key'), tls.key, context);
  const clientCa =
    tls.client_ca === undefined
      ? undefined
      : readCertificates(at('client_ca'), tls.client_ca, context, 'no client can connect');
  if (cert === undefined || key === undefined || !checkPair(['listen', 'tls'], cert, key.object, report)) {
    return undefined;
  }
  if (clientCa === undefined && tls.client_ca !== undefined) return undefined;
  const contextError = errorCodeOf(() => createSecureContext({ cert: cert.text, key: key.text, ca: clientCa?.text }));
  if (contextError !== undefined) report.problem(at('cert'), `cannot be used: ${contextError}`);
  return {
    cert: cert.text,
    key: new Secret(key.text),
    clientCa: clientCa?.text,
  };
}

/** The `tls` of the route at `path`. Reports what cannot be used; then the result is incomplete. */
export function readRouteTls(path: Path, tls: RouteTlsInput, context: CertificateContext): TlsIdentity {
  const at = [...path, 'tls'];
  checkCombination(at, tls, context.report);
  const ca =
    tls.ca === undefined
      ? undefined
      : readCertificates([...at, 'ca'], tls.ca, context, 'connections to its servers fail');
  const { server_name: serverName, min_version: minVersion } = tls;
  return {
    ...(ca && { ca: ca.all.map(String) }),
    ...(tls.pfx === undefined ? readPair(at, tls, context) : readPfx(at, tls.pfx, tls.passphrase, context)),
    ...(serverName !== undefined && { serverName }),
    ...(minVersion !== undefined && { minVersion }),
  };
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

/** What is wrong with the PEM text of an unencrypted private key; undefined if nothing is. */
export function keyError(text: string): string | undefined {
  const error = pemKeyError(text);
  if (error === undefined && isEncrypted(text)) {
    return 'is encrypted, and Wakala cannot ask for a passphrase; decrypt it with `openssl pkey -in OLD -out NEW`';
  }
  const damaged = error === undefined && errorCodeOf(() => createPrivateKey(text)) !== undefined;
  return damaged ? DAMAGED_KEY : error;
}

const DAMAGED_KEY = 'its private key is damaged; copy the whole file again';

/** What is wrong with a text that should contain a private key, encrypted or not. */
function pemKeyError(text: string): string | undefined {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) return undefined;
  const swapped = text.includes('-----BEGIN CERTIFICATE-----');
  const hint = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN PRIVATE KEY-----`';
  return `contains no private key; ${hint}`;
}

/** Whether the key is encrypted, as PKCS#8 or in the older form with a `Proc-Type` header. */
function isEncrypted(text: string): boolean {
  return /^(-----BEGIN ENCRYPTED |Proc-Type:.*ENCRYPTED)/m.test(text);
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

type FileKind = 'PEM' | 'PKCS#12';

/** The text of the file that the value at `at` names; a PKCS#12 file as Base64. */
function readFileAt(
  at: Path,
  path: string,
  { kind, isSecret }: { readonly kind: FileKind; readonly isSecret: boolean },
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

/** The certificates of a PEM file. `outcome`: what happens after one has expired. */
function readCertificates(
  at: Path,
  path: string,
  context: CertificateContext,
  outcome: string,
): Certificates | undefined {
  const text = readFileAt(at, path, { kind: 'PEM', isSecret: false }, context);
  if (text === undefined) return undefined;
  const { report } = context;
  const read = certificatesIn(text);
  if (read.length === 0) {
    const swapped = at.at(-1) === 'cert' && text.includes('PRIVATE KEY-----');
    const hint = swapped ? 'are `cert` and `key` swapped?' : 'it must be PEM, with `-----BEGIN CERTIFICATE-----`';
    report.problem(at, `contains no certificate; ${hint}`);
    return undefined;
  }
  const all = read.flatMap((certificate, i) => {
    if (certificate !== undefined) return [certificate];
    report.problem(at, `certificate ${i + 1} of the file is damaged; get the file from its issuer again`);
    return [];
  });
  if (all.length < read.length) return undefined;
  // Only a warning, because the clock of this machine may be wrong.
  const warnings = all.flatMap((certificate) => dateWarnings(certificate, context.nowMs, outcome));
  for (const warning of warnings) report.warn(at, warning);
  return { text, all };
}

function readKey(at: Path, path: string, context: CertificateContext): { text: string; object: KeyObject } | undefined {
  const text = readFileAt(at, path, { kind: 'PEM', isSecret: true }, context);
  if (text === undefined) return undefined;
  const error = keyError(text);
  if (error !== undefined) {
    context.report.problem(at, error);
    return undefined;
  }
  return { text, object: createPrivateKey(text) };
}

/** Whether the first certificate belongs to the key. `at`: the mapping with `cert` and `key`. */
function checkPair(at: Path, { all }: Certificates, key: KeyObject, report: Diagnostics): boolean {
  const [own, ...chain] = all;
  if (own?.checkPrivateKey(key) === true) return true;
  if (chain.some((certificate) => certificate.checkPrivateKey(key))) {
    const text = 'the certificate that belongs to `key` must come first in the file, before its chain';
    report.problem([...at, 'cert'], text);
  } else {
    const hint = 'use the key that the certificate was requested with, or request a certificate for this key';
    report.problem([...at, 'key'], `does not belong to the certificate in \`cert\`; ${hint}`);
  }
  return false;
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

/** What happens after a client certificate has expired. */
const EXPIRED_CLIENT = 'the server refuses it';

/** The client certificate in `cert` and `key` of a route. */
function readPair(at: Path, tls: RouteTlsInput, context: CertificateContext): ClientIdentity {
  const { report } = context;
  const cert =
    tls.cert === undefined ? undefined : readCertificates([...at, 'cert'], tls.cert, context, EXPIRED_CLIENT);
  const key =
    tls.key === undefined ? undefined : readFileAt([...at, 'key'], tls.key, { kind: 'PEM', isSecret: true }, context);
  const object = key === undefined ? undefined : decryptKey(at, key, tls.passphrase, report);
  if (cert === undefined || key === undefined || object === undefined || !checkPair(at, cert, object, report))
    return {};
  const passphrase = isEncrypted(key) ? tls.passphrase : undefined;
  const error = errorCodeOf(() => createSecureContext({ cert: cert.text, key, passphrase }));
  if (error !== undefined) report.problem([...at, 'cert'], `cannot be used: ${error}`);
  return {
    cert: cert.text,
    key: new Secret(key),
    ...(passphrase !== undefined && { passphrase: new Secret(passphrase) }),
  };
}

/** The private key of a route. Reports why it cannot be read. */
function decryptKey(
  at: Path,
  text: string,
  passphrase: string | undefined,
  report: Diagnostics,
): KeyObject | undefined {
  const encrypted = isEncrypted(text);
  const problem = (key: string, message: string) => {
    report.problem([...at, key], message);
    return undefined;
  };
  const error = pemKeyError(text);
  if (error !== undefined) {
    problem('key', error);
    return;
  }
  if (encrypted && passphrase === undefined) {
    report.problem([...at, 'key'], 'is encrypted; add its `passphrase`');
    return undefined;
  }
  if (!encrypted && passphrase !== undefined)
    report.warn([...at, 'passphrase'], 'has no effect: `key` is not encrypted');
  try {
    return createPrivateKey(encrypted && passphrase !== undefined ? { key: text, passphrase } : text);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ERR_OSSL_BAD_DECRYPT') {
      problem('passphrase', 'does not decrypt `key`');
      return;
    }
    if (code === 'ERR_OSSL_EVP_UNSUPPORTED') {
      const command = 'openssl pkey -provider legacy -provider default -in OLD -aes256 -out NEW';
      problem('key', `is encrypted with an algorithm that OpenSSL 3 no longer supports; run \`${command}\``);
      return;
    }
    problem('key', DAMAGED_KEY);
    return;
  }
}

/** The client certificate in `pfx` of a route. */
function readPfx(at: Path, path: string, passphrase: string | undefined, context: CertificateContext): ClientIdentity {
  const { report, nowMs } = context;
  const pfx = readFileAt([...at, 'pfx'], path, { kind: 'PKCS#12', isSecret: true }, context);
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
