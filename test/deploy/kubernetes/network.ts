import { BlockList } from 'node:net';
import type { INetworkPolicyPeer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer';
import type { INetworkPolicyPort } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPort';
import { matches } from './link-policy.ts';
import { containersOf, labelsOf, type Manifest, type Of, ofKind, podOf, portOf } from './manifests.ts';

type Labels = Readonly<Record<string, string>>;

/** One end of a connection: a pod, in a namespace with labels, or an address outside of the cluster. */
export type End = { readonly pod: Labels; readonly namespace: Labels } | { readonly address: string };

/** Labels of the namespace that everything here is applied to. */
export const OWN: Labels = { 'kubernetes.io/metadata.name': 'payments' };

/**
 * Whether the policies let the pods of a Deployment connect to an end (egress), or it to them (ingress), as a network
 * plugin reads them: what no policy is about may pass, what one is about must be in one of its rules.
 */
export function lets(
  manifests: readonly Manifest[],
  direction: 'Ingress' | 'Egress',
  { deployment, end, protocol, port }: { deployment: string; end: End; protocol: 'TCP' | 'UDP'; port: number },
): boolean {
  const own = ofKind(manifests, 'Deployment').find(({ metadata }) => metadata?.name === deployment);
  if (own === undefined) throw new Error(`no Deployment ${deployment}`);
  const about = ofKind(manifests, 'NetworkPolicy').filter(
    ({ spec }) =>
      matches(spec?.podSelector?.matchLabels, labelsOf(own)) && spec?.policyTypes?.includes(direction) === true,
  );
  if (about.length === 0) return true;
  return about.flatMap(rulesOf(direction)).some(({ peers, ports }) => {
    const reached = direction === 'Ingress' ? own : undefined;
    const portFits = ports === undefined || ports.some((one) => fits(one, protocol, port, reached));
    return portFits && (peers === undefined || peers.some((peer) => isPeer(peer, end)));
  });
}

interface Rule {
  readonly peers: readonly INetworkPolicyPeer[] | undefined;
  readonly ports: readonly INetworkPolicyPort[] | undefined;
}

function rulesOf(direction: 'Ingress' | 'Egress'): (policy: Of<'NetworkPolicy'>) => Rule[] {
  return ({ spec }) =>
    direction === 'Ingress'
      ? (spec?.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec?.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
}

/** A port by name is one of the pods that are reached. */
function fits(
  { protocol: wanted = 'TCP', port: name }: INetworkPolicyPort,
  protocol: string,
  port: number,
  reached: Of<'Deployment'> | undefined,
): boolean {
  const containers = reached === undefined ? [] : containersOf(podOf(reached));
  const numbers = typeof name === 'number' ? [name] : containers.map((container) => portOf(container, name));
  return wanted === protocol && numbers.includes(port);
}

function isPeer({ podSelector, namespaceSelector, ipBlock }: INetworkPolicyPeer, end: End): boolean {
  if (ipBlock !== undefined) {
    const { cidr, except = [] } = ipBlock;
    return 'address' in end && within(end.address, [cidr]) && !within(end.address, except);
  }
  if ('address' in end) return false;
  // Without a selector of namespaces, pods of the policy's own are meant.
  const inNamespace =
    namespaceSelector === undefined ? end.namespace === OWN : matches(namespaceSelector.matchLabels, end.namespace);
  return inNamespace && (podSelector === undefined || matches(podSelector.matchLabels, end.pod));
}

function within(address: string, blocks: readonly string[]): boolean {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  for (const block of blocks) {
    const [net = '', bits] = block.split('/');
    // A list takes an IPv4 address for one of IPv6 too.
    if (net.includes(':') === (family === 'ipv6')) list.addSubnet(net, Number(bits), family);
  }
  return list.check(address, family);
}
