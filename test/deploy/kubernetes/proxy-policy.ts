import { parse } from 'yaml';
import { configIn, type Manifest, nameOf, ofKind, podOf, portOf, probesOf, wakalaIn } from './manifests.ts';
import { said } from './pod-policy.ts';

/** What each probe asks. Only readiness knows that Wakala drains; liveness must not, or it would be killed for it. */
const PROBES: ReadonlyMap<string, string> = new Map([
  ['startupProbe', '/readyz'],
  ['livenessProbe', '/livez'],
  ['readinessProbe', '/readyz'],
]);

const USER = 65_532;
const ADMIN_PORT = 9901;
const SECRET_FILE = /^\$\{file:\/run\/secrets\/wakala\/[a-z_]+\}$/;

interface Config {
  readonly listen: string;
  readonly admin: { readonly address: string; readonly token: string };
  readonly drain_timeout?: string;
  readonly clients?: readonly { readonly key: string }[];
  readonly token_store?: { readonly redis: string; readonly encryption_key: string };
  readonly routes: Readonly<Record<string, { readonly credentials?: Readonly<Record<string, string>> }>>;
}

/** What is wrong with how Wakala itself is run: its user, probes, secrets, and the time that it has to stop. */
export function proxyProblems(manifests: readonly Manifest[]): string[] {
  const { deployment, container } = wakalaIn(manifests);
  const pod = podOf(deployment);
  const config = parse(configIn(manifests)) as Config;
  const user = container.securityContext?.runAsUser ?? pod.securityContext?.runAsUser;
  const sidecar = pod.initContainers?.includes(container) === true;
  const mounts = container.volumeMounts?.map(({ mountPath }) => mountPath) ?? [];
  const emulated = container.args?.[0] === 'dev';
  return [
    ...said(user !== USER, `runs as ${user}, not as the user of the image`),
    ...said(!emulated && pod.securityContext?.fsGroup !== USER, 'has another fsGroup: it cannot read its secrets'),
    ...said(!emulated && !mounts.includes('/run/secrets/wakala'), 'does not mount its secrets'),
    ...said(sidecar && container.restartPolicy !== 'Always', 'is an init container that must end'),
    ...said(sidecar !== config.listen.startsWith('127.0.0.1:'), `listens on ${config.listen}`),
    ...said(portOf(container, ADMIN_PORT) === undefined, `does not name its port ${ADMIN_PORT}`),
    ...said(config.admin.address !== `0.0.0.0:${ADMIN_PORT}`, 'has its probes where the kubelet cannot reach them'),
    ...[...PROBES].flatMap(([name, path]) => {
      const get = probesOf(container).get(name)?.httpGet;
      const right = get?.path === path && portOf(container, get.port) === ADMIN_PORT;
      return said(!right, `${name} does not ask ${path} of the admin listener`);
    }),
    ...graceProblems(manifests, config),
    ...(emulated ? [] : plainSecrets(config)),
    ...ofKind(manifests, 'Secret').map((secret) => `${nameOf(secret)} is among the manifests`),
  ];
}

/** The pod's time to end must hold the sleep before SIGTERM and the drain, or the last requests are cut off. */
function graceProblems(manifests: readonly Manifest[], { drain_timeout: drain = '25s' }: Config): string[] {
  const { deployment, container } = wakalaIn(manifests);
  const { terminationGracePeriodSeconds: grace = 30 } = podOf(deployment);
  const needed = (container.lifecycle?.preStop?.sleep?.seconds ?? 0) + Number(/^(\d+)s$/.exec(drain)?.[1]);
  return said(!(grace > needed), `has ${grace} s to end, and needs more than ${needed} s`);
}

/** What is a secret, and not the file of one. */
function plainSecrets({ admin, clients = [], token_store: store, routes }: Config): string[] {
  const secrets = [
    admin.token,
    ...clients.map(({ key }) => key),
    ...(store === undefined ? [] : [store.encryption_key, /^rediss?:\/\/[^:/]*:(.*)@/.exec(store.redis)?.[1] ?? '']),
    ...Object.values(routes).flatMap(({ credentials = {} }) => Object.values(credentials)),
  ];
  const plain = secrets.filter((secret) => !SECRET_FILE.test(secret));
  return plain.map((secret) => `has ${JSON.stringify(secret)} in its configuration where the name of a file should be`);
}
