import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { emulatedCredentials } from '../../../src/emulators/emulated-provider.ts';
import { variableOf } from '../../../src/config/starter.ts';
import { providers } from '../../../src/providers/registry.ts';
import { isOurs, ROOT } from '../documents.ts';
import { PYTHON } from './python.ts';
import type { ProviderHosts } from './provider-hosts.ts';

const HERE = import.meta.dirname;
/** Large folders that few pages change: links in the copy, until a page does. */
const LINKED = new Set(['src', 'test', 'bench'].map((name) => path.join(ROOT, name)));
const STAND_INS = path.join(HERE, 'stand-ins');
/** Programs that a page may take for granted, as any Linux or macOS has them; `jq` and `openssl` are to be named on it. */
const SYSTEM = (
  'awk base64 basename bash cat chgrp chmod chown cmp cp cut date diff dirname du echo env expr false find grep gzip ' +
  'head id install jq ln ls mkdir mktemp mv nl openssl printf ps pwd rm rmdir sed seq sh sha256sum sleep sort stat ' +
  'tail tar tee test timeout touch tr true uname uniq wc xargs'
).split(' ');
const PRELOAD = pathToFileURL(path.join(HERE, 'own-ports/node.mjs')).href;
/** Folders of a whole machine that a page may write to. */
const MACHINE = ['etc', 'run', 'var', 'opt', 'srv', 'tmp', 'usr/local', 'home'] as const;
const MACHINE_PATH = new RegExp(`(?<![\\w./}~-])/(?=(?:${MACHINE.join('|')})(?![\\w-]))`, 'g');

