import { connect, isIP } from 'node:net';
import { connect as connectTls, type PeerCertificate } from 'node:tls';
import { diagnose } from '../../diagnosis/diagnosis.ts';
import type { CertificateFacts, DiagnosisContext } from '../../diagnosis/diagnosis-context.ts';
import { networkReason, type Reason } from '../../errors.ts';
import { plural } from '../../format.ts';
import { isLinkLocalAddress } from '../../http/ip-address.ts';
import { type CheckResult, failed, ok, skipped, warning } from './check-result.ts';
import { type Probes, STEP_TIMEOUT_MS, StepTimeout, waitForEvent } from './probes.ts';

type Key = DiagnosisContext['key'];
type NetworkProbes = Pick<Probes, 'lookup' | 'clock'>;

/** The server that is checked. */
interface Endpoint {
  /** Name or IP address, without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** For texts: with the port if that is not the usual one. */
  readonly host: string;
  readonly key: Key;
}

function endpointOf(url: URL, key: Key): Endpoint {
  const { hostname, protocol, port, host } = url;
  return {
    hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port || (protocol === 'https:' ? 443 : 80)),
    host,
    key,
  };
}

function unreachable(reason: Reason, { host, key }: Endpoint, certificate?: CertificateFacts): CheckResult {
  return failed('unreachable', diagnose(reason, { server: 'upstream', host, key, certificate }));
}

async function checkName(endpoint: Endpoint, probes: NetworkProbes): Promise<CheckResult> {
  const { hostname, host } = endpoint;
  if (isLinkLocalAddress(hostname)) {
    return unreachable({ kind: 'network', code: 'LINK_LOCAL_ADDRESS', host }, endpoint);
  }
  if (isIP(hostname) !== 0) return ok(`${hostname} is an IP address`);
  try {
    const [first = 'no address', ...others] = await addressesOf(hostname, probes);
    return ok(`${hostname} resolves to ${first}${others.length === 0 ? '' : ` and ${others.length} more`}`);
  } catch (error) {
    // The code of the resolver for a timeout.
    const isTimeout = error instanceof StepTimeout;
    return unreachable(isTimeout ? { kind: 'network', code: 'ETIMEOUT', host } : networkReason(error, host), endpoint);
  }
}

function addressesOf(hostname: string, { lookup, clock }: NetworkProbes): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => reject(new StepTimeout()));
    lookup(hostname, { all: true }, (error, found) => {
      cancel();
      if (error !== null) reject(error);
      else resolve(typeof found === 'string' ? [found] : found.map(({ address }) => address));
    });
  });
}

async function checkConnection(endpoint: Endpoint, { lookup, clock }: NetworkProbes): Promise<CheckResult> {
  const { hostname, port, host } = endpoint;
  const startMs = clock.now();
  const socket = connect({ host: hostname, port, lookup });
  try {
    await waitForEvent(socket, 'connect', clock);
    return ok(`connected to ${host} in ${Math.round(clock.now() - startMs)} ms`);
  } catch (error) {
    return unreachable(reasonOf(error, 'connect', host), endpoint);
  } finally {
    socket.destroy();
  }
}

const DAY_MS = 86_400_000;

/** A certificate that ends sooner is worth a warning. */
const MIN_REMAINING_DAYS = 14;

/** The handshake accepts any certificate, to be able to say what is wrong with it. Nothing is sent afterwards. */
async function checkCertificate(endpoint: Endpoint, { lookup, clock }: NetworkProbes): Promise<CheckResult> {
  const { hostname, port, host } = endpoint;
  const servername = isIP(hostname) === 0 ? { servername: hostname } : {};
  const socket = connectTls({ host: hostname, port, lookup, rejectUnauthorized: false, ...servername });
  try {
    await waitForEvent(socket, 'secureConnect', clock);
    const certificate = factsOf(socket.getPeerCertificate());
    if (socket.authorized) return checkExpiry(socket.getProtocol() ?? 'TLS', certificate, clock.now());
    // Declared as an Error, but it is the error's code.
    const code = String(socket.authorizationError);
    return unreachable({ kind: 'network', code, host }, endpoint, certificate);
  } catch (error) {
    return unreachable(reasonOf(error, 'tls', host), endpoint);
  } finally {
    socket.destroy();
  }
}

function checkExpiry(protocol: string, { validUntilMs }: CertificateFacts, nowMs: number): CheckResult {
  const days = Math.floor((validUntilMs - nowMs) / DAY_MS);
  const valid = `certificate valid for ${plural(days, 'more day')}`;
  if (days >= MIN_REMAINING_DAYS) return ok(`${protocol}, ${valid}`);
  const date = new Date(validUntilMs).toISOString().slice(0, 10);
  const hint = `Its owner must replace it before ${date}. After that, every request fails.`;
  return warning({ what: `${protocol}, ${valid}.`, hint });
}

function factsOf({ subjectaltname = '', subject, issuer, valid_from, valid_to }: PeerCertificate): CertificateFacts {
  const names = subjectaltname.split(', ').map((name) => name.replace(/^(DNS|IP Address):/, ''));
  const [first, second, third] = names.filter((name) => name !== '');
  const shown = [first, second, third].filter((name) => name !== undefined).join(', ');
  const authority = issuer?.CN ?? issuer?.O;
  return {
    names: shown === '' ? String(subject?.CN ?? 'no name') : shown,
    issuer: authority === undefined ? undefined : String(authority),
    validFromMs: Date.parse(valid_from),
    validUntilMs: Date.parse(valid_to),
  };
}

function reasonOf(error: unknown, phase: 'connect' | 'tls', host: string): Reason {
  if (error instanceof StepTimeout) return { kind: 'timeout', phase, timeoutMs: STEP_TIMEOUT_MS, host };
  return networkReason(error, host);
}

/** A check that fails makes those after it pointless. */
export interface EndpointResults {
  readonly dns: CheckResult;
  readonly tcp: CheckResult;
  readonly tls: CheckResult;
}

/**
 * @param origin scheme, host and port
 * @param key the configuration key that names the host
 */
export async function checkEndpoint(origin: string, key: Key, probes: NetworkProbes): Promise<EndpointResults> {
  const url = new URL(origin);
  const endpoint = endpointOf(url, key);
  const dns = await checkName(endpoint, probes);
  if (dns.result === 'failed') {
    const none = skipped('there is no address to connect to');
    return { dns, tcp: none, tls: none };
  }
  const tcp = await checkConnection(endpoint, probes);
  if (url.protocol === 'http:') return { dns, tcp, tls: skipped('`http:` has no TLS') };
  if (tcp.result === 'failed') return { dns, tcp, tls: skipped('there is no connection') };
  return { dns, tcp, tls: await checkCertificate(endpoint, probes) };
}

export function isReachable({ dns, tcp, tls }: EndpointResults): boolean {
  return [dns, tcp, tls].every(({ result }) => result !== 'failed');
}
