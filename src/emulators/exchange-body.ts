import { parseBody } from 'hono/utils/body';
import type { Encoding } from '../providers/provider.ts';

const MEDIA_TYPES: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
};

/** The fields of a body in one of the encodings, each with all its values; or, as a string, why it is none. */
export async function bodyFields(
  body: Uint8Array,
  contentType: string,
  encodings: readonly Encoding[],
): Promise<ReadonlyMap<string, readonly unknown[]> | string> {
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase();
  const encoding = encodings.find((candidate) => MEDIA_TYPES[candidate] === mediaType);
  if (encoding === undefined) {
    return `expected content-type ${encodings.map((each) => MEDIA_TYPES[each]).join(' or ')}`;
  }
  try {
    if (encoding === 'json') return jsonFields(body);
    const request = new Request('http://127.0.0.1/', {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: Buffer.from(body),
    });
    return everyValue(await parseBody(request, { all: true }));
  } catch {
    return `the body is not ${MEDIA_TYPES[encoding]}`;
  }
}

function jsonFields(body: Uint8Array): ReadonlyMap<string, readonly unknown[]> {
  const value: unknown = JSON.parse(Buffer.from(body).toString());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object');
  return new Map(Object.entries(value).map(([name, field]) => [name, [field]]));
}

function everyValue(fields: Readonly<Record<string, unknown>>): ReadonlyMap<string, readonly unknown[]> {
  return new Map(
    Object.entries(fields).map(([name, value]): [string, unknown[]] => [name, Array.isArray(value) ? value : [value]]),
  );
}