/** A folder that looks to a page as its reader's machine does. */
export class Workspace {
  readonly folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'wakala-page-')));
  /** A copy of the repository. */
  readonly repository = path.join(this.folder, 'wakala');
  /** What `/etc` and the like are on the page. */
  readonly machine = path.join(this.folder, 'machine');
  /** A file for each port that the page's programs listen on: see `own-ports/node.mjs`. */
  readonly ports = path.join(this.folder, 'ports');
  /** A file for each program that serves: see `terminal.ts`. */
  readonly running = path.join(this.folder, 'running');
  /** The status of each answer that curl got, one a line. */
  readonly statuses = path.join(this.folder, 'statuses');
  readonly env: Readonly<Record<string, string>>;

  constructor(hosts: ProviderHosts) {
    cpSync(ROOT, this.repository, { recursive: true, filter: (file) => isOurs(file) && !LINKED.has(file) });
    for (const folder of LINKED) symlinkSync(folder, path.join(this.repository, path.basename(folder)));
    linkModules(path.join(ROOT, 'node_modules'), path.join(this.repository, 'node_modules'));
    symlinkSync(this.repository, path.join(this.repository, 'node_modules/wakala'));
    writeDist(this.repository);
    for (const name of [...MACHINE, 'etc/systemd/system'])
      mkdirSync(path.join(this.machine, name), { recursive: true });
    for (const folder of [this.ports, this.running]) mkdirSync(folder);
    const bin = path.join(this.folder, 'bin');
    mkdirSync(bin);
    for (const name of SYSTEM) if (whereIs(name) !== name) symlinkSync(whereIs(name), path.join(bin, name));
    for (const [name, script] of programs()) {
      writeProgram(path.join(bin, name), script);
      if (name === 'node') writeProgram(path.join(this.repository, 'node_modules/.bin/node'), script);
    }
    const authority = path.join(this.folder, 'authority.pem');
    writeFileSync(authority, hosts.ca);
    this.env = {
      ...environment(),
      PROVIDER_HOSTS: [hosts.port, ...hosts.names].join(' '),
      NODE_EXTRA_CA_CERTS: authority,
      CURL_CA_BUNDLE: authority,
      SSL_CERT_FILE: authority,
      PATH: bin,
      HOME: path.join(this.machine, 'home'),
      TMPDIR: path.join(this.machine, 'tmp'),
      REPOSITORY: this.repository,
      MACHINE: this.machine,
      OWN_PORTS: this.ports,
      RUNNING: this.running,
      STATUSES: this.statuses,
    };
  }

  /** Lets the page change this file of the repository. */
  own(file: string): void {
    const [top = ''] = path.relative(this.repository, file).split(path.sep);
    const folder = path.join(this.repository, top);
    if (!LINKED.has(path.join(ROOT, top)) || !lstatSync(folder).isSymbolicLink()) return;
    rmSync(folder);
    cpSync(path.join(ROOT, top), folder, { recursive: true, filter: isOurs });
  }

  /** What a page writes, with the paths that it has here; and what its programs print, with those of the page. */
  toHere(text: string): string {
    return text.replace(MACHINE_PATH, `${this.machine}/`);
  }

  toPage(text: string): string {
    return text.replaceAll(this.machine, '').replaceAll(this.repository, '/home/you/wakala');
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Of every program of every page; the credentials are those that the emulators take. */
function environment(): Record<string, string> {
  const credentials = providers.flatMap((provider) =>
    [...emulatedCredentials(provider)].map(
      ([field, secret]) => [variableOf(provider, field), secret.reveal()] as const,
    ),
  );
  return {
    ...Object.fromEntries(credentials),
    LANG: 'C.UTF-8',
    NO_COLOR: '1',
    REAL_NODE: process.execPath,
    REAL_CURL: whereIs('curl'),
    REAL_NPM: whereIs('npm'),
    REAL_KUBECTL: whereIs('kubectl'),
    NODE_OPTIONS: `--import=${PRELOAD}`,
    NODE_COMPILE_CACHE: path.join(ROOT, 'node_modules/.cache/documents'),
    PYTHONPATH: path.join(HERE, 'own-ports'),
    PYTHONDONTWRITEBYTECODE: '1',
  };
}

/** Scripts by the name of the program. What is here comes before what the machine has. */
function programs(): Map<string, string> {
  // What a program starts runs as it would; only what the page starts has a terminal of its own.
  const terminal = `[ -n "$OWN_PORTS_RUN" ] || set -- "$REAL_NODE" '${path.join(HERE, 'terminal.ts')}' "$@"\nexec "$@"`;
  const node = (args: string) => `set -- "$REAL_NODE" --import='${PRELOAD}' ${args}\n${terminal}`;
  const standIns = readdirSync(STAND_INS).map((file) => {
    const script = `exec "$REAL_NODE" '${path.join(STAND_INS, file)}' "$@"`;
    return [path.basename(file, '.ts'), script] as const;
  });
  return new Map([
    ...standIns,
    // The copy's own sources only where the page changed them: what was compiled once is found again by its path.
    [
      'wakala',
      `cli='${ROOT}/src/cli.ts'
cmp -s '${ROOT}/src/providers/registry.ts' "$REPOSITORY/src/providers/registry.ts" || cli="$REPOSITORY/src/cli.ts"
${node('"$cli" "$@"')}`,
    ],
    ['node', node('"$@"')],
    ['python3', `set -- '${PYTHON}' "$@"\n${terminal}`],
    ['sudo', 'exec "$@"'],
    ['podman', 'exec docker "$@"'],
  ]);
}

function writeProgram(file: string, script: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  rmSync(file, { force: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** A folder of links, in which single packages may be others. */
function linkModules(from: string, to: string): void {
  mkdirSync(path.join(to, '.bin'), { recursive: true });
  for (const name of readdirSync(from)) {
    if (!name.startsWith('.')) symlinkSync(path.join(from, name), path.join(to, name));
  }
  for (const name of readdirSync(path.join(from, '.bin'))) {
    symlinkSync(realpathSync(path.join(from, '.bin', name)), path.join(to, '.bin', name));
  }
}

/** What `npm run build` makes, as far as package.json names it: modules that are the sources. */
function writeDist(repository: string): void {
  const text = readFileSync(path.join(ROOT, 'package.json'), 'utf8');
  for (const [, name = ''] of text.matchAll(/"(?:\.\/)?dist\/([\w/]+)\.js"/g)) {
    const file = path.join(repository, 'dist', `${name}.js`);
    mkdirSync(path.dirname(file), { recursive: true });
    const source = JSON.stringify(path.join(ROOT, 'src', `${name}.ts`));
    writeFileSync(file, name === 'cli' ? `#!/usr/bin/env node\nimport ${source};\n` : `export * from ${source};\n`);
  }
}

/** The path of a program; its name alone if there is none. */
function whereIs(program: string): string {
  const folders = process.env['PATH']?.split(path.delimiter) ?? [];
  return folders.map((folder) => path.join(folder, program)).find((file) => existsSync(file)) ?? program;
}
