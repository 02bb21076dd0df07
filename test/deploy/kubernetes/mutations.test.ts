import { describe, expect, it } from 'vitest';
import { hasTool } from '../../support/tools.ts';
import { allProblems } from './all-problems.ts';
import { type Manifest, manifestsIn, ofKind, podOf, rendered, wakalaIn } from './manifests.ts';
import { proxyProblems } from './proxy-policy.ts';
import { problemsOf } from './schemas.ts';

/** A value below a manifest, as loose as a mistake is. */
type Loose = Record<string, unknown>;

const wakala = (manifests: Manifest[]) => wakalaIn(manifests).container;
const pod = (manifests: Manifest[]) => podOf(wakalaIn(manifests).deployment);
const loose = (value: object | undefined) => value as unknown as Loose;

type Mistake = readonly [title: string, make: (manifests: Manifest[]) => void, problem: string];

const MISTAKES: readonly Mistake[] = [
  ['an unknown field', (all) => (loose(pod(all))['hostNetworking'] = true), 'hostNetworking is an unknown field'],
  [
    'a misspelt field, deep down',
    (all) => (loose(wakala(all).livenessProbe?.httpGet)['pth'] = '/'),
    'httpGet.pth is an unknown field',
  ],
  ['a wrong type', (all) => (loose(pod(all))['terminationGracePeriodSeconds'] = '80'), 'must be integer'],
  ['a wrong word', (all) => (loose(wakala(all))['imagePullPolicy'] = 'Sometimes'), 'allowed values'],
  ['a field with no value', (all) => (loose(wakala(all))['env'] = null), 'env has no value'],
  ['a bad quantity', (all) => (loose(wakala(all).resources)['limits'] = { memory: '256 MB' }), 'format "quantity"'],
  ['a missing field', (all) => delete loose(wakala(all))['name'], 'required property name'],
  ['no limit of memory', (all) => delete loose(wakala(all).resources)['limits'], 'has no limit of memory'],
  ['a limit of CPU', (all) => (loose(wakala(all).resources)['limits'] = { cpu: '1', memory: '1Gi' }), 'limit of CPU'],
  ['no request', (all) => (loose(wakala(all).resources)['requests'] = {}), 'does not request memory'],
  ['subPath', (all) => (loose(wakala(all).volumeMounts?.[0])['subPath'] = 'proxy.config.yaml'), 'by subPath'],
  [
    'a mount that may be written to',
    (all) => delete loose(wakala(all).volumeMounts?.[1])['readOnly'],
    'may write to /run',
  ],
  ['a mount of no volume', (all) => (loose(wakala(all).volumeMounts?.[1])['name'] = 'x'), 'no such volume'],
  ['a volume of the host', (all) => pod(all).volumes?.push({ name: 'x', hostPath: { path: '/' } }), 'is a hostPath'],
  ['a secret for everyone', (all) => (loose(pod(all).volumes?.[1]?.secret)['defaultMode'] = 0o444), 'open to everyone'],
  [
    'the default mode of a secret',
    (all) => delete loose(pod(all).volumes?.[1]?.secret)['defaultMode'],
    'open to everyone',
  ],
  ['latest', (all) => (wakala(all).image = 'wakala:latest'), 'no version in its image'],
  [
    'an image without a version',
    (all) => (wakala(all).image = 'registry.example:5000/wakala'),
    'no version in its image',
  ],
  ['root', (all) => (loose(pod(all).securityContext)['runAsUser'] = 0), 'has no user id of its own'],
  ['perhaps root', (all) => delete loose(pod(all).securityContext)['runAsNonRoot'], 'may run as root'],
  ['another user', (all) => (loose(pod(all).securityContext)['runAsUser'] = 1000), 'not as the user of the image'],
  ['no fsGroup', (all) => delete loose(pod(all).securityContext)['fsGroup'], 'it cannot read its secrets'],
  ['no seccomp', (all) => delete loose(pod(all).securityContext)['seccompProfile'], 'seccomp profile'],
  ['a writable root', (all) => delete loose(wakala(all).securityContext)['readOnlyRootFilesystem'], 'root file system'],
  ['capabilities', (all) => delete loose(wakala(all).securityContext)['capabilities'], 'keeps capabilities'],
  ['escalation', (all) => delete loose(wakala(all).securityContext)['allowPrivilegeEscalation'], 'more privileges'],
  ['privileges', (all) => (loose(wakala(all).securityContext)['privileged'] = true), 'is privileged'],
  ['the network of the node', (all) => (pod(all).hostNetwork = true), 'shares something of its node'],
  ['a token', (all) => delete loose(pod(all))['automountServiceAccountToken'], 'token of the API server'],
  ['service links', (all) => delete loose(pod(all))['enableServiceLinks'], 'a variable for each Service'],
  [
    'a secret in a variable',
    (all) => (wakala(all).env = [{ name: 'API_KEY', value: 'made-up' }]),
    'the manifest holds it',
  ],
  [
    'a Secret',
    (all) => all.push({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'wakala' } }),
    'Secret wakala is among the manifests',
  ],
  ['little time', (all) => (pod(all).terminationGracePeriodSeconds = 70), 'has 70 s to end, and needs more than 70 s'],
  ['the default of time', (all) => delete pod(all).terminationGracePeriodSeconds, 'has 30 s to end'],
  ['no readiness', (all) => delete wakala(all).readinessProbe, 'readinessProbe does not ask /readyz'],
  [
    'strict liveness',
    (all) => (loose(wakala(all).livenessProbe?.httpGet)['path'] = '/readyz'),
    'livenessProbe does not',
  ],
  [
    'a probe of the proxy',
    (all) => (loose(wakala(all).livenessProbe?.httpGet)['port'] = 'http'),
    'livenessProbe does not',
  ],
  ['no admin port', (all) => wakala(all).ports?.pop(), 'does not name its port 9901'],
  ['another port to scrape', (all) => relabel(all, 'annotations', 'prometheus.io/port', '9902'), 'has no port 9902'],
  ['another label', (all) => relabel(all, 'labels', 'app.kubernetes.io/instance', 'x'), 'does not select its own pods'],
  [
    'a Service of nothing',
    (all) => (loose(ofKind(all, 'Service')[0]?.spec)['selector'] = { app: 'x' }),
    'Service wakala selects no pods',
  ],
  [
    'a Service of everything',
    (all) => (loose(ofKind(all, 'Service')[0]?.spec)['selector'] = { 'app.kubernetes.io/part-of': 'x' }),
    'Service wakala selects no pods',
  ],
  [
    'a Service to a port that is not there',
    (all) => (loose(ofKind(all, 'Service')[0]?.spec?.ports?.[0])['targetPort'] = 'https'),
    'leads to port https',
  ],
  ['another budget', (all) => (loose(ofKind(all, 'PodDisruptionBudget')[0]?.spec)['selector'] = {}), 'selects no pods'],
  [
    'a scaler of nothing',
    (all) => (loose(ofKind(all, 'HorizontalPodAutoscaler')[0]?.spec?.scaleTargetRef)['name'] = 'x'),
    'scales nothing that is there',
  ],
  ['two who count', (all) => (loose(wakalaIn(all).deployment.spec)['replicas'] = 2), 'both set the number of copies'],
  [
    'a scaler down to one',
    (all) => (loose(ofKind(all, 'HorizontalPodAutoscaler')[0]?.spec)['minReplicas'] = 1),
    'may leave a single copy',
  ],
  ['another account', (all) => (pod(all).serviceAccountName = 'x'), 'no such ServiceAccount'],
  [
    'another ConfigMap',
    (all) =>
      all.splice(
        all.findIndex(({ metadata }) => /-redis-/.test(metadata?.name ?? '')),
        1,
      ),
    'no such ConfigMap',
  ],
];

