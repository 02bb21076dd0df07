import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/commands/io.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { type Examined, examineConfig } from '../../src/config/load.ts';
import { control, newCore } from '../../src/emulators/core.ts';
import { startEmulator } from '../../src/emulators/emulator.ts';
import { TOKEN_ENDPOINT_MODES } from '../../src/emulators/faults.ts';
import { emulatorPorts } from '../../src/emulators/ports.ts';
import { emulatedCredentials } from '../../src/emulators/credentials.ts';
import { formatProblem } from '../../src/errors.ts';
import { valueAt } from '../../src/json.ts';
import type { Exchange, Provider } from '../../src/providers/provider.ts';
import { providerNamed, providers } from '../../src/providers/registry.ts';
import { tokenRequest } from '../../src/tokens/request.ts';
import { type Block, blocksOf, DOCUMENTS, exists, ROOT, sectionOf, tableOf, textOf } from './documents.ts';

const run = promisify(execFile);
const CLI = path.join(ROOT, 'src/cli.ts');
const BLOCKS = DOCUMENTS.flatMap(blocksOf);
const placeOf = ({ file, line }: Block) => `${file}:${line}`;

describe('every yaml block', () => {
  const blocks = BLOCKS.filter(({ language }) => language === 'yaml').map((block) => [placeOf(block), block] as const);

  it.each(blocks.filter(([, { mark }]) => mark === undefined))('%s passes the check', (_, block) => {
    // The certificates of the examples are not there.
    const problems = examined(block).problems.filter(({ message }) => !message.includes('it must be PEM'));
    expect(problems.map(formatProblem)).toEqual([]);
  });

  it.each(blocks.filter(([, { mark }]) => mark === 'bad'))('%s gets the problems shown below it', (_, block) => {
    const shown = BLOCKS[BLOCKS.indexOf(block) + 1];
    expect(shown?.language).toBe('text');
    expect(examined(block).problems.map(formatProblem)).toEqual(shown?.text.trim().split('\n'));
  });
});

describe('every command', () => {
  const help = new Map<string, string>();
  const mentioned = [
    ...BLOCKS.filter(({ language }) => language === 'sh').flatMap((block) =>
      [...block.text.matchAll(/^(?:[A-Z_]+=\S+ )*(wakala(?: .*)?)$/gm)].map(([, line = '']) => [placeOf(block), line]),
    ),
    ...DOCUMENTS.flatMap((file) =>
      [...textOf(file).matchAll(/`(wakala [^`]+)`/g)].map(([, line = '']) => [file, line]),
    ),
  ].map(([place = '', line = '']) => [place, line] as const);

  beforeAll(async () => {
    const { stdout } = await run(process.execPath, [CLI, '--help']);
    const names = [...stdout.matchAll(/^ {2}(\w+) (?:\[| {2})/gm)].map(([, name = '']) => name);
    const pages = names.map(async (name) => {
      help.set(name, (await run(process.execPath, [CLI, 'help', name === 'help' ? '' : name])).stdout);
    });
    await Promise.all(pages);
  }, 60_000);

  it.each(mentioned)('in %s is there, with its options: %s', (_, line) => {
    const words = line.split(/\s+(?![^']*'$)/).slice(1);
    const [first = 'serve'] = words.filter((word) => /^[a-z]/.test(word));
    const page = help.get(first);
    expect(page, first).toBeDefined();
    const options = page?.match(/(?<=[\s,])--?\w[\w-]*/g);
    for (const option of words.filter((word) => word.startsWith('-'))) expect(options).toContain(option);
  });

  it('is in the table of the README, and in no other', () => {
    const rows = tableOf('README.md', '## Commands').map(([command = '']) => command);
    const names = [...help.keys()].filter((name) => name !== 'help').map((name) => `wakala ${name}`);
    expect(rows.filter((row) => row.startsWith('wakala')).sort()).toEqual(names.sort());
  });

  it('has the exit codes that the README says', () => {
    const shown = [...sectionOf('README.md', '## Commands').matchAll(/^\| (\d) +\|/gm)].map(([, code]) => Number(code));
    expect(shown).toEqual(Object.values(EXIT));
  });
});

describe.each(DOCUMENTS)('%s', (file) => {
  const text = textOf(file);

  it('links to files and headings that are there', () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)];
    const targets = links.map(([, target = '', anchor]) => ({
      target: target === '' ? file : path.join(path.dirname(file), target),
      anchor,
    }));
    expect(targets.filter(({ target }) => !exists(target))).toEqual([]);
    const lost = targets.filter(({ target, anchor }) => anchor !== undefined && !anchorsOf(target).includes(anchor));
    expect(lost).toEqual([]);
  });

  it('names files that are there', () => {
    const named = [...text.matchAll(/`((?:src|test|docs|scripts|deploy)\/[\w./-]*)`/g)].map(([, name = '']) => name);
    // What the reader is told to make.
    const made = ['src/providers/acme.ts'];
    expect(named.filter((name) => !exists(name) && !made.includes(name))).toEqual([]);
  });
});

describe('README.md', () => {
  it('says npm start in its first sh block', () => {
    const [first] = blocksOf('README.md').filter(({ language }) => language === 'sh');
    expect(first?.text).toMatch(/^npm start/m);
  });

  it('has the error codes of src/errors.ts with status and outcome', () => {
    const inCode = [...textOf('src/errors.ts').matchAll(/^ {2}(\w+): \{ status: (\d+), outcome: '(\w+)' \}/gm)];
    expect(inCode.length).toBeGreaterThan(10);
    const shown = tableOf('README.md', "### Errors of Wakala's own").map((row) => row.slice(0, 3));
    expect(shown).toEqual(inCode.map((match) => match.slice(1)));
  });

  it('has the keys of the schema with their defaults', () => {
    const top = jsonSchema();
    const route = at(top, 'properties', 'routes', 'additionalProperties');
    expectTable('### Top-level keys', at(top, 'properties'));
    expectTable('### Route keys', at(route, 'properties'));
    expectTable('### The `token` block', at(route, 'properties', 'token', 'properties'));
  });

  it('has the built-in providers', () => {
    const names = tableOf('README.md', '## Providers').map(([name]) => name);
    expect(names.sort()).toEqual(providers.map(({ name }) => name).sort());
  });
});

describe('docs/configuration.md', () => {
  it('has a heading for every key', () => {
    const text = textOf('docs/configuration.md');
    const keys = [
      ...Object.keys(at(jsonSchema(), 'properties')),
      ...Object.keys(at(jsonSchema(), 'properties', 'routes', 'additionalProperties', 'properties')),
    ];
    expect(keys.filter((key) => !text.includes(`\n### \`${key}\``))).toEqual([]);
  });
});

