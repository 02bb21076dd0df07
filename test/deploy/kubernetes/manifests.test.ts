import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT, textOf } from '../../docs/documents.ts';
import { hasTool } from '../../support/tools.ts';
import { linkProblems } from './link-policy.ts';
import { FOLDERS, nameOf, ofKind, podOf, rendered, wakalaIn } from './manifests.ts';
import { type End, lets, OWN } from './network.ts';
import { podProblems } from './pod-policy.ts';
import { proxyProblems } from './proxy-policy.ts';
import { problemsOf } from './schemas.ts';

const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };

describe.runIf(hasTool('kubectl'))('deploy/kubernetes, rendered', () => {
  describe.each(FOLDERS)('%s', (folder) => {
    it('keeps to the schemas of its kinds', () => {
      const manifests = rendered(folder);
      expect(manifests.length).toBeGreaterThan(1);
      expect(manifests.flatMap((one) => problemsOf(one).map((problem) => `${nameOf(one)}: ${problem}`))).toEqual([]);
    });

    it('passes Pod Security "restricted", and our own rules for pods', () => {
      expect(ofKind(rendered(folder), 'Deployment').flatMap(podProblems)).toEqual([]);
    });

    it('runs Wakala as its own user, with probes on the admin listener, secrets in files, and time to drain', () => {
      expect(proxyProblems(rendered(folder))).toEqual([]);
    });

    it('refers to nothing that is not there', () => {
      expect(linkProblems(rendered(folder))).toEqual([]);
    });

    it('has the image, and where it says so the version, of this repository', () => {
      const { deployment, container } = wakalaIn(rendered(folder));
      expect(container.image).toBe(`wakala:${version}`);
      const said = deployment.spec?.template.metadata?.labels?.['app.kubernetes.io/version'];
      expect(said).toBe(folder === 'overlays/sidecar' ? undefined : version);
    });
  });

  it('runs Wakala in the same way in each, save what makes a sidecar or an emulation of it', () => {
    const common = FOLDERS.map((folder) => {
      const { deployment, container } = wakalaIn(rendered(folder));
      const { image, resources, securityContext, livenessProbe } = container;
      const pod = podOf(deployment).securityContext;
      return {
        ...{
          image,
          resources,
          periods: livenessProbe?.periodSeconds,
          user: securityContext?.runAsUser ?? pod?.runAsUser,
        },
        ...{ capabilities: securityContext?.capabilities, fsGroup: pod?.fsGroup },
        config: container.args?.slice(1),
      };
    });
    for (const one of common) expect(one).toEqual(common[0]);
  });

  it('gives the credentials of the sidecar to no other container of the pod', () => {
    const pod = podOf(wakalaIn(rendered('overlays/sidecar')).deployment);
    const mounting = [...(pod.initContainers ?? []), ...pod.containers].filter(({ volumeMounts = [] }) =>
      volumeMounts.some(({ name }) =>
        pod.volumes?.some((volume) => volume.name === name && volume.secret !== undefined),
      ),
    );
    expect(mounting.map(({ name }) => name)).toEqual(['wakala']);
  });

  it('names all of the emulation so that it takes the place of nothing real', () => {
    const names = rendered('overlays/dev').map(({ metadata }) => metadata?.name);
    expect(names.filter((name) => !/^wakala-emulated(-\w{10})?$/.test(name ?? ''))).toEqual([]);
    const real = rendered('overlays/gateway').map(nameOf);
    expect(
      rendered('overlays/dev')
        .map(nameOf)
        .filter((name) => real.includes(name)),
    ).toEqual([]);
  });

  it('rolls pods out for a new configuration, but not the app beside which Wakala runs', () => {
    const mapOf = (folder: string) => ofKind(rendered(folder), 'ConfigMap').map(({ metadata }) => metadata?.name);
    expect(mapOf('overlays/sidecar')).toEqual(['wakala']);
    for (const folder of ['base', 'overlays/gateway', 'overlays/dev']) {
      for (const name of mapOf(folder)) expect(name, folder).toMatch(/-[a-z0-9]{10}$/);
    }
  });
});

