import { ExternalSecret } from '@kubernetes-models/external-secrets/external-secrets.io/v1/ExternalSecret';
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor';
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { DaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { CronJob } from 'kubernetes-models/batch/v1/CronJob';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { Pod } from 'kubernetes-models/v1/Pod';
import { Secret } from 'kubernetes-models/v1/Secret';
import { Service } from 'kubernetes-models/v1/Service';
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount';

/** A kind whose JSON schema, of Kubernetes's own OpenAPI definition or the operator's, was compiled to a function. */
interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly prototype: { validate(): void };
}

const KINDS: readonly Kind[] = [
  ConfigMap,
  CronJob,
  DaemonSet,
  Deployment,
  ExternalSecret,
  HorizontalPodAutoscaler,
  Ingress,
  Job,
  Namespace,
  NetworkPolicy,
  Pod,
  PodDisruptionBudget,
  PodMonitor,
  PrometheusRule,
  Secret,
  Service,
  ServiceAccount,
  ServiceMonitor,
  StatefulSet,
];

/** What is wrong with one value, as those functions say it. */
interface Fault {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/**
 * What is wrong with a manifest, each with its place, by the JSON schema of its kind. It is strict: a field that the
 * schema does not know is wrong too, and so is one without a value.
 *
 * Without a `kind` it is taken as a part of a Deployment, of a Pod, or of a pod's spec, and nothing in it is required.
 */
export function problemsOf(manifest: object): string[] {
  const fragment = !('kind' in manifest) && !('apiVersion' in manifest);
  const whole = fragment ? wholeOf(manifest) : manifest;
  const { apiVersion, kind } = whole as { readonly apiVersion?: unknown; readonly kind?: unknown };
  const found = KINDS.find((one) => one.apiVersion === apiVersion && one.kind === kind);
  if (found === undefined) return [`no schema is known for ${String(kind)} of ${String(apiVersion)}`];
  const looks = new Looks();
  const faults = faultsOf(found, looks.at(whole)).filter(({ keyword }) => !(fragment && keyword === 'required'));
  return [...faults.map(sentence), ...looks.missed(whole)];
}

/** The smallest manifest that a fragment can be a part of. */
function wholeOf(fragment: object): object {
  const { spec } = fragment as { readonly spec?: Readonly<Record<string, unknown>> };
  if (spec !== undefined && ('template' in spec || 'selector' in spec || 'replicas' in spec)) {
    return { apiVersion: 'apps/v1', kind: 'Deployment', ...fragment };
  }
  const isPod = spec !== undefined || 'metadata' in fragment;
  return { apiVersion: 'v1', kind: 'Pod', ...(isPod ? fragment : { spec: fragment }) };
}

function faultsOf(kind: Kind, manifest: object): readonly Fault[] {
  try {
    kind.prototype.validate.call(manifest);
    return [];
  } catch (error) {
    if (error instanceof Error && 'errors' in error) return error.errors as readonly Fault[];
    throw error;
  }
}

function sentence({ instancePath, message = 'is wrong', params }: Fault): string {
  const allowed = 'allowedValues' in params ? `: ${JSON.stringify(params['allowedValues'])}` : '';
  return `${dotted(instancePath.split('/').slice(1))} ${message}${allowed}`.trim();
}

function dotted(keys: readonly string[]): string {
  return keys.map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~')).join('.');
}

/**
 * Which values a schema's function looks at. It reads every field that its schema knows, and each of a map; so one that
 * it never reads is unknown.
 */
class Looks {
  readonly #keys = new WeakMap<object, Set<string>>();

  /** The same value, whose reader is watched. */
  at<T extends object>(value: T): T {
    const keys = new Set<string>();
    this.#keys.set(value, keys);
    return new Proxy(value, {
      get: (target, key) => {
        if (typeof key === 'string') keys.add(key);
        const below: unknown = Reflect.get(target, key);
        return typeof below === 'object' && below !== null && Object.hasOwn(target, key) ? this.at(below) : below;
      },
    });
  }

  /** Fields that nobody looked at, and those that hold nothing. */
  missed(value: object, path: readonly string[] = []): string[] {
    const read = this.#keys.get(value) ?? new Set();
    return Object.entries(value).flatMap(([key, below]: [string, unknown]) => {
      const here = [...path, key];
      if (!read.has(key)) return [`${here.join('.')} is an unknown field`];
      if (below === null) return [`${here.join('.')} has no value`];
      return typeof below === 'object' ? this.missed(below, here) : [];
    });
  }
}
