import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { diagnose } from '../../diagnosis/diagnosis.ts';
import type { DiagnosisContext } from '../../diagnosis/diagnosis-context.ts';
import { networkCode, networkReason, type Reason } from '../../errors.ts';
import type { ConnectOptions, EgressProxy } from '../../http/client/connect-options.ts';
import { caOnly } from '../../http/client/dial.ts';
import { egressProxyFor } from '../../http/client/egress.ts';
import { egressFailed } from '../../http/client/failures.ts';
import { ConnectTimeout, openSocket } from '../../http/client/open-socket.ts';
import { type Origin, originOf } from '../../http/client/origin.ts';
import { formatHostPort } from '../../http/host-port.ts';
import { addressGuard } from '../../http/ip-address.ts';
import { type CheckResult, failed, ok, skipped } from './check-result.ts';
import { type Probes, STEP_TIMEOUT_MS, waitForEvent } from './probes.ts';
import { checkTls, closedInHandshake } from './tls-check.ts';

type Key = DiagnosisContext['key'];
type NetworkProbes = Pick<Probes, 'lookup' | 'clock'>;

/** A server, and how it is reached. */
export interface Endpoint {
  /** Scheme, host and port. */
  readonly url: string;
  /** The configuration key that names the host. */
  readonly key: Key;
  readonly connection: ConnectOptions;
}

/** The same with what follows from it. */
interface Target extends Endpoint {
  readonly origin: Origin;
  readonly probes: NetworkProbes;
}

/** A check that fails makes those after it pointless. */
export interface EndpointResults {
  /** The egress proxy. Undefined if there is none on the way. */
  readonly proxy: CheckResult | undefined;
  readonly dns: CheckResult;
  readonly tcp: CheckResult;
  readonly tls: CheckResult;
}

export function isReachable({ proxy, dns, tcp, tls }: EndpointResults): boolean {
  return [proxy, dns, tcp, tls].every((check) => check?.result !== 'failed');
}

/** Checks a server without sending a request to it. */
export async function checkEndpoint(endpoint: Endpoint, probes: NetworkProbes): Promise<EndpointResults> {
  const origin = originOf(endpoint.url);
  const target: Target = { ...endpoint, origin, probes };
  const proxy = egressProxyFor(origin, endpoint.connection.egress);
  return proxy === undefined ? await checkDirect(target) : await checkThroughProxy(target, proxy);
}

async function checkDirect(target: Target): Promise<EndpointResults> {
  const dns = await checkName(target);
  if (dns.result === 'failed') {
    const none = skipped('there is no address to connect to');
    return { proxy: undefined, dns, tcp: none, tls: none };
  }
  const tcp = await checkConnection(target);
  return { proxy: undefined, dns, tcp, tls: await checkTlsAfter(tcp, target) };
}

/** The proxy looks up the name and connects. With `http:`, it gets each request and connects only then. */
async function checkThroughProxy(target: Target, proxy: EgressProxy): Promise<EndpointResults> {
  const { origin } = target;
  const dns = isIP(origin.host) === 0 ? skipped('the egress proxy looks up the name') : await checkName(target);
  const hop = await checkProxy(target, proxy);
  const none = skipped('there is no connection');
  if (dns.result === 'failed' || hop.result === 'failed') return { proxy: hop, dns, tcp: none, tls: none };
  if (!origin.isTls) {
    const tcp = skipped('the egress proxy connects when it gets a request');
    return { proxy: hop, dns, tcp, tls: await checkTlsAfter(tcp, target) };
  }
  const tcp = await checkTunnel(target, proxy);
  return { proxy: hop, dns, tcp, tls: await checkTlsAfter(tcp, target) };
}

async function checkName(target: Target): Promise<CheckResult> {
  const { origin, connection, probes } = target;
  const { host } = origin;
  try {
    addressGuard(connection.allowAddresses).check(host);
    if (isIP(host) !== 0) return ok(`${host} is an IP address`);
    const [first = 'no address', ...others] = await addressesOf(host, lookupOf(target), probes.clock);
    return ok(`${host} resolves to ${first}${others.length === 0 ? '' : ` and ${others.length} more`}`);
  } catch (error) {
    return unreachable(networkReason(error, origin.hostHeader), target);
  }
}

function lookupOf({ connection, probes }: Target): LookupFunction {
  const guard = addressGuard(connection.allowAddresses);
  return probes.lookup ?? ((...args) => guard.lookup(...args));
}