describe.runIf(hasTool('kubectl'))('the network policies of the gateway', () => {
  const manifests = () => rendered('overlays/gateway');
  const pod = (labels: Record<string, string>, namespace: Record<string, string> = {}): End => ({
    pod: labels,
    namespace,
  });
  const CLIENTS = { 'kubernetes.io/metadata.name': 'shop', 'wakala-clients': 'allowed' };
  const CLIENT = { 'wakala-client': 'true' };
  const MONITORING = { 'kubernetes.io/metadata.name': 'monitoring' };
  const SYSTEM = { 'kubernetes.io/metadata.name': 'kube-system' };
  const WAKALA = pod({ 'app.kubernetes.io/name': 'wakala', 'app.kubernetes.io/instance': 'wakala' }, OWN);
  const REDIS = pod({ 'app.kubernetes.io/name': 'wakala-redis' }, OWN);

  it.each([
    ['let a client in a namespace of clients', pod(CLIENT, CLIENTS), 8080, true],
    ['do not let another pod in a namespace of clients', pod({}, CLIENTS), 8080, false],
    ['do not let a client in another namespace', pod(CLIENT, { 'kubernetes.io/metadata.name': 'other' }), 8080, false],
    ['do not let a client, on the admin port,', pod(CLIENT, CLIENTS), 9901, false],
    ['let Prometheus, on the admin port,', pod({ app: 'prometheus' }, MONITORING), 9901, true],
    ['do not let Prometheus, on the port of the proxy,', pod({ app: 'prometheus' }, MONITORING), 8080, false],
    ['do not let the Internet', { address: '203.0.113.7' }, 8080, false],
  ] as const)('%s call Wakala', (_, end, port, expected) => {
    expect(lets(manifests(), 'Ingress', { deployment: 'wakala', end, protocol: 'TCP', port })).toBe(expected);
  });

  it.each([
    ['let Wakala ask DNS by UDP', pod({ 'k8s-app': 'kube-dns' }, SYSTEM), 'UDP', 53, true],
    ['let Wakala ask DNS by TCP', pod({ 'k8s-app': 'kube-dns' }, SYSTEM), 'TCP', 53, true],
    ['do not let Wakala reach another pod of the system', pod({ app: 'x' }, SYSTEM), 'TCP', 53, false],
    ['let Wakala reach its Redis', REDIS, 'TCP', 6379, true],
    [
      'do not let Wakala reach a Redis elsewhere',
      pod({ 'app.kubernetes.io/name': 'wakala-redis' }, CLIENTS),
      'TCP',
      6379,
      false,
    ],
    ['let Wakala reach a provider', { address: '203.0.113.7' }, 'TCP', 443, true],
    ['let Wakala reach a provider by IPv6', { address: '2001:db8::7' }, 'TCP', 443, true],
    ['do not let Wakala reach a provider without TLS', { address: '203.0.113.7' }, 'TCP', 80, false],
    ['do not let Wakala reach the metadata service', { address: '169.254.169.254' }, 'TCP', 443, false],
    ['do not let Wakala reach the metadata service by IPv6', { address: 'fd00:ec2::254' }, 'TCP', 443, false],
    ['do not let Wakala reach what is link-local', { address: 'fe80::1' }, 'TCP', 443, false],
    ['do not let Wakala reach the API server', { address: '10.96.0.1' }, 'TCP', 443, false],
    ['do not let Wakala reach another pod', pod({ app: 'x' }, OWN), 'TCP', 443, false],
  ] as const)('%s', (_, end, protocol, port, expected) => {
    expect(lets(manifests(), 'Egress', { deployment: 'wakala', end, protocol, port })).toBe(expected);
  });

  it('let Wakala alone reach Redis, and Redis nobody', () => {
    const reaches = (end: End) =>
      lets(manifests(), 'Ingress', { deployment: 'wakala-redis', end, protocol: 'TCP', port: 6379 });
    expect([reaches(WAKALA), reaches(pod({ app: 'x' }, OWN)), reaches({ address: '203.0.113.7' })]).toEqual([
      true,
      false,
      false,
    ]);
    for (const end of [WAKALA, { address: '203.0.113.7' }, pod({ 'k8s-app': 'kube-dns' }, SYSTEM)]) {
      expect(lets(manifests(), 'Egress', { deployment: 'wakala-redis', end, protocol: 'TCP', port: 443 })).toBe(false);
    }
  });
});

describe('deploy/kubernetes', () => {
  it('says the version of this repository', () => {
    const files = ['base/kustomization.yaml', 'base/deployment.yaml', 'components/sidecar/sidecar.yaml'];
    for (const file of files) expect(textOf(`deploy/kubernetes/${file}`), file).toContain(version);
  });
});
