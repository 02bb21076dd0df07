import { containersOf, labelsOf, type Manifest, nameOf, type Of, ofKind, podOf, portOf } from './manifests.ts';
import { said } from './pod-policy.ts';

type Labels = Readonly<Record<string, string>>;

/** What is wrong with how manifests refer to each other, by names, labels and ports. */
export function linkProblems(manifests: readonly Manifest[]): string[] {
  const deployments = ofKind(manifests, 'Deployment');
  return [
    ...deployments.flatMap((deployment) => deploymentProblems(deployment, manifests)),
    ...ofKind(manifests, 'Service').flatMap((service) => {
      const { selector, ports = [] } = service.spec ?? {};
      const [target, ...others] = selectedBy(selector, deployments);
      const containers = target === undefined ? [] : containersOf(podOf(target));
      return [
        ...selecting(service, target, others),
        ...ports.flatMap(({ targetPort }) =>
          said(
            target !== undefined && !containers.some((container) => portOf(container, targetPort) !== undefined),
            `${nameOf(service)} leads to port ${targetPort}, which no container has`,
          ),
        ),
      ];
    }),
    ...ofKind(manifests, 'PodDisruptionBudget').flatMap((budget) => {
      const [target, ...others] = selectedBy(budget.spec?.selector?.matchLabels, deployments);
      return selecting(budget, target, others);
    }),
    ...ofKind(manifests, 'NetworkPolicy').flatMap((policy) => {
      const [target, ...others] = selectedBy(policy.spec?.podSelector?.matchLabels, deployments);
      return selecting(policy, target, others);
    }),
    ...ofKind(manifests, 'HorizontalPodAutoscaler').flatMap((scaler) => scalerProblems(scaler, deployments)),
  ];
}

function deploymentProblems(deployment: Of<'Deployment'>, manifests: readonly Manifest[]): string[] {
  const pod = podOf(deployment);
  const own = labelsOf(deployment);
  const others = ofKind(manifests, 'Deployment').filter((one) => one !== deployment);
  const selector = deployment.spec?.selector.matchLabels;
  const spreads = pod.topologySpreadConstraints ?? [];
  const accounts = ofKind(manifests, 'ServiceAccount').map(({ metadata }) => metadata?.name);
  const maps = ofKind(manifests, 'ConfigMap').map(({ metadata }) => metadata?.name);
  const wanted = pod.volumes?.flatMap(({ configMap }) => configMap?.name ?? []) ?? [];
  const account = pod.serviceAccountName;
  return [
    ...said(!matches(selector, own), `${nameOf(deployment)} does not select its own pods`),
    ...said(selectedBy(selector, others).length > 0, `${nameOf(deployment)} selects pods of another`),
    ...said(
      spreads.some(({ labelSelector }) => !matches(labelSelector?.matchLabels, own)),
      `${nameOf(deployment)} spreads other pods than its own`,
    ),
    ...said(
      account !== undefined && !accounts.includes(account),
      `${nameOf(deployment)} runs as ${account}, and there is no such ServiceAccount`,
    ),
    ...wanted.flatMap((name) =>
      said(!maps.includes(name), `${nameOf(deployment)} mounts ${name}, and there is no such ConfigMap`),
    ),
  ];
}

function scalerProblems(scaler: Of<'HorizontalPodAutoscaler'>, deployments: readonly Of<'Deployment'>[]): string[] {
  const { scaleTargetRef, minReplicas, maxReplicas } = scaler.spec ?? {};
  const target = deployments.find(({ metadata }) => metadata?.name === scaleTargetRef?.name);
  const isDeployment = scaleTargetRef?.kind === 'Deployment' && scaleTargetRef.apiVersion === 'apps/v1';
  return [
    ...said(target === undefined || !isDeployment, `${nameOf(scaler)} scales nothing that is there`),
    ...said(target?.spec?.replicas !== undefined, `${nameOf(scaler)} and its Deployment both set the number of copies`),
    ...said(Math.min(minReplicas ?? 1, maxReplicas ?? 1) < 2, `${nameOf(scaler)} may leave a single copy`),
  ];
}

function selecting(of: Manifest, target: Of<'Deployment'> | undefined, others: readonly unknown[]): string[] {
  return [
    ...said(target === undefined, `${nameOf(of)} selects no pods`),
    ...said(others.length > 0, `${nameOf(of)} selects pods of more than one Deployment`),
  ];
}

function selectedBy(selector: Labels | undefined, deployments: readonly Of<'Deployment'>[]): Of<'Deployment'>[] {
  return deployments.filter((deployment) => matches(selector, labelsOf(deployment)));
}

/** Whether these labels are among those. No selector, and an empty one, match nothing here: each of ours must name pods. */
export function matches(selector: Labels | undefined, labels: Labels): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}
