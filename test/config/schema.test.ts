import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { documentedSchema } from '../../src/config/json-schema.ts';
import { configSchema, DEFAULTS } from '../../src/config/schema.ts';
import { duration, fallbackOf, field, size } from '../../src/config/schema-fields.ts';
import { settingDefault, SETTINGS } from '../../src/config/schema-route.ts';
import { valueAt } from '../../src/json.ts';
import { mpesaRoute, mpesaWith, problemsOf, warningsOf } from './validate-text.ts';

const doc = 'A sentence.';

describe('field', () => {
  it.each([
    ['a duration without a unit', () => field(duration('1ms', '24h'), { doc, default: '60' })],
    ['a duration above its range', () => field(duration('1ms', '24h'), { doc, default: '25h' })],
    ['a duration below its range', () => field(duration('1s', '24h'), { doc, fallback: '1ms' })],
    ['a size in a unit that does not exist', () => field(size('0', '1GiB'), { doc, default: '10Mb' })],
    ['a count above its range', () => field(z.int().max(10), { doc, default: 11 })],
  ])('rejects %s as a default', (_, make) => {
    expect(make).toThrow(/^The default .* of a key is not valid: /);
  });

  it.each([
    ['duration', () => duration('1.5s', '24h')],
    ['size', () => size('0', '1.5GiB')],
  ])('rejects a %s range that cannot be read', (_, make) => {
    expect(make).toThrow(/^not a range of /);
  });

  it('gives a key that is left out its default, parsed', () => {
    const schema = z.strictObject({
      wait: field(duration('1ms', '24h'), { doc, default: '60s' }),
      space: field(size('0', '1GiB'), { doc, default: '10MiB' }),
    });
    expect(schema.parse({})).toEqual({ wait: 60_000, space: 10 * 1024 ** 2 });
  });

  it('leaves a fallback to the code that applies it', () => {
    const lifetime = field(duration('1s', '24h'), { doc, fallback: '5m' });
    expect(z.strictObject({ lifetime }).parse({})).toEqual({});
    expect(fallbackOf(lifetime)).toBe(300_000);
  });

  it('without default, fallback or omitted makes a key required', () => {
    expect(z.strictObject({ url: field(z.string(), { doc }) }).safeParse({}).success).toBe(false);
  });
});

describe('the schema', () => {
  it('gives an empty file its documented defaults', () => {
    expect(DEFAULTS).toEqual({
      listen: { address: { host: '127.0.0.1', port: 8080 } },
      admin: { address: { host: '127.0.0.1', port: 9901 } },
      environment: 'sandbox',
      routes: {},
      open: false,
      workers: 1,
      keep_alive_timeout: 65_000,
      drain_timeout: 25_000,
      log: { level: 'info', format: 'auto' },
    });
  });

  it('says of every optional key what holds without it', () => {
    const lacking: string[] = [];
    const visit = (node: unknown, path: string) => {
      const required = (valueAt(node, 'required') ?? []) as string[];
      for (const [key, child] of Object.entries(valueAt(node, 'properties') ?? {})) {
        const says = ['default', 'fallback', 'omitted'].some((name) => valueAt(child, name) !== undefined);
        if (!says && !required.includes(key)) lacking.push(`${path}${key}`);
        visit(child, `${path}${key}.`);
      }
      for (const name of ['items', 'additionalProperties']) {
        if (valueAt(node, name) !== undefined) visit(valueAt(node, name), path);
      }
      for (const each of (valueAt(node, 'anyOf') ?? []) as unknown[]) visit(each, path);
    };
    visit(documentedSchema(), '');
    expect(lacking).toEqual([]);
  });

  it('accepts every default as a value of the file', () => {
    for (const { key, schema } of SETTINGS) {
      const written = valueAt(documentedSchema(), `properties.routes.additionalProperties.properties.${key}.default`);
      if (written !== undefined) expect(schema.parse(written), key).toEqual(schema.parse(undefined));
    }
    expect(configSchema.safeParse({ routes: {}, drain_timeout: '25s' }).data).toEqual(DEFAULTS);
  });
});

describe('route settings', () => {
  it('have their defaults on a route that sets none', () => {
    const route = mpesaRoute();
    for (const setting of SETTINGS)
      expect(route[setting.property], setting.key).toEqual(settingDefault(setting, route));
  });

  it('lower a default that exceeds the key that bounds it', () => {
    expect(mpesaRoute('timeout: 2s')).toMatchObject({ timeoutMs: 2000, connectTimeoutMs: 2000 });
    expect(mpesaRoute('max_body: 1KiB')).toMatchObject({ maxBodyBytes: 1024, replayLimitBytes: 1024 });
  });

  it('report a written value that exceeds the key that bounds it', () => {
    expect(problemsOf(mpesaWith('timeout: 2s', 'connect_timeout: 3s'))).toEqual([
      expect.stringContaining('is longer than `timeout`; lower it, or raise `timeout`'),
    ]);
  });

  it('warn of a written value that another key turns off, and not of a default', () => {
    expect(warningsOf(mpesaWith())).toEqual([]);
    expect(warningsOf(mpesaWith('websocket: false', 'max_websockets: 1000'))).toEqual([
      expect.stringContaining('max_websockets: has no effect without `websocket: true`'),
    ]);
  });
});
