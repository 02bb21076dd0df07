import { execFileSync } from 'node:child_process';
import path from 'node:path';
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { ISecret } from 'kubernetes-models/v1/Secret';
import type { IService } from 'kubernetes-models/v1/Service';
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../../docs/documents.ts';

/** What is rendered here has no other kinds. */
export type Manifest =
  | IConfigMap
  | IDeployment
  | IHorizontalPodAutoscaler
  | INetworkPolicy
  | IPodDisruptionBudget
  | ISecret
  | IService
  | IServiceAccount;

export type Of<K extends Manifest['kind']> = Extract<Manifest, { kind: K }>;

/** What can be rendered, as folders of `deploy/kubernetes`. */
export const FOLDERS = ['base', 'overlays/sidecar', 'overlays/gateway', 'overlays/dev'] as const;

const TEXTS = new Map<string, string>();

/** What `kubectl kustomize` makes of a folder. @throws Error with what it prints if it makes nothing of it */
export function rendered(folder: string): Manifest[] {
  const absolute = path.resolve(ROOT, 'deploy/kubernetes', folder);
  const text = TEXTS.get(absolute) ?? execFileSync('kubectl', ['kustomize', absolute], { encoding: 'utf8' });
  TEXTS.set(absolute, text);
  return manifestsIn(text);
}

export function manifestsIn(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return document.toJS() as Manifest;
  });
}

export function ofKind<K extends Manifest['kind']>(manifests: readonly Manifest[], kind: K): Of<K>[] {
  return manifests.filter((one): one is Of<K> => one.kind === kind);
}

export function nameOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata?.name ?? ''}`;
}

export function podOf({ spec }: Of<'Deployment'>): IPodSpec {
  const pod = spec?.template.spec;
  if (pod === undefined) throw new Error('a Deployment without a pod');
  return pod;
}

export function containersOf(pod: IPodSpec): IContainer[] {
  return [...(pod.initContainers ?? []), ...pod.containers];
}

/** The container that Wakala runs in, of all that was rendered. */
export function wakalaIn(manifests: readonly Manifest[]): { deployment: Of<'Deployment'>; container: IContainer } {
  for (const deployment of ofKind(manifests, 'Deployment')) {
    const container = containersOf(podOf(deployment)).find(({ name }) => name === 'wakala');
    if (container !== undefined) return { deployment, container };
  }
  throw new Error('there is no container named wakala');
}

/** The text of `proxy.config.yaml`, of the ConfigMap that this container mounts. */
export function configIn(manifests: readonly Manifest[]): string {
  const { deployment, container } = wakalaIn(manifests);
  const mount = container.volumeMounts?.find(({ mountPath }) => mountPath === '/etc/wakala');
  const volume = podOf(deployment).volumes?.find(({ name }) => name === mount?.name);
  const map = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name === volume?.configMap?.name);
  const text = map?.data?.['proxy.config.yaml'];
  if (text === undefined) throw new Error('there is no proxy.config.yaml');
  return text;
}

/** Names of the secret files that a configuration reads. */
export function secretsIn(config: string): string[] {
  const names = [...config.matchAll(/\$\{file:\/run\/secrets\/wakala\/(\w+)\}/g)].map(([, name = '']) => name);
  return [...new Set(names)].sort();
}