function addressesOf(hostname: string, lookup: LookupFunction, clock: Probes['clock']): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => {
      // The code of the resolver for a timeout.
      reject(Object.assign(new Error('no address in time'), { code: 'ETIMEOUT' }));
    });
    lookup(hostname, { all: true }, (error, found) => {
      cancel();
      if (error !== null) reject(error);
      else resolve(typeof found === 'string' ? [found] : found.map(({ address }) => address));
    });
  });
}

async function checkConnection(target: Target): Promise<CheckResult> {
  const { host, port, hostHeader } = target.origin;
  const { clock } = target.probes;
  const startMs = clock.now();
  const socket = connect({ host, port, lookup: lookupOf(target) });
  try {
    await waitForEvent(socket, 'connect', clock);
    return ok(`connected to ${hostHeader} in ${Math.round(clock.now() - startMs)} ms`);
  } catch (error) {
    return unreachable(reasonOf(error, 'connect', hostHeader), target);
  } finally {
    socket.destroy();
  }
}

/** Connects to the egress proxy, and requests nothing from it. */
async function checkProxy({ origin, connection, probes: { clock } }: Target, proxy: EgressProxy): Promise<CheckResult> {
  const { host, port, isTls, source } = proxy;
  const name = formatHostPort(proxy);
  const { allowAddresses } = connection;
  const tls = caOnly(connection.tls ?? {});
  const startMs = clock.now();
  try {
    const socket = await openSocket(
      { isTls, host, port, hostHeader: name },
      { tls, allowAddresses },
      { timeoutMs: STEP_TIMEOUT_MS, clock },
    );
    socket.destroy();
    return ok(`connected to ${name} (\`${source}\`) in ${Math.round(clock.now() - startMs)} ms`);
  } catch (error) {
    const { reason } = egressFailed(proxy, origin.hostHeader, error);
    return failed('unreachable', diagnose(reason, { server: 'upstream' }));
  }
}

/** Requests a tunnel to the server from the egress proxy. */
async function checkTunnel(target: Target, proxy: EgressProxy): Promise<CheckResult> {
  const { origin, connection, probes } = target;
  const { clock } = probes;
  const withoutTls = { ...connection, egress: { http: proxy }, alwaysTunnels: true };
  const startMs = clock.now();
  try {
    const socket = await openSocket({ ...origin, isTls: false }, withoutTls, { timeoutMs: STEP_TIMEOUT_MS, clock });
    socket.destroy();
    const durationMs = Math.round(clock.now() - startMs);
    return ok(`${formatHostPort(proxy)} opened a tunnel to ${formatHostPort(origin)} in ${durationMs} ms`);
  } catch (error) {
    return unreachable(reasonOf(error, 'connect', origin.hostHeader), target);
  }
}

/** The handshake accepts any certificate, to be able to say what is wrong with it. Nothing is sent afterwards. */
async function checkTlsAfter(tcp: CheckResult, target: Target): Promise<CheckResult> {
  const { origin, connection, probes, key } = target;
  const { clock } = probes;
  const { tls: identity = {} } = connection;
  const { hostHeader: host } = origin;
  if (!origin.isTls) return skipped('`http:` has no TLS');
  if (tcp.result === 'failed') return skipped('there is no connection');
  let socket: Socket | undefined;
  try {
    socket = await openSocket(
      origin,
      { ...connection, acceptsAnyCertificate: true },
      { timeoutMs: STEP_TIMEOUT_MS, clock },
    );
    if (!(socket instanceof TLSSocket)) throw new TypeError('the connection has no TLS');
    return await checkTls(socket, { host, key, identity, clock });
  } catch (error) {
    const hasCertificate = identity.cert !== undefined || identity.pfx !== undefined;
    if (hasCertificate && networkCode(error) === 'ECONNRESET') return closedInHandshake(host, true);
    return unreachable(reasonOf(error, 'tls', host), target);
  } finally {
    socket?.destroy();
  }
}

function reasonOf(error: unknown, phase: 'connect' | 'tls', host: string): Reason {
  if (error instanceof ConnectTimeout) return { kind: 'timeout', phase, timeoutMs: STEP_TIMEOUT_MS, host };
  return networkReason(error, host);
}

function unreachable(reason: Reason, { origin: { hostHeader: host }, key }: Target): CheckResult {
  return failed('unreachable', diagnose(reason, { server: 'upstream', host, key }));
}