function relabel(all: Manifest[], what: 'labels' | 'annotations', name: string, value: string): void {
  loose(wakalaIn(all).deployment.spec?.template.metadata?.[what])[name] = value;
}

describe.runIf(hasTool('kubectl'))('a mistake in the manifests of the gateway', () => {
  it('is none as they are', () => {
    expect(allProblems(rendered('overlays/gateway'))).toEqual([]);
  });

  it.each(MISTAKES)('is found: %s', (_, make, problem) => {
    const manifests = rendered('overlays/gateway');
    make(manifests);
    expect(allProblems(manifests)).toContainEqual(expect.stringContaining(problem));
  });

  it.each([
    ["'${file:/run/secrets/wakala/admin_token}'", 'made-up-admin-token'],
    ['${file:/run/secrets/wakala/client_shop}', 'made-up-key-of-the-shop'],
    ['${file:/run/secrets/wakala/redis_password}', 'made-up-password'],
    ['${file:/run/secrets/wakala/encryption_key}', '${ENCRYPTION_KEY}'],
    ['${file:/run/secrets/wakala/mpesa_consumer_key}', 'made-up-key'],
  ])('is found: %s in the clear', (reference, plain) => {
    const manifests = edited((text) => text.replace(reference, plain));
    const problem = `has "${plain}" in its configuration where the name of a file should be`;
    expect(allProblems(manifests)).toContain(problem);
  });

  it.each([
    ['a longer drain', 'drain_timeout: 65s', 'drain_timeout: 75s', 'has 80 s to end, and needs more than 80 s'],
    ['loopback', 'listen: 0.0.0.0:8080', 'listen: 127.0.0.1:8080', 'listens on 127.0.0.1:8080'],
    ['probes on loopback', "'0.0.0.0:9901'", "'127.0.0.1:9901'", 'where the kubelet cannot reach them'],
  ])('is found: %s', (_, before, after, problem) => {
    const problems = allProblems(edited((text) => text.replace(before, after)));
    expect(problems).toContainEqual(expect.stringContaining(problem));
  });
});

