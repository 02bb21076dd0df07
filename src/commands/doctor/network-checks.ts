import { connect, isIP } from 'node:net';
import { connect as connectTls, type PeerCertificate } from 'node:tls';
import { networkCode } from '../../errors.ts';
import { isLinkLocalAddress } from '../../http/ip-address.ts';
import { failed, type Finding, ok, skipped, warning } from './finding.ts';
import { formatPlace, opened, type Place, placeOf, type Probes, STEP_TIMEOUT_MS, timedOut } from './probes.ts';

type Resolving = Pick<Probes, 'lookup' | 'clock'>;

/** Says where the name of a host leads. */
async function checkName(host: string, world: Resolving): Promise<Finding> {
  if (isLinkLocalAddress(host)) return forbidden(host);
  if (isIP(host) !== 0) return ok(`${host} is an address, not a name`);
  try {
    const [first = 'nowhere', ...others] = await addressesOf(host, world);
    return ok(`${host} is ${first}${others.length === 0 ? '' : ` and ${others.length} more`}`);
  } catch (error) {
    return unresolved(host, networkCode(error));
  }
}

function addressesOf(host: string, { lookup, clock }: Resolving): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => reject(timedOut()));
    lookup(host, { all: true }, (error, found) => {
      cancel();
      if (error !== null) reject(error);
      else resolve(typeof found === 'string' ? [found] : found.map(({ address }) => address));
    });
  });
}

const RESOLVER =
  "check this machine's network, and the resolver in /etc/resolv.conf (of a container: its DNS settings)";

function unresolved(host: string, code: string): Finding {
  switch (code) {
    case 'ENOTFOUND':
      return failed(
        'unreachable',
        `there is no host named ${host} (ENOTFOUND)`,
        `check how it is spelt; if it is right, this machine's DNS does not know it (\`nslookup ${host}\`)`,
      );
    case 'EAI_AGAIN':
      return failed('unreachable', `no resolver could be reached to look ${host} up (EAI_AGAIN)`, RESOLVER);
    case 'ETIMEDOUT':
      return failed('unreachable', `nobody said within ${STEP_TIMEOUT_MS / 1000} s where ${host} is`, RESOLVER);
    case 'LINK_LOCAL_ADDRESS':
      return forbidden(host);
    default:
      return failed('unreachable', `looking ${host} up failed (${code})`, RESOLVER);
  }
}

function forbidden(host: string): Finding {
  return failed(
    'unreachable',
    `${host} leads to a link-local or metadata address, where Wakala never sends anything`,
    "name the payment API's own host; if that is its name, find out who changed its DNS entry",
  );
}

/** Says whether somebody takes connections there. */
async function checkConnection(place: Place, { lookup, clock }: Pick<Probes, 'lookup' | 'clock'>) {
  const startMs = clock.now();
  const socket = connect({ ...place, lookup });
  try {
    await opened(socket, 'connect', clock);
    return ok(`connected to ${formatPlace(place)} in ${Math.round(clock.now() - startMs)} ms`);
  } catch (error) {
    return unconnected(formatPlace(place), networkCode(error));
  } finally {
    socket.destroy();
  }
}

function unconnected(place: string, code: string): Finding {
  switch (code) {
    case 'ECONNREFUSED':
      return failed(
        'unreachable',
        `${place} refused the connection`,
        'check host and port; if they are right, the service is down or a firewall turns you away',
      );
    case 'ETIMEDOUT':
      return failed(
        'unreachable',
        `${place} did not answer within ${STEP_TIMEOUT_MS / 1000} s`,
        'a firewall most likely drops the packets: allow outgoing connections to it, or ask the provider to allow yours',
      );
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return failed(
        'unreachable',
        `there is no way from this machine to ${place} (${code})`,
        "check this machine's network and its routes",
      );
    default:
      return failed('unreachable', `connecting to ${place} failed (${code})`, 'check host, port and network');
  }
}

const DAY_MS = 86_400_000;

/** With fewer days left, a certificate is worth a warning. */
const FEW_DAYS = 14;

/**
 * Says whether a host proves who it is. The handshake goes through whatever the certificate, so that its fault can be
 * told; nothing is sent after it.
 */
