import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type Algorithm, ALGORITHMS, readSigningKey, type SigningKey } from '../client-assertion.ts';
import { certificateError, certificatesIn, dateWarnings, faultOf, keyError } from './pem.ts';
import type { Diagnostics } from './problems.ts';
import type { OAuth2Input } from './schema-oauth2.ts';
import type { Path } from './tree.ts';

interface KeyReading {
  readonly report: Diagnostics;
  readonly emulated: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** What an assertion is signed with. */
export interface AssertionKey {
  /** PEM or JWK. */
  readonly key: string;
  readonly algorithm: Algorithm;
  /** As the JWK names itself. */
  readonly keyId: string | undefined;
}

/** The key of `private_key_jwt`. What is wrong with it is reported; where it is missing, something stands for it. */
export function readAssertionKey(at: Path, written: OAuth2Input, { report, emulated }: KeyReading): AssertionKey {
  const { key, algorithm } = written;
  const none: AssertionKey = { key: '', algorithm: algorithm ?? 'RS256', keyId: undefined };
  if (key === undefined) {
    const text = '`key` is missing (the private key of the client, as PEM or JWK)';
    if (!emulated) report.problem(at, text, 'key');
    return none;
  }
  if (key.trim() === '') return none;
  const signing = readSigningKey(key);
  if ('fault' in signing) {
    report.problem([...at, 'key'], signing.fault);
    return none;
  }
  return { key, algorithm: algorithmFor(at, algorithm, signing, report), keyId: signing.keyId };
}

function algorithmFor(at: Path, written: Algorithm | undefined, signing: SigningKey, report: Diagnostics): Algorithm {
  const own = signing.algorithm;
  const [usual = 'RS256'] = signing.algorithms;
  const wanted = written ?? (own === undefined ? usual : ALGORITHMS.find((each) => each === own));
  const list = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(' or ');
  if (written !== undefined && own !== undefined && own !== written) {
    report.problem([...at, 'algorithm'], 'is another than the `alg` in the JWK; leave it out');
  } else if (wanted === undefined) {
    report.problem([...at, 'key'], `its \`alg\` is none that can be used here; it must be ${list(ALGORITHMS)}`);
  } else if (!signing.algorithms.includes(wanted)) {
    const place = written === undefined ? 'key' : 'algorithm';
    const text = written === undefined ? 'its `alg` does not fit the key itself' : 'does not fit the key';
    report.problem([...at, place], `${text}, which is for ${list(signing.algorithms)}`);
  }
  return wanted ?? usual;
}

/** Certificate and key of `tls_client_auth`. What is wrong with them is reported. */
export function readClientCertificate(
  at: Path,
  { cert = '', key = '' }: OAuth2Input,
  { report, emulated, now }: KeyReading,
): { readonly cert: string; readonly key: string } {
  const texts = { cert, key };
  const missing = {
    cert: '`cert` is missing (the certificate of the client, as PEM)',
    key: '`key` is missing (the private key of the certificate, as PEM)',
  };
  const faults = { cert: certificateError(cert), key: keyError(key) };
  for (const name of ['cert', 'key'] as const) {
    const isMissing = texts[name].trim() === '';
    const isWritten = report.keysAt(at).includes(name);
    if (isMissing && !isWritten && !emulated) report.problem(at, missing[name], name);
    else if (!isMissing && !texts[name].includes('-----BEGIN')) {
      report.problem([...at, name], 'it must be PEM; to read it from a file, write `$' + '{file:/path}`');
    } else if (!isMissing && faults[name] !== undefined) report.problem([...at, name], faults[name]);
  }
  if (faults.cert === undefined && faults.key === undefined) checkPair(at, texts, report, now);
  return texts;
}

function checkPair(at: Path, { cert, key }: { cert: string; key: string }, report: Diagnostics, now: number): void {
  const read = certificatesIn(cert);
  const all = read.filter((certificate): certificate is X509Certificate => certificate !== undefined);
  if (all.length < read.length || all.length === 0) {
    report.problem([...at, 'cert'], 'is damaged; get it once more from its issuer');
    return;
  }
  for (const warning of all.flatMap((each) => dateWarnings(each, now, 'the server refuses it'))) {
    report.warn([...at, 'cert'], warning);
  }
  const privateKey = createPrivateKey(key);
  const [own, ...chain] = all;
  if (own?.checkPrivateKey(privateKey) === true) {
    const fault = faultOf(() => createSecureContext({ cert, key }));
    if (fault !== undefined) report.problem([...at, 'cert'], `cannot be used: ${fault}`);
  } else if (chain.some((certificate) => certificate.checkPrivateKey(privateKey))) {
    report.problem([...at, 'cert'], 'the certificate that belongs to `key` must come first, before its chain');
  } else {
    report.problem([...at, 'key'], 'does not belong to the certificate in `cert`');
  }
}
