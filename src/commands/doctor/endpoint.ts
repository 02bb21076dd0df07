import { checkCertificate } from './certificate.ts';
import { checkConnection } from './connection.ts';
import { type Finding, skipped } from './finding.ts';
import { checkName } from './names.ts';
import { placeOf, type Probes } from './world.ts';

/** How one host can be reached. A step that fails makes those after it pointless. */
export interface EndpointFindings {
  readonly dns: Finding;
  readonly tcp: Finding;
  readonly tls: Finding;
}

/** `origin`: scheme, host and port. */
export async function checkEndpoint(origin: string, world: Probes): Promise<EndpointFindings> {
  const url = new URL(origin);
  const place = placeOf(url);
  const dns = await checkName(place.host, world);
  if (dns.result === 'failed') {
    const none = skipped('not tried: there is no address to connect to');
    return { dns, tcp: none, tls: none };
  }
  const tcp = await checkConnection(place, world);
  if (url.protocol === 'http:') return { dns, tcp, tls: skipped('`http:` has no TLS') };
  if (tcp.result === 'failed') return { dns, tcp, tls: skipped('not tried: there is no connection') };
  return { dns, tcp, tls: await checkCertificate(place, world) };
}

export function isReachable({ dns, tcp, tls }: EndpointFindings): boolean {
  return [dns, tcp, tls].every(({ result }) => result !== 'failed');
}
