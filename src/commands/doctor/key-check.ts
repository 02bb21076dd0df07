import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { RouteConfig } from '../../config/config.ts';
import { isRequested, type Provider } from '../../providers/provider.ts';
import { type DerivedValue, SIGNATURES } from '../../providers/sign-rule.ts';
import { placeholdersIn } from '../../providers/template.ts';
import { readPrivateKey, readPublicKey } from '../../signing/keys.ts';
import { type CheckResult, failed, ok } from './check-result.ts';

/**
 * What the private and public keys of the route are, to compare with what the provider has. Nothing is sent. Undefined if
 * no rule of the route has such a key.
 */
export function describeKeys({ provider, credentials }: RouteConfig): CheckResult | undefined {
  const found = [...keysOf(provider)].flatMap(([name, kind]) => {
    const text = credentials.get(name)?.reveal();
    return text === undefined ? [] : [{ name: nameOf(name), text, kind }];
  });
  if (found.length === 0) return undefined;
  const described: string[] = [];
  for (const { name, text, kind } of found) {
    const read = kind === 'private' ? readPrivateKey(text) : readPublicKey(text);
    if ('problem' in read) {
      const hint = 'Copy the key again from where the provider or you made it.';
      return failed('wrong', { what: `The key ${name} ${read.problem}.`, hint });
    }
    described.push(`${name} is ${kind === 'private' ? describePrivate(read.key) : describePublic(read.key, text)}`);
  }
  return ok(described.join('; '));
}

/** The credentials that are keys of a function, by name. */
function keysOf(provider: Provider): ReadonlyMap<string, 'private' | 'public'> {
  const { token, refresh, sign = [], tokenHeader } = provider;
  const requests = [isRequested(token) ? token.request : undefined, refresh?.request];
  const values = [
    ...[...sign, ...requests].flatMap((each) => Object.values(each?.values ?? {})),
    ...(tokenHeader?.value === undefined ? [] : [tokenHeader.value]),
  ];
  return new Map(values.flatMap((value) => placeholdersIn(value.key ?? '').flatMap((name) => kindsOf(name, value))));
}

function kindsOf(name: string, value: DerivedValue): [name: string, kind: 'private' | 'public'][] {
  if (value.rsa_encrypt !== undefined) return [[name, 'public']];
  return SIGNATURES.some((signature) => value[signature] !== undefined) ? [[name, 'private']] : [];
}

/** A key written in the rule itself has no credential name, so doctor calls it `in the rules`. */
function nameOf(credential: string): string {
  return /^value_\d+$/.test(credential) ? 'in the rules' : `\`${credential}\``;
}

function describePrivate(key: KeyObject): string {
  return `${describeKind(key)}, SHA-256 of its public key ${fingerprintOf(createPublicKey(key))}`;
}

function describePublic(key: KeyObject, text: string): string {
  const kind = describeKind(key);
  const certificate = certificateIn(text);
  if (certificate === undefined) return `${kind}, SHA-256 ${fingerprintOf(key)}`;
  return `${kind} in a certificate, SHA-256 of the certificate ${digestOf(certificate.raw)}`;
}

function certificateIn(text: string): X509Certificate | undefined {
  try {
    return new X509Certificate(text.replaceAll('\\n', '\n'));
  } catch {
    return undefined;
  }
}

/** SHA-256 of the DER (SubjectPublicKeyInfo), as `openssl pkey -pubin -outform der | sha256sum` prints it. */
function fingerprintOf(key: KeyObject): string {
  return digestOf(key.export({ type: 'spki', format: 'der' }));
}

function digestOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex');
}

function describeKind({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): string {
  const { modulusLength, namedCurve } = details;
  if (modulusLength !== undefined) return `RSA with ${modulusLength} bits`;
  return namedCurve === undefined ? String(type) : `EC on ${namedCurve}`;
}