describe('docs/emulators.md', () => {
  it('has every switch of POST /_emulator, and no other', () => {
    const shown = tableOf('docs/emulators.md', '## Switches').map(([name]) => name);
    expect(shown.sort()).toEqual(switches().sort());
  });

  it('has every mode of token_endpoint', () => {
    const shown = tableOf('docs/emulators.md', '### Modes of `token_endpoint`').map(([mode]) => mode);
    expect(shown.sort()).toEqual([...TOKEN_ENDPOINT_MODES].sort());
  });

  it('shows switch requests that are taken', () => {
    const bodies = sectionOf('docs/emulators.md', '## Switches').match(/^\{ .*\}$/gm) ?? [];
    expect(bodies.length).toBeGreaterThan(5);
    for (const body of bodies) control(emulator('paypack'), JSON.parse(body));
  });

  it('has the ports and credentials of every provider', () => {
    const ports = emulatorPorts(providers);
    for (const [i, provider] of providers.entries()) {
      const row = tableOf('docs/emulators.md', '## Addresses and credentials').find(([name]) => name === provider.name);
      expect(row?.[1]).toContain(`http://127.0.0.1:${ports[i]?.api}`);
      if (ports[i]?.auth !== undefined) expect(row?.[2]).toBe(`http://127.0.0.1:${ports[i].auth}`);
      const credentials = [...emulatedCredentials(provider)].map(([name, secret]) => `${name}: ${secret.reveal()}`);
      expect(row?.[3]).toBe(credentials.join(', '));
    }
  });
});

describe('docs/adding-a-provider.md', () => {
  it('has a provider that can be emulated as it stands', async () => {
    const [block] = blocksOf('docs/adding-a-provider.md').filter(({ language }) => language === 'ts');
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'wakala-docs-')), 'acme.ts');
    writeFileSync(file, block?.text ?? '');
    const { acme } = (await import(pathToFileURL(file).href)) as { acme: Provider };
    const emulator = await startEmulator(acme, { port: 0 });
    onTestFinished(() => emulator.close());
    const { request, response } = acme.token as Exchange;
    const valueOf = (name: string) => emulator.credentials.get(name)?.reveal();
    const { url, ...asked } = await tokenRequest(request, emulator.authUrl, valueOf);
    const answer = await fetch(url, { ...asked, body: Buffer.from(asked.body ?? '') });
    expect(answer.status).toBe(200);
    expect(valueAt(await answer.json(), response.accessToken)).toEqual(expect.any(String));
  });
});

function at(node: object, ...keys: string[]): Record<string, { default?: unknown }> {
  return keys.reduce<unknown>((below, key) => (below as Record<string, unknown>)[key], node) as never;
}

function expectTable(heading: string, properties: Record<string, { default?: unknown }>): void {
  const rows = tableOf('README.md', heading);
  expect(rows.map(([key]) => key).sort()).toEqual(Object.keys(properties).sort());
  for (const [key = '', , shown] of rows) {
    const value = properties[key]?.default;
    if (value !== undefined) expect(shown, key).toContain(String(value));
  }
}

function emulator(name: string) {
  const provider = providerNamed(name);
  if (provider === undefined) throw new Error(`no provider ${name}`);
  return newCore(provider, {});
}

/** The emulator itself says which switches it has, when it is given one that it does not. */
function switches(): string[] {
  try {
    control(emulator('paypack'), { nothing: 1 });
  } catch (error) {
    return /Allowed keys: (.*)\.$/.exec((error as Error).message)?.[1]?.split(', ') ?? [];
  }
  return [];
}

/** As GitHub makes them. */
function anchorsOf(file: string): string[] {
  const headings = [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/**
 * A block as `wakala check` sees it. A whole file is taken as it is; one without `routes` gets a route; one that begins
 * with a route's name is put below `routes`. The latter two leave things out, so credentials may be missing in them.
 */
function examined({ text }: Block): Examined {
  const isRoute = text.startsWith('/');
  const isWhole = /^routes:/m.test(text);
  const indented = `routes:\n${text.replace(/^(?=.)/gm, '  ')}`;
  const file = isRoute ? indented : isWhole ? text : `${text}routes:\n  /x/*: { provider: mpesa }\n`;
  const names = [...text.matchAll(/\$\{([A-Z]\w*)\}/g)]
    .map(([, name = '']) => name)
    .filter((name) => !/NOT_SET/.test(name));
  return examineConfig('proxy.config.yaml', {
    env: Object.fromEntries(names.map((name) => [name, `made-up-value-of-${name}`])),
    readFile: (name) => (name.endsWith('proxy.config.yaml') ? file : 'made-up-content'),
    emulated: !text.includes('credentials:'),
  });
}
