import { createPrivateKey, X509Certificate } from 'node:crypto';

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
