import { gunzipSync } from 'node:zlib';

const HIDDEN = '[redacted]';

/** Headers whose values are nobody's secret. Of any other it is only said that it was there. */
const SHOWN = new Set(
  (
    'accept accept-encoding accept-language age allow cache-control content-encoding content-language content-length ' +
    'connection content-type date etag expect host idempotency-key last-modified origin prefer retry-after sec-fetch-dest ' +
    'sec-fetch-mode sec-fetch-site server traceparent transfer-encoding upgrade user-agent vary via wakala-token ' +
    'x-callback-url x-emulated-by x-emulated-reason x-idempotency-key x-reference-id x-request-id x-target-environment ' +
    'x-upstream-request-id x-webhook-mode'
  ).split(' '),
);

/** A header list with the values of all but harmless headers hidden. */
export function maskedHeaders(list: readonly string[]): [name: string, value: string][] {
  const masked: [string, string][] = [];
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] ?? '';
    masked.push([name, SHOWN.has(name.toLowerCase()) ? maskedText(list[i + 1] ?? '') : HIDDEN]);
  }
  return masked;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A path with what may be a token or a phone number in it hidden. */
export function maskedPath(path: string): string {
  return path
    .split('/')
    .map((segment) => (isOpaque(segment) ? HIDDEN : maskedText(segment)))
    .join('/');
}

/** A path of which nothing is known, not even that its segments are no tokens: long ones are hidden. */
export function maskedUnknownPath(path: string): string {
  return path
    .split('/')
    .map((segment) => (segment.length >= 16 ? HIDDEN : maskedText(segment)))
    .join('/');
}

/** A query with its names, and with those values that are short and harmless. */
export function maskedQuery(query: string): string {
  return query.replace(/([^?&=]*)=([^&]*)/g, (_, name: string, value: string) =>
    isSecretName(name) || isOpaque(value) ? `${name}=${HIDDEN}` : `${name}=${maskedText(value)}`,
  );
}

/** Long, and no UUID: it may open something. */
function isOpaque(text: string): boolean {
  return text.length >= 32 && !UUID.test(text);
}

function isSecretName(name: string): boolean {
  return /pass|secret|token|credential|signature|api[-_]?key|^key$|^auth|^pin$|^otp$|^cvv?$|card|^pan$/i.test(name);
}

/**
 * A UUID, which stays, or what may be a phone number (E.164: up to 15 digits) or the number of a card (ISO/IEC 7812: up
 * to 19): its first three and last two digits stay.
 */
const UUID_OR_NUMBER = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![\d.])(\+?\d{3})\d{4,14}(\d{2})(?![\d.])/gi;

function maskedText(text: string): string {
  return text.replace(UUID_OR_NUMBER, (found: string, start: string | undefined, end: string | undefined) =>
    start === undefined || end === undefined ? found : `${start}•••${end}`,
  );
}

/**
 * A body as it may be shown: the values of secret fields, tokens and phone numbers hidden, whatever the format.
 * @param encoding the Content-Encoding
 */
export function maskedBody(bytes: Uint8Array, encoding: string | undefined): string {
  const text = Buffer.from(decoded(bytes, encoding)).toString('utf8');
  if (/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(text)) return `${bytes.length} bytes that are no text`;
  try {
    return JSON.stringify(maskedValue(JSON.parse(text)), null, 2);
  } catch {
    const withoutSecrets = text.replace(
      /([\w-]+)(["']?\s*[:=>]\s*["']?)([^"'&\s,}<]+)/g,
      (whole, name: string, is: string) => (isSecretName(name) ? `${name}${is}${HIDDEN}` : whole),
    );
    return maskedText(withoutSecrets.replace(/[A-Za-z0-9+/_=.-]{32,}/g, (long) => (UUID.test(long) ? long : HIDDEN)));
  }
}

function maskedValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskedValue);
  if (typeof value === 'string') return isOpaque(value) && !/[\s:]/.test(value) ? HIDDEN : maskedText(value);
  if (typeof value === 'number') return Number.isInteger(value) && value >= 1e9 ? maskedText(String(value)) : value;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      isSecretName(name) && inner !== null ? HIDDEN : maskedValue(inner),
    ]),
  );
}

function decoded(bytes: Uint8Array, encoding: string | undefined): Uint8Array {
  if (encoding?.toLowerCase() !== 'gzip') return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: 1024 * 1024 });
  } catch {
    return bytes;
  }
}
