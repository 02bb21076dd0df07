import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/commands/io.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { TOKEN_ENDPOINT_MODES } from '../../src/emulators/controls.ts';
import { emulatedCredentials } from '../../src/emulators/emulated-provider.ts';
import { emulatorPorts } from '../../src/emulators/emulator.ts';
import { control, newEmulatorState } from '../../src/emulators/emulator-state.ts';
import { providerNamed, providers } from '../../src/providers/registry.ts';
import { blocksOf, DOCUMENTS, exists, ROOT, sectionOf, tableOf, textOf } from './documents.ts';

/** A package of `package-lock.json`. */
interface Locked {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: unknown;
  readonly cpu?: unknown;
}

const run = promisify(execFile);
const CLI = path.join(ROOT, 'src/cli.ts');

describe('every command', () => {
  const help = new Map<string, string>();
  const mentioned = DOCUMENTS.flatMap((file) => {
    const scripts = blocksOf(file).flatMap(({ language, text }) => (language === 'sh' ? text : []));
    const lines = [
      ...textOf(file).matchAll(/`(wakala [^`]+)`/g),
      ...scripts.join('').matchAll(/^(?:[A-Z_]+=\S* )*(wakala [^|>#;&\n]+)/gm),
    ];
    return lines.map(([, line = '']) => [file, line.trim()] as const);
  });

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
    const first = /^[a-z]/.test(words[0] ?? '') ? (words[0] ?? '') : 'serve';
    const page = help.get(first);
    expect(page, first).toBeDefined();
    const options = `${page} --version`.match(/(?<=[\s,])--?\w[\w-]*/g);
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

  it('has the built-in providers', () => {
    const names = tableOf('README.md', '## Providers').map(([name]) => name);
    expect(names.sort()).toEqual(providers.map(({ name }) => name).sort());
  });
});

describe('docs/configuration.md', () => {
  it('has no section for a key that does not exist', () => {
    const keys = [
      ...Object.keys(at(jsonSchema(), 'properties')),
      ...Object.keys(at(jsonSchema(), 'properties', 'routes', 'additionalProperties', 'properties')),
    ];
    const sections = [...textOf('docs/configuration.md').matchAll(/^### `(\w+)`/gm)].map(([, key = '']) => key);
    expect(sections.length).toBeGreaterThan(30);
    expect(sections.filter((key) => !keys.includes(key))).toEqual([]);
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
      const credentials = [...emulatedCredentials(provider)].map(([name, secret]) => {
        const value = secret.reveal();
        return `${name}: ${value.startsWith('-----BEGIN') ? 'the key of RFC 7520 section 3.4' : value}`;
      });
      expect(row?.[3]).toBe(credentials.join(', '));
    }
  });
});

describe('docs/concepts.md', () => {
  const rows = [
    ...sectionOf('docs/concepts.md', '## What happens if …').matchAll(/\[([^\]]+)\]\((\.\.\/test\/[^)]+)\)/g),
  ];

  it('has a test for each hard case', () => {
    const cases = sectionOf('docs/concepts.md', '## What happens if …').match(/^\| (?!-|… this)/gm) ?? [];
    expect(cases.length).toBeGreaterThan(10);
    expect(rows).toHaveLength(cases.length);
  });

  it.each(rows.map(([, title = '', file = '']) => [title, path.join('docs', file)]))(
    'names a test: %s, %s',
    (title, file) => {
      expect(textOf(file)).toContain(title);
    },
  );
});

describe('docs/security.md', () => {
  it('counts the direct dependencies, none of which has native code', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: object };
    const words = ['Eight', 'Nine', 'Ten', 'Eleven', 'Twelve', 'Thirteen'];
    expect(textOf('docs/security.md')).toContain(`${words[Object.keys(dependencies).length - 8]} direct dependencies`);
    const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, Locked> };
    const native = Object.entries(packages).filter(
      ([, { dev, devOptional, hasInstallScript, os, cpu }]) =>
        dev !== true && devOptional !== true && (hasInstallScript === true || os !== undefined || cpu !== undefined),
    );
    expect(native).toEqual([]);
  });
});

describe('docs/performance.md', () => {
  it('has no measured figure that does not stand in README.md or bench/README.md', () => {
    const measured = /\b\d[\d.,]*(?= ?(?:us|ms|MiB|KiB|GiB|%|CPU)(?!\w))/g;
    const known = ['README.md', 'bench/README.md', 'docs/configuration.md']
      .map(textOf)
      .join('\n')
      .replace(/```[^]*?```/g, '');
    const prose = textOf('docs/performance.md').replace(/```[^]*?```/g, '');
    const unknown = [...prose.matchAll(measured)].filter(([figure]) => !new RegExp(`\\b${figure}\\b`).test(known));
    expect(unknown.map(([figure]) => figure)).toEqual([]);
  });

  it('has the times of kept connections as they are set', () => {
    const page = textOf('docs/performance.md');
    const client = Number(/kept for `keep_alive_timeout` \((\d+) s\)/.exec(page)?.[1]);
    const [, idle, ahead] = /dropped after (\d+) s, or (\d+) s before/.exec(page) ?? [];
    expect(at(jsonSchema(), 'properties', 'keep_alive_timeout')).toMatchObject({ default: `${client}s` });
    const pool = textOf('src/http/client/pool.ts');
    expect(pool).toContain(`IDLE_MS = ${idle}000;`);
    expect(pool).toContain(`KEEP_ALIVE_MARGIN_MS = ${ahead}000;`);
  });
});

function at(node: object, ...keys: string[]): Record<string, { default?: unknown }> {
  return keys.reduce<unknown>((below, key) => (below as Record<string, unknown>)[key], node) as never;
}

function emulator(name: string) {
  const provider = providerNamed(name);
  if (provider === undefined) throw new Error(`no provider ${name}`);
  return newEmulatorState(provider, {});
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
