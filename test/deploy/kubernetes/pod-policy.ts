import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { containersOf, labelsOf, type Of, podOf } from './manifests.ts';

/** What the Pod Security Standard "restricted" lets in, and what is mounted here. */
const VOLUMES: readonly (keyof IVolume)[] = ['name', 'configMap', 'secret', 'emptyDir', 'projected'];

const OTHERS = 0o007;
const WRITE = 0o222;

/** What is wrong with the pods of a Deployment, whatever runs in them: Pod Security "restricted", and our own rules. */
export function podProblems(deployment: Of<'Deployment'>): string[] {
  const pod = podOf(deployment);
  const containers = containersOf(pod);
  const annotations = deployment.spec?.template.metadata?.annotations ?? {};
  const scraped =
    annotations['prometheus.io/scrape'] === 'true' ? Number(annotations['prometheus.io/port']) : undefined;
  return [
    ...said(pod.hostNetwork === true || pod.hostPID === true || pod.hostIPC === true, 'shares something of its node'),
    ...said(pod.automountServiceAccountToken !== false, 'mounts a token of the API server'),
    ...said(pod.enableServiceLinks !== false, 'has a variable for each Service of its namespace'),
    ...said(labelsOf(deployment)['app.kubernetes.io/name'] === undefined, 'has no label app.kubernetes.io/name'),
    ...said(scraped !== undefined && !hasPort(containers, scraped), `has no port ${scraped}, where it says to scrape`),
    ...(pod.volumes ?? []).flatMap(volumeProblems),
    ...containers.flatMap((container) =>
      [...securityProblems(pod, container), ...containerProblems(pod, container)].map(
        (text) => `container ${container.name} ${text}`,
      ),
    ),
  ];
}

function securityProblems(pod: IPodSpec, { securityContext: own = {} }: IContainer): string[] {
  const of = { ...pod.securityContext, ...own };
  return [
    ...said(of.runAsNonRoot !== true, 'may run as root'),
    ...said(of.runAsUser === undefined || of.runAsUser === 0, 'has no user id of its own'),
    ...said(of.seccompProfile?.type !== 'RuntimeDefault', 'has not the seccomp profile RuntimeDefault'),
    ...said(own.privileged === true, 'is privileged'),
    ...said(own.allowPrivilegeEscalation !== false, 'may get more privileges'),
    ...said(own.readOnlyRootFilesystem !== true, 'may write to its root file system'),
    ...said(own.capabilities?.drop?.join() !== 'ALL' || own.capabilities.add !== undefined, 'keeps capabilities'),
  ];
}

function containerProblems(pod: IPodSpec, container: IContainer): string[] {
  const { image = '', resources = {}, env = [], envFrom = [], volumeMounts = [] } = container;
  const volumes = pod.volumes?.map(({ name }) => name) ?? [];
  const tag = /:([^:/]+)$/.exec(image)?.[1];
  const secrets = env.filter(({ name, value }) => value !== undefined && /KEY|SECRET|PASSWORD|TOKEN/.test(name));
  return [
    ...said(tag === undefined || tag === 'latest', `has no version in its image ${image}`),
    ...said(resources.limits?.['memory'] === undefined, 'has no limit of memory'),
    ...said(resources.limits?.['cpu'] !== undefined, 'has a limit of CPU'),
    ...['cpu', 'memory'].flatMap((name) => said(resources.requests?.[name] === undefined, `does not request ${name}`)),
    ...said(
      envFrom.some(({ secretRef }) => secretRef !== undefined),
      'takes secrets from its environment',
    ),
    ...env.flatMap(({ name, valueFrom }) => said(valueFrom?.secretKeyRef !== undefined, `has a secret in ${name}`)),
    ...secrets.map(({ name }) => `has a secret in ${name}, and the manifest holds it`),
    ...volumeMounts.flatMap(({ name, mountPath, subPath, subPathExpr, readOnly }) => [
      ...said(subPath !== undefined || subPathExpr !== undefined, `mounts ${mountPath} by subPath`),
      ...said(!volumes.includes(name), `mounts ${name}, and there is no such volume`),
      ...said(readOnly !== true, `may write to ${mountPath}`),
    ]),
  ];
}

function volumeProblems(volume: IVolume): string[] {
  const { defaultMode = 0o644 } = volume.secret ?? {};
  const strange = Object.keys(volume).filter((key) => !VOLUMES.includes(key as keyof IVolume));
  return [
    ...strange.map((kind) => `volume ${volume.name} is a ${kind}`),
    ...said(volume.secret !== undefined && (defaultMode & OTHERS) !== 0, `volume ${volume.name} is open to everyone`),
    ...said(volume.secret !== undefined && (defaultMode & WRITE) !== 0, `volume ${volume.name} can be written to`),
  ];
}

function hasPort(containers: readonly IContainer[], port: number): boolean {
  return containers.some(({ ports = [] }) => ports.some(({ containerPort }) => containerPort === port));
}

/** A problem, if it is one. */
export function said(wrong: boolean, problem: string): string[] {
  return wrong ? [problem] : [];
}
