import { format, inspect } from 'node:util';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Secret } from '../src/secret.ts';

const VALUE = 'sk_made_up_5f2c';
const secret = new Secret(VALUE);

describe('a secret', () => {
  it('reveals its value', () => {
    expect(secret.reveal()).toBe(VALUE);
  });

  it.each<[string, () => string]>([
    ['a template string', () => `key ${secret as unknown as string}`],
    ['concatenation', () => 'key ' + (secret as unknown as string)],
    ['String()', () => String(secret)],
    ['join', () => [secret, secret].join(' ')],
    ['JSON', () => JSON.stringify({ secret, list: [secret] })],
    ['inspect', () => inspect(secret)],
    ['inspect of an object around it', () => inspect({ deep: { secret } }, { depth: 9, showHidden: true })],
    ['inspect of a map and a set', () => inspect([new Map([['key', secret]]), new Set([secret])], { depth: 9 })],
    ['format with %s, %o, %O and %j', () => format('%s %o %O %j', secret, secret, secret, secret)],
    ['the message of an error', () => inspect(new Error(`bad key ${String(secret)}`))],
    ['the cause of an error', () => inspect(new Error('bad key', { cause: secret }), { showHidden: true })],
  ])('prints as [redacted] in %s', (_, print) => {
    expect(print()).toContain('[redacted]');
    expect(print()).not.toContain(VALUE);
  });

  it.each<[string, () => unknown]>([
    ['inspect without custom printers', () => inspect(secret, { customInspect: false, showHidden: true, depth: 9 })],
    ['a copy of its properties', () => Object.assign({}, secret)],
    ['its keys', () => Reflect.ownKeys(secret)],
    ['a structured clone', () => inspect(structuredClone(secret), { showHidden: true })],
    ['a number', () => Number(secret)],
  ])('shows nothing of itself in %s', (_, print) => {
    expect(inspect(print())).not.toContain(VALUE);
  });

  it('prints as [redacted] in a log line, at any depth', () => {
    const lines: string[] = [];
    const log = pino({ base: null }, { write: (line: string) => lines.push(line) });
    log.info({ secret, err: new Error('x', { cause: secret }), deep: { list: [secret] } }, 'a %s', secret);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('[redacted]');
    expect(lines[0]).not.toContain(VALUE);
  });

  it('shows as the first 8 hex digits of its SHA-256', () => {
    // echo -n abc | sha256sum
    expect(new Secret('abc').fingerprint()).toBe('ba7816bf');
    expect(secret.fingerprint()).toMatch(/^[0-9a-f]{8}$/);
    expect(new Secret('').fingerprint()).toBe('e3b0c442');
  });

  it.each([
    [VALUE, true],
    [`${VALUE} `, false],
    [VALUE.slice(1), false],
    [VALUE.toUpperCase(), false],
    ['', false],
    ['x'.repeat(100_000), false],
  ])('compares with %j: %s', (other, equal) => {
    expect(secret.equals(other)).toBe(equal);
  });

  it('is equal to an empty string only if it is empty', () => {
    expect(new Secret('').equals('')).toBe(true);
    expect(new Secret('').equals('x')).toBe(false);
  });
});
