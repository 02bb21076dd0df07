import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { validateConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/errors.ts';
import { assertNoRestartNeeded } from '../../src/server/reload.ts';
import { ROOT, tableOf } from '../docs/documents.ts';

const run = promisify(execFile);
const FILE = 'docs/configuration-reference.md';

interface Node {
  readonly description?: string;
  readonly default?: unknown;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** A key, with the table that it must be in. */
interface Key {
  readonly table: string;
  readonly name: string;
  readonly node: Node;
  readonly required: boolean;
}

/** Mappings with the same keys as another one. The reference describes only that. */
const SAME: Readonly<Record<string, string>> = {
  'token.refresh.request': 'token.request',
  'token.refresh.request.basic': 'token.request.basic',
  'token.refresh.response': 'token.response',
  'token.denied_token[]': 'token.dead_token[]',
  'token.request.values': 'sign[].values',
  'token.refresh.request.values': 'sign[].values',
  'token.header_value': 'sign[].values',
};

const KEYS = keysOf(jsonSchema(), '');

function keysOf(mapping: Node, prefix: string): Key[] {
  const own = prefix.replace(/\.$/, '');
  const name = SAME[own] ?? own;
  const table = { '': '## Top-level keys', routes: '## Route keys' }[name] ?? `### \`${name}\``;
  return Object.entries(mapping.properties ?? {}).flatMap(([key, node]) => {
    const required = mapping.required?.includes(key) ?? false;
    const entries = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
    const inside = [node, entries, ...(node.anyOf ?? [])].filter((each) => each?.properties !== undefined);
    const path = own === 'routes' ? key : `${prefix}${key}`;
    return [
      { table, name: key, node, required },
      ...inside.flatMap((each) => keysOf(each!, `${path}.`)),
      ...(node.items?.properties === undefined ? [] : keysOf(node.items, `${path}[].`)),
    ];
  });
}

describe(FILE, () => {
  it('is up to date: npm run docs:config writes it', { timeout: 60_000 }, async () => {
    const { stderr } = await run(process.execPath, [path.join(ROOT, 'scripts/config-docs.mjs'), '--check']);
    expect(stderr).toBe('');
  });

  it('has exactly the keys of each mapping in its table', () => {
    expect(KEYS.length).toBeGreaterThan(80);
    const names = Map.groupBy(KEYS, ({ table }) => table);
    for (const [table, keys] of names) {
      const shown = tableOf(FILE, table).map(([key = '']) =>
        /^(?:\[(\w+)\]\(.*\)|(\w+))$/.exec(key)?.slice(1).join(''),
      );
      expect(shown, table).toEqual([...new Set(keys.map(({ name }) => name))]);
    }
  });

  it('gives the value, the default and the meaning of each key', () => {
    for (const key of KEYS) {
      const { table, name, node, required } = key;
      const [, value = '', fallback = '', meaning = ''] = rowOf(key) ?? [];
      const where = `${table} ${name}`;
      expect(value, where).toMatch(/^\S/);
      expect(node.description, where).toMatch(/^[A-Z`].*\.$/s);
      expect(node.description?.replaceAll('`', ''), where).toContain(meaning);
      expect(meaning, where).toMatch(/^.{10,}\.$/);
      expect(meaning, where).not.toContain('Default:');
      if (required) expect(fallback, where).toBe('required');
      else if (node.default !== undefined) expect(fallback, where).toBe(String(node.default));
      else expect(fallback, where).toMatch(/^\w/);
    }
  });

  it('gives the range of each duration and size', () => {
    const values = KEYS.flatMap((key) => rowOf(key)?.[1] ?? []).filter((value) => /^\[(duration|size)\]/.test(value));
    expect(values.length).toBeGreaterThanOrEqual(7);
    for (const value of values) expect(value).toMatch(/\), \d+(ms|s|KiB)? to \d+\w+$/);
  });
});

function rowOf({ table, name }: Key): string[] | undefined {
  return tableOf(FILE, table).find(([key = '']) => key === name || key.startsWith(`[${name}]`));
}

describe('a description', () => {
  const needsRestart = (key: string) =>
    KEYS.some(({ table, name, node }) => table === '## Top-level keys' && name === key && mentionsRestart(node));
  const mentionsRestart = ({ description = '' }: Node) => /\beffect after a restart\b/.test(description);

  it.each([
    ['listen', '127.0.0.1:9000'],
    ['admin', '127.0.0.1:9002'],
    ['token_store', '{ redis: "redis://127.0.0.1:6379", encryption_key: made-up-key-made-up-key-made-up-key }'],
    ['workers', '2'],
    ['tracing', '{ otlp: "http://127.0.0.1:4318" }'],
    ['environment', 'production'],
    ['open', 'true'],
    ['clients', '[{ name: shop, key: made-up-key-of-the-shop }]'],
    ['allowed_hosts', '[wakala.example]'],
    ['allowed_origins', '["https://app.example"]'],
    ['max_connections', '7'],
    ['drain_timeout', '7s'],
    ['keep_alive_timeout', '7s'],
    ['inspect_bodies', 'true'],
  ])('says whether a change of %s needs a restart', (key, value) => {
    const before = configOf('');
    const after = configOf(`${key}: ${value}\n`);
    if (needsRestart(key)) expect(() => assertNoRestartNeeded(before, after)).toThrow(/\brestart\b/);
    else expect(() => assertNoRestartNeeded(before, after)).not.toThrow();
  });
});

function configOf(text: string): Config {
  const route =
    'routes:\n  /x/*: { provider: mpesa, credentials: { consumer_key: made-up, consumer_secret: made-up } }\n';
  const { config, problems } = validateConfig('proxy.config.yaml', { env: {}, readFile: () => text + route });
  if (config === undefined) throw new Error(problems.map(formatProblem).join('\n'));
  return config;
}
