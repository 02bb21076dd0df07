import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/errors.ts';
import { textOf } from '../../docs/documents.ts';
import { hasTool } from '../../support/tools.ts';
import { configIn, containersOf, FOLDERS, nameOf, ofKind, podOf, rendered, wakalaIn } from './manifests.ts';
import { problemsOf } from './schemas.ts';

const { version } = JSON.parse(textOf('package.json')) as { version: string };

/** The user of the image. */
const USER = 65_532;
/** Readable by owner and group. */
const SECRET_MODE = 0o440;

/** A configuration as `wakala check` sees it in the pod. */
function examined(text: string, { emulated = false, mode = 0o400 } = {}) {
  return validateConfig('/etc/wakala/proxy.config.yaml', {
    env: {},
    emulated,
    fileMode: () => mode,
    readFile: (name) => (name.endsWith('proxy.config.yaml') ? text : `made-up-content-of${name.replaceAll('/', '-')}`),
  });
}

describe.runIf(hasTool('kubectl'))('deploy/kubernetes, rendered', () => {
  describe.each(FOLDERS)('%s', (folder) => {
    const isEmulated = folder === 'overlays/dev';
    const isSidecar = folder === 'overlays/sidecar';

    it('keeps to the schemas of its kinds, and holds no Secret', () => {
      const manifests = rendered(folder);
      expect(manifests.length).toBeGreaterThan(1);
      expect(manifests.flatMap((one) => problemsOf(one).map((problem) => `${nameOf(one)}: ${problem}`))).toEqual([]);
      expect(ofKind(manifests, 'Secret')).toEqual([]);
    });

    it('passes Pod Security "restricted", with a read-only root and without a token of the API server', () => {
      for (const pod of ofKind(rendered(folder), 'Deployment').map(podOf)) {
        expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
        expect([pod.hostNetwork, pod.hostPID, pod.hostIPC]).toEqual([undefined, undefined, undefined]);
        for (const { name, securityContext } of containersOf(pod)) {
          const { runAsUser, ...context } = { ...pod.securityContext, ...securityContext };
          expect(runAsUser, name).toBeGreaterThan(0);
          expect(context, name).toMatchObject({
            runAsNonRoot: true,
            readOnlyRootFilesystem: true,
            allowPrivilegeEscalation: false,
            seccompProfile: { type: 'RuntimeDefault' },
          });
          expect(securityContext?.capabilities, name).toEqual({ drop: ['ALL'] });
        }
      }
    });

    it('limits memory and not CPU, and names the version of each image', () => {
      for (const { name, image, resources } of ofKind(rendered(folder), 'Deployment')
        .map(podOf)
        .flatMap(containersOf)) {
        expect(image, name).toMatch(/:\d[\w.-]+$/);
        expect(Object.keys(resources?.limits ?? {}), name).toEqual(['memory']);
        expect(Object.keys(resources?.requests ?? {}).sort(), name).toEqual(['cpu', 'memory']);
      }
    });

    it('mounts read-only, and has secrets in files that others cannot read', () => {
      for (const pod of ofKind(rendered(folder), 'Deployment').map(podOf)) {
        for (const { secret } of pod.volumes ?? []) expect(secret?.defaultMode ?? SECRET_MODE).toBe(SECRET_MODE);
        for (const { env = [], envFrom, volumeMounts = [] } of containersOf(pod)) {
          expect(envFrom).toBeUndefined();
          expect(env.filter(({ valueFrom }) => valueFrom !== undefined)).toEqual([]);
          // A file that is mounted by `subPath` is never replaced.
          for (const mount of volumeMounts) expect(mount).toMatchObject({ readOnly: true });
          for (const mount of volumeMounts) expect(mount).not.toHaveProperty('subPath');
        }
      }
    });

    it('runs Wakala as the user of its image, who can read its secrets', () => {
      const { deployment, container } = wakalaIn(rendered(folder));
      const pod = podOf(deployment).securityContext;
      expect(container.image).toBe(`wakala:${version}`);
      expect({ ...pod, ...container.securityContext }).toMatchObject({ runAsUser: USER, fsGroup: USER });
      const mounts = container.volumeMounts?.map(({ mountPath }) => mountPath);
      expect(mounts).toEqual(isEmulated ? ['/etc/wakala'] : ['/etc/wakala', '/run/secrets/wakala']);
    });

    it('asks the admin listener for its health; only readiness knows that it drains', () => {
      const { container } = wakalaIn(rendered(folder));
      const port = isSidecar ? 'wakala-admin' : 'admin';
      expect(container.ports).toContainEqual({ name: port, containerPort: 9901 });
      expect(container).toMatchObject({
        startupProbe: { httpGet: { path: '/readyz', port } },
        livenessProbe: { httpGet: { path: '/livez', port } },
        readinessProbe: { httpGet: { path: '/readyz', port } },
      });
    });

    it('has a configuration that passes the check, also in production', () => {
      const text = configIn(rendered(folder));
      const { problems, warnings } = examined(text, { emulated: isEmulated });
      expect(problems.map(formatProblem)).toEqual([]);
      // Said in the file itself: a managed Redis with TLS is better.
      const clear = expect.stringContaining('sends the password unencrypted') as string;
      expect(warnings.map(({ message }) => message)).toEqual(folder === 'overlays/gateway' ? [clear] : []);
      const production = text.replace('environment: sandbox', 'environment: production');
      expect(examined(production, { emulated: isEmulated }).problems).toEqual([]);
    });

    it('has every secret of its configuration in a file', () => {
      const text = configIn(rendered(folder)).replace(/^ *#.*$/gm, '');
      const values = [...text.matchAll(/(?:token|key|secret|password): '?([^'\n]*)/g)].map(([, value]) => value);
      const plain = values.filter((value) => !/^\$\{file:\/run\/secrets\/wakala\/\w+\}$/.test(value ?? ''));
      expect(plain).toEqual(isEmulated ? [expect.stringContaining('emulated-admin-token')] : []);
    });

    it('listens where its callers are: a sidecar on loopback', () => {
      const { listen, admin } = examined(configIn(rendered(folder)), { emulated: isEmulated }).config!;
      expect(listen).toEqual({ host: isSidecar ? '127.0.0.1' : '0.0.0.0', port: 8080 });
      expect(admin).toMatchObject({ host: '0.0.0.0', port: 9901 });
    });

    it('has more time to stop than it sleeps and drains', () => {
      const { deployment, container } = wakalaIn(rendered(folder));
      const sleepMs = (container.lifecycle?.preStop?.sleep?.seconds ?? 0) * 1000;
      const { drainTimeoutMs } = examined(configIn(rendered(folder)), { emulated: isEmulated }).config!;
      const graceMs = (podOf(deployment).terminationGracePeriodSeconds ?? 30) * 1000;
      expect(graceMs).toBeGreaterThan(sleepMs + drainTimeoutMs);
    });
  });

  it('restarts the sidecar always, and mounts its secrets into no other container', () => {
    const pod = podOf(wakalaIn(rendered('overlays/sidecar')).deployment);
    expect(pod.initContainers).toMatchObject([{ name: 'wakala', restartPolicy: 'Always' }]);
    expect(pod.containers.map(({ volumeMounts }) => volumeMounts)).toEqual([undefined]);
  });

  it('names all of the emulation so that it takes the place of nothing real', () => {
    const names = rendered('overlays/dev').map(({ metadata }) => metadata?.name);
    expect(names.filter((name) => !/^wakala-emulated(-\w{10})?$/.test(name ?? ''))).toEqual([]);
  });

  it('rolls pods out for a new configuration, but not the app beside which Wakala runs', () => {
    const mapOf = (folder: string) => ofKind(rendered(folder), 'ConfigMap').map(({ metadata }) => metadata?.name);
    expect(mapOf('overlays/sidecar')).toEqual(['wakala']);
    for (const folder of ['base', 'overlays/gateway', 'overlays/dev']) {
      for (const name of mapOf(folder)) expect(name, folder).toMatch(/-[a-z0-9]{10}$/);
    }
  });
});

