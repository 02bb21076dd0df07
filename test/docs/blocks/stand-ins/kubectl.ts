import { readFileSync } from 'node:fs';
import { type Manifest, manifestsIn } from '../../../deploy/kubernetes/manifests.ts';
import { Cluster, kustomized, manifestsOfFolder, titleOf } from '../played/cluster.ts';
import { execute, isRunning, logsOf, publish, start } from '../played/container.ts';
import { expectThat, play, print } from '../played/play.ts';

/**
 * kubectl at a cluster that remembers what a page applied. Kustomize is the real one, schemas are Kubernetes's own, and
 * Wakala's containers run as processes, with the ConfigMap, the Secret and the arguments that their pods name.
 */

const cluster = new Cluster();
const namespace = takeNamespace();

const FILES = { kustomize: { type: 'string', short: 'k' }, filename: { type: 'string', short: 'f' } } as const;
const LOGS = {
  container: { type: 'string', short: 'c' },
  follow: { type: 'boolean', short: 'f' },
  tail: { type: 'string' },
  since: { type: 'string' },
  previous: { type: 'boolean', short: 'p' },
} as const;
const GENERIC = {
  'from-literal': { type: 'string', multiple: true },
  'from-file': { type: 'string', multiple: true },
} as const;
const CHANGE = { patch: { type: 'string', short: 'p' }, type: { type: 'string' } } as const;

await play('kubectl', {
  kustomize: { run: ([folder = '']) => print(kustomized(folder)) },
  apply: {
    options: { ...FILES, 'server-side': { type: 'boolean' } },
    run: (_, values) => {
      for (const manifest of manifestsOf(values)) {
        cluster.apply(manifest, namespace);
        print(`${titleOf(manifest)} created\n`);
      }
    },
  },
  'create namespace': { run: ([name = '']) => cluster.addNamespace(name) },
  'create secret': { options: GENERIC, run: createSecret },
  label: { options: { overwrite: { type: 'boolean' } }, run: label },
  patch: { options: CHANGE, run: patch },
  'rollout status': { options: { timeout: { type: 'string' } }, run: ([title = '']) => rolledOut(title) },
  'rollout restart': { run: ([title = '']) => void cluster.find(title, namespace) },
  'rollout undo': { run: ([title = '']) => void cluster.find(title, namespace) },
  logs: { options: LOGS, run: ([title = '']) => print(logsOf(started(title))) },
  exec: {
    options: { container: { type: 'string', short: 'c' }, stdin: { type: 'boolean', short: 'i' } },
    run: ([title = '', ...command]) => {
      started(title);
      process.exitCode = execute(cluster.wakalaOf(title, namespace), command);
    },
  },
  'port-forward': { options: { address: { type: 'string' } }, run: ([title = '', ...ports]) => forward(title, ports) },
});

/** `-n shop` may stand anywhere before a `--`. */
function takeNamespace(): string {
  const args = process.argv;
  const end = args.indexOf('--');
  const at = args.findIndex((arg, i) => /^(-n|--namespace)$/.test(arg) && (end === -1 || i < end));
  return at === -1 ? 'default' : (args.splice(at, 2)[1] ?? '');
}

function manifestsOf({ kustomize, filename }: Readonly<Record<string, unknown>>): Manifest[] {
  if (typeof kustomize === 'string') return manifestsOfFolder(kustomize);
  expectThat(typeof filename === 'string', 'it needs -k or -f');
  return manifestsIn(readFileSync(filename === '-' ? 0 : filename, 'utf8'));
}

function createSecret(words: readonly string[], values: Readonly<Record<string, unknown>>): void {
  const [type, name] = words;
  expectThat(type === 'generic' && name !== undefined && words.length === 2, `it does not know ${words.join(' ')}`);
  const literals = (values['from-literal'] as string[] | undefined) ?? [];
  const files = (values['from-file'] as string[] | undefined) ?? [];
  const pairs = [
    ...literals.map((text) => /^([^=]+)=([^]+)$/.exec(text)?.slice(1)),
    ...files.map((text) => {
      const [, key, file = ''] = /^(?:([^=]+)=)?(.+)$/.exec(text) ?? [];
      return [key ?? file.replace(/^.*\//, ''), readFileSync(file, 'utf8')];
    }),
  ];
  expectThat(!pairs.includes(undefined), `a literal is empty or no NAME=VALUE: ${literals.join(' ')}`);
  const stringData = Object.fromEntries(pairs as [string, string][]) as Record<string, string>;
  cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData }, namespace);
  print(`secret/${name} created\n`);
}

function label([kind = '', name = '', ...labels]: readonly string[]): void {
  expectThat(labels.length > 0 && labels.every((one) => /^[\w./-]+(=[\w.-]*|-)$/.test(one)), 'labels are key=value');
  if (kind === 'namespace' || kind === 'ns') cluster.in(name);
  else cluster.find(`${kind}/${name}`, namespace);
}

/** A strategic merge patch of maps alone. */
function patch([kind = '', name = '']: readonly string[], values: Readonly<Record<string, unknown>>): void {
  const wanted = JSON.parse(String(values['patch'])) as Record<string, Record<string, unknown>>;
  cluster.change(`${kind}/${name}`, namespace, (manifest) => {
    const fields = manifest as unknown as Record<string, Record<string, unknown>>;
    for (const [key, value] of Object.entries(wanted)) fields[key] = { ...fields[key], ...value };
  });
}

/** Pods that Wakala is in come up only with a configuration that is good. */
function rolledOut(title: string): void {
  cluster.find(title, namespace);
  const wakala = cluster.wakalaOf(title, namespace);
  const command = ['/nodejs/bin/node', '/app/dist/cli.js', 'check', '-c', '/etc/wakala/proxy.config.yaml'];
  const variables = wakala.args[0] === 'dev' ? [] : [execute(wakala, command)];
  expectThat(
    variables.every((status) => status === 0),
    `the pods of ${title} do not become ready`,
  );
  print(`deployment "${title.replace(/^.*\//, '')}" successfully rolled out\n`);
}

/** @returns the name of its container, which runs */
function started(title: string): string {
  const wakala = cluster.wakalaOf(title, namespace);
  if (!isRunning(wakala.name)) expectThat(start(wakala) === 0, logsOf(wakala.name));
  return wakala.name;
}

function forward(title: string, ports: readonly string[]): void {
  const name = started(title);
  for (const port of ports) {
    const [outside, inside = outside] = port.split(':');
    publish(name, Number(inside), Number(outside));
    print(`Forwarding from 127.0.0.1:${outside ?? ''} -> ${inside ?? ''}\n`);
  }
}
