import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { problemsOf } from '../../../deploy/kubernetes/schemas.ts';
import { containersOf, type Manifest, manifestsIn, ofKind } from '../../../deploy/kubernetes/manifests.ts';
import { type Container, folderOf } from './container.ts';
import { expectThat } from './play.ts';

/** What was applied to the page's cluster, in its namespaces. */
type Applied = Record<string, Manifest[]>;

const FILE = path.join(path.dirname(process.env['REPOSITORY'] ?? ''), 'cluster.json');
const IMAGE = /^(registry\.example\/)?wakala:0\.1\.0(@sha256:[0-9a-f]{64})?$/;

export class Cluster {
  readonly #applied: Applied = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Applied) : { default: [] };

  addNamespace(name: string): void {
    expectThat(this.#applied[name] === undefined, `namespaces "${name}" already exists`);
    this.#applied[name] = [];
    this.#save();
  }

  /** @throws Error unless its schema takes it, and its namespace is there */
  apply(manifest: Manifest, namespace: string): void {
    const problems = problemsOf(manifest);
    expectThat(problems.length === 0, `${titleOf(manifest)}: ${problems.join('; ')}`);
    const all = this.in(manifest.metadata?.namespace ?? namespace);
    const at = all.findIndex((other) => titleOf(other) === titleOf(manifest));
    all.splice(at === -1 ? all.length : at, at === -1 ? 0 : 1, manifest);
    this.#save();
  }

  in(namespace: string): Manifest[] {
    const found = this.#applied[namespace];
    expectThat(found !== undefined, `namespaces "${namespace}" not found`);
    return found;
  }

  /** By `deployment/shop`, `deploy/shop`, `secret/wakala`, `service/wakala`. */
  find(title: string, namespace: string): Manifest {
    const [kind = '', name] = title.split('/');
    const full = KINDS[kind] ?? kind;
    const found = this.in(namespace).find((one) => one.kind.toLowerCase() === full && one.metadata?.name === name);
    expectThat(found !== undefined, `${title} not found in the namespace ${namespace}`);
    return found;
  }

  /** Changes what was applied. */
  change(title: string, namespace: string, change: (manifest: Manifest) => void): void {
    change(this.find(title, namespace));
    this.#save();
  }

  /**
   * The container named `wakala` of the pods that a title names. @throws Error unless what they mount is there, and the
   * image is the one that the documents build
   */
  wakalaOf(title: string, namespace: string): Container {
    const { name, pod } = this.#podOf(title, namespace);
    const container = containersOf(pod).find((one) => one.name === 'wakala');
    expectThat(container !== undefined, `${title} has no container wakala`);
    expectThat(IMAGE.test(container.image ?? ''), `nobody has pushed the image ${container.image ?? ''}`);
    const mounts = (container.volumeMounts ?? []).map(({ name: volume, mountPath }) => {
      const source = pod.volumes?.find((one) => one.name === volume);
      const folder = folderOf(`${namespace}-${name}`, volume);
      const secret = source?.secret?.secretName;
      const files =
        secret === undefined ? this.#map(source?.configMap?.name, namespace) : this.secret(secret, namespace);
      for (const [file, text] of Object.entries(files)) writeFileSync(path.join(folder, file), text, { mode: 0o600 });
      return [mountPath, folder] as const;
    });
    const env = Object.fromEntries((container.env ?? []).map((one) => [one.name, one.value ?? '']));
    return { name: `${namespace}-${name}`, args: container.args ?? [], env, mounts: new Map(mounts) };
  }

  secret(name: string, namespace: string): Record<string, string> {
    const { data = {}, stringData = {} } = this.find(`secret/${name}`, namespace) as {
      data?: Record<string, string>;
      stringData?: Record<string, string>;
    };
    const decoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]);
    return { ...(Object.fromEntries(decoded) as Record<string, string>), ...stringData };
  }

  #map(name: string | undefined, namespace: string): Record<string, string> {
    const found = ofKind(this.in(namespace), 'ConfigMap').find(({ metadata }) => metadata?.name === name);
    expectThat(found !== undefined, `configmap "${name ?? ''}" not found`);
    return found.data ?? {};
  }

  /** A Service stands for the Deployment whose pods it selects. */
  #podOf(title: string, namespace: string): { readonly name: string; readonly pod: IPodSpec } {
    const found = this.find(title, namespace);
    const selector = found.kind === 'Service' ? (found.spec?.selector ?? {}) : undefined;
    const deployment = ofKind(this.in(namespace), 'Deployment').find(({ metadata, spec }) => {
      const labels = spec?.template.metadata?.labels ?? {};
      if (selector === undefined) return found.kind === 'Deployment' && metadata?.name === found.metadata?.name;
      return Object.entries(selector).every(([key, value]) => labels[key] === value);
    });
    expectThat(deployment?.spec?.template.spec !== undefined, `no pod is behind ${title}`);
    return { name: deployment.metadata?.name ?? '', pod: deployment.spec.template.spec };
  }

  #save(): void {
    writeFileSync(FILE, JSON.stringify(this.#applied));
  }
}

const KINDS: Readonly<Record<string, string>> = {
  deploy: 'deployment',
  deployments: 'deployment',
  svc: 'service',
  services: 'service',
  secrets: 'secret',
  cm: 'configmap',
  configmaps: 'configmap',
  hpa: 'horizontalpodautoscaler',
  pdb: 'poddisruptionbudget',
};

export function titleOf({ kind, metadata }: Manifest): string {
  return `${kind.toLowerCase()}/${metadata?.name ?? ''}`;
}

/** What `kubectl kustomize` makes of a folder. */
export function kustomized(folder: string): string {
  const { status, stdout, stderr } = spawnSync(process.env['REAL_KUBECTL'] ?? '', ['kustomize', folder], {
    encoding: 'utf8',
  });
  expectThat(status === 0, stderr);
  return stdout;
}

export function manifestsOfFolder(folder: string): Manifest[] {
  return manifestsIn(kustomized(folder));
}
