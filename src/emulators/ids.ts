import type { Random } from './issuer.ts';

/** A version 4 UUID (RFC 9562). */
export function uuid(random: Random): string {
  const bytes = random(16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** That many decimal digits, the first of them not 0. */
export function digits(random: Random, count: number): string {
  const all = [...random(count)].map((byte) => byte % 10).join('');
  return all.replace(/^0/, '1');
}

/** `yyyyMMddHHmmss` in East Africa Time, which has no daylight saving. */
export function eastAfricaStamp(timeMs: number): string {
  const shifted = new Date(timeMs + 3 * 3_600_000).toISOString();
  return shifted.replace(/\D/g, '').slice(0, 14);
}

export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
