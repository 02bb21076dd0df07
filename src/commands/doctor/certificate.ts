import { isIP } from 'node:net';
import { connect as connectTls, type PeerCertificate } from 'node:tls';
import { networkCode } from '../../errors.ts';
import { failed, type Finding, ok, warning } from './finding.ts';
import { opened, type Place, formatPlace, STEP_TIMEOUT_MS, type Probes } from './world.ts';

const DAY_MS = 86_400_000;

/** With fewer days left, a certificate is worth a warning. */
const FEW_DAYS = 14;

/**
 * Says whether a host proves who it is. The handshake goes through whatever the certificate, so that its fault can be
 * told; nothing is sent after it.
 */
export async function checkCertificate(place: Place, { lookup, clock }: Pick<Probes, 'lookup' | 'clock'>) {
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