describe.runIf(hasTool('kubectl'))('a mistake in the sidecar', () => {
  it.each([
    ['an init container that must end', (all: Manifest[]) => delete wakala(all).restartPolicy, 'that must end'],
    ['an open address', undefined, 'listens on 0.0.0.0:8080'],
  ])('is found: %s', (_, make, problem) => {
    const manifests = rendered('overlays/sidecar');
    if (make === undefined) edit(manifests, (text) => text.replace('listen: 127.0.0.1:', 'listen: 0.0.0.0:'));
    else make(manifests);
    expect(proxyProblems(manifests)).toContainEqual(expect.stringContaining(problem));
  });
});

describe('a manifest', () => {
  it('of a kind that no schema is known for is a problem', () => {
    const [manifest] = manifestsIn('apiVersion: v2\nkind: Deployment\n');
    expect(problemsOf(manifest ?? {})).toEqual(['no schema is known for Deployment of v2']);
  });

  it('that is a part of one is checked as far as it goes', () => {
    expect(problemsOf({ metadata: { annotations: { 'prometheus.io/port': '9901' } } })).toEqual([]);
    expect(problemsOf({ initContainers: [{ restartPolicy: 'Always' }] })).toEqual([]);
    expect(problemsOf({ spec: { template: { spec: { initContainers: [{ restart: 1 }] } } } })).toEqual([
      'spec.template.spec.initContainers.0.restart is an unknown field',
    ]);
    expect(problemsOf({ volumes: [{ name: 'x', secret: { defaultMode: 'rw' } }] })).toEqual([
      'spec.volumes.0.secret.defaultMode must be integer',
    ]);
  });

  it('of the operators is known too', () => {
    const endpoints = [{ port: 'admin', path: '/metrics', interval: '15s' }];
    const monitor = { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', metadata: { name: 'wakala' } };
    expect(problemsOf({ ...monitor, spec: { selector: {}, endpoints } })).toEqual([]);
    expect(problemsOf({ ...monitor, spec: { selector: {}, endpoint: endpoints } })).toContain(
      'spec.endpoint is an unknown field',
    );
  });
});

/** The gateway with another configuration. */
function edited(change: (text: string) => string): Manifest[] {
  const manifests = rendered('overlays/gateway');
  edit(manifests, change);
  return manifests;
}

function edit(manifests: Manifest[], change: (text: string) => string): void {
  const map = ofKind(manifests, 'ConfigMap').find(({ data = {} }) => 'proxy.config.yaml' in data);
  const text = map?.data?.['proxy.config.yaml'] ?? '';
  const next = change(text);
  if (next === text || map?.data === undefined) throw new Error('nothing was changed');
  map.data['proxy.config.yaml'] = next;
}