async function checkCertificate(place: Place, { lookup, clock }: Pick<Probes, 'lookup' | 'clock'>) {
  const { host, port } = place;
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = connectTls({ host, port, lookup, rejectUnauthorized: false, ...servername });
  try {
    await opened(socket, 'secureConnect', clock);
    const certificate = socket.getPeerCertificate();
    // Declared as an Error; it is the code of one.
    const fault = socket.authorized ? undefined : String(socket.authorizationError);
    if (fault !== undefined) return untrusted(fault, host, certificate);
    return trusted(socket.getProtocol() ?? 'TLS', Date.parse(certificate.valid_to), clock.now());
  } catch (error) {
    return noHandshake(place, networkCode(error));
  } finally {
    socket.destroy();
  }
}

function trusted(protocol: string, expiresAtMs: number, nowMs: number): Finding {
  const days = Math.floor((expiresAtMs - nowMs) / DAY_MS);
  const saw = `${protocol}, certificate good for ${days === 1 ? '1 day' : `${days} days`} more`;
  if (days >= FEW_DAYS) return ok(saw);
  return warning(saw, `its owner must replace it before ${dayOf(expiresAtMs)}, or every call will fail from then on`);
}

const EXTRA_CA = 'start Wakala with NODE_EXTRA_CA_CERTS=/path/to/it.pem';

type Told = (host: string, certificate: PeerCertificate) => readonly [saw: string, remedy: string];

const unknownIssuer: Told = (host, { issuer }) => [
  `the certificate of ${host} was issued by \`${String(issuer?.CN ?? issuer?.O ?? 'someone without a name')}\`, whom this machine does not trust`,
  `if that is your company's own authority, ${EXTRA_CA}; if not, ${host} leaves out a certificate of its chain`,
];

/** By OpenSSL's and Node's own codes. */
const FAULTS: Readonly<Record<string, Told>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: (host) => [
    `the certificate of ${host} is signed by itself`,
    `if you know it to be right, ${EXTRA_CA}; if not, someone else answers in the place of ${host}`,
  ],
  SELF_SIGNED_CERT_IN_CHAIN: unknownIssuer,
  UNABLE_TO_GET_ISSUER_CERT: unknownIssuer,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownIssuer,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownIssuer,
  ERR_TLS_CERT_ALTNAME_INVALID: (host, certificate) => [
    `the certificate is for ${namesOf(certificate)}, not for ${host}`,
    'check how the host is spelt; if it is right, someone else answers in its place',
  ],
  CERT_HAS_EXPIRED: (host, { valid_to }) => [
    `the certificate of ${host} expired on ${dayOf(Date.parse(valid_to))}`,
    "its owner must replace it; if that day is yet to come, this machine's clock is wrong",
  ],
  CERT_NOT_YET_VALID: (host, { valid_from }) => [
    `the certificate of ${host} is good only from ${dayOf(Date.parse(valid_from))} on`,
    "if that day is past, this machine's clock is wrong; else its owner must replace it",
  ],
};

function untrusted(code: string, host: string, certificate: PeerCertificate): Finding {
  const told = FAULTS[code]?.(host, certificate);
  if (told !== undefined) return failed('unreachable', ...told);
  const remedy = `its owner must mend it; if you know it to be right, ${EXTRA_CA}`;
  return failed('unreachable', `the certificate of ${host} is not trusted (${code})`, remedy);
}

function noHandshake(place: Place, code: string): Finding {
  const at = formatPlace(place);
  if (code === 'ETIMEDOUT') {
    const saw = `${at} did not finish the TLS handshake within ${STEP_TIMEOUT_MS / 1000} s`;
    return failed(
      'unreachable',
      saw,
      'something on the way holds it up: look for a firewall or a proxy that reads TLS',
    );
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return failed('unreachable', `${at} does not speak TLS`, 'check the port: this one may be for `http:`');
  }
  const remedy = 'check host and port; if they are right, a firewall or a proxy that reads TLS may cut it off';
  return failed('unreachable', `the TLS handshake with ${at} failed (${code})`, remedy);
}

/** The first few names that a certificate is for. */
function namesOf({ subjectaltname = '', subject }: PeerCertificate): string {
  const names = subjectaltname.split(', ').map((name) => name.replace(/^(DNS|IP Address):/, ''));
  const shown = names.filter((name) => name !== '').slice(0, 3);
  return shown.length > 0 ? shown.join(', ') : String(subject?.CN ?? 'no name at all');
}

function dayOf(ms: number): string {
  return Number.isNaN(ms) ? 'an unknown day' : new Date(ms).toISOString().slice(0, 10);
}

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