describe.runIf(hasTool('kubectl'))('the gateway', () => {
  const of = <K extends Parameters<typeof ofKind>[1]>(kind: K, name: string) =>
    ofKind(rendered('overlays/gateway'), kind).find(({ metadata }) => metadata?.name === name);
  const WAKALA = { 'app.kubernetes.io/name': 'wakala', 'app.kubernetes.io/instance': 'wakala' };
  const REDIS = { 'app.kubernetes.io/name': 'wakala-redis' };

  it.each([
    ['wakala', WAKALA],
    ['wakala-redis', REDIS],
  ])('has a Service and a network policy for the pods of %s', (name, labels) => {
    expect(of('Deployment', name)?.spec?.selector.matchLabels).toEqual(labels);
    expect(of('Deployment', name)?.spec?.template.metadata?.labels).toMatchObject(labels);
    expect(of('Service', name)?.spec?.selector).toEqual(labels);
    expect(of('NetworkPolicy', name)?.spec?.podSelector?.matchLabels).toEqual(labels);
  });

  it('is scaled, and never to a single copy', () => {
    const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'wakala' };
    expect(of('HorizontalPodAutoscaler', 'wakala')?.spec).toMatchObject({ scaleTargetRef: target, minReplicas: 2 });
    // Set here, it would be reset by each `kubectl apply`.
    expect(of('Deployment', 'wakala')?.spec?.replicas).toBeUndefined();
    expect(of('PodDisruptionBudget', 'wakala')?.spec?.selector?.matchLabels).toEqual(WAKALA);
  });

  it('is called by its clients, and by Prometheus on the admin port', () => {
    const clients = {
      namespaceSelector: { matchLabels: { 'wakala-clients': 'allowed' } },
      podSelector: { matchLabels: { 'wakala-client': 'true' } },
    };
    const monitoring = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } };
    expect(of('NetworkPolicy', 'wakala')?.spec?.ingress).toEqual([
      { from: [clients], ports: [{ port: 'http', protocol: 'TCP' }] },
      { from: [monitoring], ports: [{ port: 'admin', protocol: 'TCP' }] },
    ]);
  });

  it('reaches DNS, its Redis, and the Internet by TLS: no private address, no metadata service', () => {
    const { egress = [], policyTypes } = of('NetworkPolicy', 'wakala')?.spec ?? {};
    expect(policyTypes).toEqual(['Ingress', 'Egress']);
    const [dns, redis, internet, ...more] = egress;
    expect(more).toEqual([]);
    expect(dns).toMatchObject({ to: [{ podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } }] });
    expect(redis).toEqual({ to: [{ podSelector: { matchLabels: REDIS } }], ports: [{ port: 6379, protocol: 'TCP' }] });
    const v4 = ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'];
    const v6 = ['::1/128', 'fc00::/7', 'fe80::/10'];
    expect(internet).toEqual({
      to: [{ ipBlock: { cidr: '0.0.0.0/0', except: v4 } }, { ipBlock: { cidr: '::/0', except: v6 } }],
      ports: [{ port: 443, protocol: 'TCP' }],
    });
  });

  it('is the only pod that reaches Redis; Redis has no egress', () => {
    expect(of('NetworkPolicy', 'wakala-redis')?.spec).toMatchObject({
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ podSelector: { matchLabels: WAKALA } }], ports: [{ port: 'redis', protocol: 'TCP' }] }],
    });
    expect(of('NetworkPolicy', 'wakala-redis')?.spec?.egress).toBeUndefined();
  });
});

describe('deploy/kubernetes', () => {
  it('says the version of this repository', () => {
    const files = ['base/kustomization.yaml', 'base/deployment.yaml', 'components/sidecar/sidecar.yaml'];
    for (const file of files) expect(textOf(`deploy/kubernetes/${file}`), file).toContain(version);
  });
});

describe('problemsOf', () => {
  const monitor = { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', metadata: { name: 'wakala' } };

  it.each([
    [{ apiVersion: 'v2', kind: 'Deployment' }, 'no schema is known for Deployment of v2'],
    [{ initContainers: [{ restart: 1 }] }, 'spec.initContainers.0.restart is an unknown field'],
    [{ volumes: [{ name: 'x', secret: { defaultMode: 'rw' } }] }, 'spec.volumes.0.secret.defaultMode must be integer'],
    [{ ...monitor, spec: { selector: {}, endpoint: [] } }, 'spec.endpoint is an unknown field'],
  ])('finds what is wrong with %j', (manifest, problem) => {
    expect(problemsOf(manifest)).toContain(problem);
  });
});
