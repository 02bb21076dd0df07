import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { blocksOf, ROOT, textOf } from '../../docs/documents.ts';
import { hasTool } from '../../support/tools.ts';
import { configIn, type Manifest, nameOf, ofKind, podOf, rendered, secretsIn, wakalaIn } from './manifests.ts';
import { problemsOf } from './schemas.ts';

const BLOCKS = blocksOf('docs/kubernetes.md');

/** The folders that a reader has who did what the page says, beside a checkout. */
class Reader {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'wakala-reader-'));

  constructor() {
    const checkout = path.join(this.folder, 'wakala/deploy/kubernetes');
    cpSync(path.join(ROOT, 'deploy/kubernetes'), checkout, { recursive: true });
    for (const { name, text } of BLOCKS) {
      if (name !== undefined) this.write(name, text);
    }
  }

  write(name: string, text: string): void {
    const file = path.join(this.folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  rendered(name: string): Manifest[] {
    return rendered(path.join(this.folder, name));
  }

  close(): void {
    rmSync(this.folder, { recursive: true });
  }
}

describe('docs/kubernetes.md', () => {
  it('shows exactly what the component adds, for those who copy it', () => {
    const patch = parse(textOf('deploy/kubernetes/components/sidecar/sidecar.yaml')) as {
      spec: { template: { spec: object } };
    };
    const shown = BLOCKS.find(({ text }) => text.startsWith('terminationGracePeriodSeconds:'));
    expect(parse(shown?.text ?? '')).toEqual(patch.spec.template.spec);
  });

  it('shows the configuration of the gateway as it is', () => {
    const shown = BLOCKS.find(({ name }) => name === 'gateway/proxy.config.yaml');
    expect(parse(shown?.text ?? '')).toEqual(parse(textOf('deploy/kubernetes/overlays/gateway/proxy.config.yaml')));
  });

  it.each([
    ['shop', 'overlays/sidecar/proxy.config.yaml'],
    ['payments', 'overlays/gateway/proxy.config.yaml'],
  ])('has %s make the secrets that its Wakala reads, and no others', (namespace, file) => {
    const commands = BLOCKS.map(({ text }) => text.replaceAll('\\\n', ' ')).join('');
    const [command = ''] = new RegExp(`kubectl -n ${namespace} create secret generic wakala .*`).exec(commands) ?? [];
    const made = [...command.matchAll(/--from-literal=(\w+)=/g)].map(([, name = '']) => name);
    expect(made.sort()).toEqual(secretsIn(textOf(`deploy/kubernetes/${file}`)));
  });
});

describe.runIf(hasTool('kubectl'))('what a reader of docs/kubernetes.md has in the end', () => {
  let reader: Reader;
  beforeAll(() => {
    reader = new Reader();
  });
  afterAll(() => reader.close());

  it.each(['emulated', 'shop', 'gateway', 'gateway-managed'])('%s keeps to the schemas of its kinds', (folder) => {
    const manifests = reader.rendered(folder);
    expect(manifests.flatMap(problemsOf)).toEqual([]);
    expect(wakalaIn(manifests).container.image).toBe('registry.example/wakala:0.1.0');
  });

  it.each(['shop', 'gateway'])('%s has the configuration that stands on the page', (folder) => {
    const shown = BLOCKS.find(({ name }) => name === `${folder}/proxy.config.yaml`);
    expect(configIn(reader.rendered(folder))).toBe(shown?.text);
  });

  it('has neither Redis nor autoscaler with an external Redis', () => {
    const managed = reader.rendered('gateway-managed').map(nameOf);
    const gone = reader
      .rendered('gateway')
      .map(nameOf)
      .filter((name) => !managed.includes(name));
    expect(gone.map((name) => name.replace(/-\w{10}$/, '')).sort()).toEqual([
      'ConfigMap wakala-redis',
      'Deployment wakala-redis',
      'HorizontalPodAutoscaler wakala',
      'NetworkPolicy wakala-redis',
      'Service wakala-redis',
    ]);
  });

  it('adds the sidecar in front of other init containers, and only where the label is', () => {
    const pod = 'spec: { initContainers: [{ name: migrate, image: x:1 }], containers: [{ name: app, image: x:1 }] }';
    const kind = (apiVersion: string, name: string, label: string, spec: string) =>
      `apiVersion: ${apiVersion}\nkind: ${name}\nmetadata: { name: ${name.toLowerCase()}, labels: { ${label} } }\nspec: ${spec}\n`;
    const template = `{ template: { ${pod} } }`;
    reader.write(
      'team/all.yaml',
      [
        kind('apps/v1', 'StatefulSet', 'wakala: sidecar', template),
        kind('apps/v1', 'DaemonSet', 'wakala: sidecar', template),
        kind('batch/v1', 'Job', 'wakala: sidecar', template),
        kind('apps/v1', 'Deployment', 'app: other', template),
        kind('batch/v1', 'CronJob', 'wakala: sidecar', `{ jobTemplate: { spec: ${template} } }`),
      ].join('---\n'),
    );
    const component = '../wakala/deploy/kubernetes/components/sidecar';
    reader.write('team/kustomization.yaml', `resources: [all.yaml]\ncomponents: [${component}]\n`);
    const inits = reader.rendered('team').map((one) => {
      const { spec } = one as { spec: { template?: { spec: { initContainers: { name: string }[] } } } };
      return [one.kind, spec.template?.spec.initContainers.map(({ name }) => name)];
    });
    expect(Object.fromEntries(inits)).toEqual({
      ...{ StatefulSet: ['wakala', 'migrate'], DaemonSet: ['wakala', 'migrate'], Job: ['wakala', 'migrate'] },
      ...{ Deployment: ['migrate'], CronJob: undefined },
    });
  });

  it('has the last word on what the component replaces', () => {
    const shop = BLOCKS.find(({ name }) => name === 'shop/deployment.yaml');
    reader.write('own/deployment.yaml', shop?.text ?? '');
    reader.write(
      'own/kustomization.yaml',
      [
        'resources: [deployment.yaml]',
        'components: [../wakala/deploy/kubernetes/components/sidecar]',
        'patches:',
        '  - target: { kind: Deployment }',
        '    patch: |',
        '      - { op: replace, path: /spec/template/spec/securityContext/fsGroup, value: 2000 }',
        '      - { op: replace, path: /spec/template/spec/terminationGracePeriodSeconds, value: 330 }',
        '',
      ].join('\n'),
    );
    const [deployment] = ofKind(reader.rendered('own'), 'Deployment');
    expect(deployment === undefined ? undefined : podOf(deployment)).toMatchObject({
      securityContext: { fsGroup: 2000 },
      terminationGracePeriodSeconds: 330,
    });
  });
});
