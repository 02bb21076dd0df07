import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import { RENEW_WITHIN_DAYS } from '../../config/certificates.ts';
import { diagnose } from '../../diagnosis/diagnosis.ts';
import type { CertificateFacts, DiagnosisContext } from '../../diagnosis/diagnosis-context.ts';
import { networkCode } from '../../errors.ts';
import { plural } from '../../format.ts';
import type { TlsIdentity } from '../../http/client/connect-options.ts';
import { type CheckResult, failed, ok, warning } from './check-result.ts';
import type { Probes } from './probes.ts';

interface TlsContext {
  readonly host: string;
  readonly key: DiagnosisContext['key'];
  /** The `tls` settings of the connection. */
  readonly identity: TlsIdentity;
  readonly clock: Probes['clock'];
}

/**
 * Judges a connection that accepted any certificate, to be able to say what is wrong with it. Nothing is sent on it.
 * @param socket must be open; the caller closes it
 */
export async function checkTls(socket: TLSSocket, context: TlsContext): Promise<CheckResult> {
  const { host, key, identity, clock } = context;
  socket.on('error', () => {});
  const chain = chainOf(socket.getPeerCertificate(true));
  const own = presentedCertificate(socket);
  const unreachable = (code: string) => {
    const reason = { kind: 'network', code, host } as const;
    return failed('unreachable', diagnose(reason, { server: 'upstream', host, key, certificate: chain[0] }));
  };
  // Declared as an Error, but it is the error's code.
  if (!socket.authorized) return unreachable(String(socket.authorizationError));
  const protocol = socket.getProtocol() ?? 'TLS';
  const end = await handshakeEnd(socket, clock);
  if (end.kind === 'error') return unreachable(networkCode(end.error));
  if (end.kind === 'closed') return closedInHandshake(host, own !== undefined);
  return judgeExpiry(`${protocol}${describeSettings(identity)}`, { chain, own }, clock.now());
}

/** The server gave no reason: no TLS alert. */
export function closedInHandshake(host: string, hasClientCertificate: boolean): CheckResult {
  return failed('unreachable', {
    what: `${host} closed the connection in the TLS handshake.`,
    hint: hasClientCertificate
      ? 'It may not accept the client certificate: check `tls.cert` and `tls.key` of the route.'
      : 'It may demand a client certificate: set `tls.cert` and `tls.key` on the route.',
  });
}

type HandshakeEnd = { readonly kind: 'accepted' | 'closed' } | { readonly kind: 'error'; readonly error: unknown };

/** How long to wait for an alert of the server. */
const ALERT_WAIT_MS = 500;

/**
 * In TLS 1.3, the client's part of the handshake ends before the server has checked the client certificate (RFC 8446
 * 4.4.2). The server refuses it with an alert afterwards. A server that accepts it usually sends a session ticket.
 */
function handshakeEnd(socket: TLSSocket, clock: Probes['clock']): Promise<HandshakeEnd> {
  return new Promise((resolve) => {
    const settle = (end: HandshakeEnd) => {
      cancelTimeout();
      resolve(end);
    };
    const cancelTimeout = clock.after(ALERT_WAIT_MS, () => resolve({ kind: 'accepted' }));
    socket.on('error', (error) => settle({ kind: 'error', error }));
    socket.once('session', () => settle({ kind: 'accepted' }));
    socket.once('end', () => settle({ kind: 'closed' }));
    socket.once('close', () => settle({ kind: 'closed' }));
    socket.resume();
    if (socket.getProtocol() !== 'TLSv1.3') settle({ kind: 'accepted' });
  });
}

interface Certificate extends CertificateFacts {
  /** The common name, or the first other name. */
  readonly subject: string;
}

/** Largest number of certificates of a chain that are shown. */
const MAX_CHAIN = 6;

/** The certificates from that of the server up to the authority. */
function chainOf(leaf: DetailedPeerCertificate): Certificate[] {
  const chain: Certificate[] = [];
  for (let certificate = leaf; chain.length < MAX_CHAIN; certificate = certificate.issuerCertificate) {
    chain.push(certificateOf(certificate));
    const { issuerCertificate: issuer } = certificate;
    if (issuer === undefined || issuer.fingerprint256 === certificate.fingerprint256) break;
  }
  return chain;
}

/** The certificate that this side shows if the server asks for one. */
function presentedCertificate(socket: TLSSocket): Certificate | undefined {
  const certificate = socket.getCertificate();
  return certificate !== null && 'valid_to' in certificate ? certificateOf(certificate) : undefined;
}

function certificateOf(certificate: PeerCertificate): Certificate {
  const { subjectaltname = '', subject, issuer, valid_from, valid_to } = certificate;
  const names = subjectaltname
    .split(', ')
    .map((name) => name.replace(/^(DNS|IP Address):/, ''))
    .filter((name) => name !== '');
  const authority = issuer?.CN ?? issuer?.O;
  const subjectName = String(subject?.CN ?? subject?.O ?? names[0] ?? 'no name');
  return {
    subject: subjectName,
    names: names.length === 0 ? subjectName : names.slice(0, 3).join(', '),
    issuer: authority === undefined ? undefined : String(authority),
    validFromMs: Date.parse(valid_from),
    validUntilMs: Date.parse(valid_to),
  };
}

/** What the route sets, besides the client certificate. */
function describeSettings({ ca, serverName }: TlsIdentity): string {
  const settings = [ca === undefined ? '' : '`tls.ca`', serverName === undefined ? '' : `the name ${serverName}`];
  const used = settings.filter((setting) => setting !== '');
  return used.length === 0 ? '' : ` with ${used.join(' and ')}`;
}

const DAY_MS = 86_400_000;

function judgeExpiry(
  protocol: string,
  { chain, own }: { readonly chain: readonly Certificate[]; readonly own: Certificate | undefined },
  nowMs: number,
): CheckResult {
  const daysLeft = ({ validUntilMs }: Certificate) => Math.floor((validUntilMs - nowMs) / DAY_MS);
  const valid = (certificate: Certificate) => {
    const days = daysLeft(certificate);
    return days < 0 ? `expired on ${dayOf(certificate)}` : `valid for ${plural(days, 'more day')}`;
  };
  const [leaf, ...issuers] = chain;
  if (leaf === undefined) return ok(protocol);
  // The server may send certificates that its chain does not need, also expired ones.
  const [nearest] = issuers
    .filter((issuer) => daysLeft(issuer) >= 0 && issuer.validUntilMs < leaf.validUntilMs)
    .sort((one, other) => one.validUntilMs - other.validUntilMs);
  const what = [
    `${protocol}, certificate ${valid(leaf)}`,
    ...(nearest === undefined ? [] : [`\`${nearest.subject}\` in its chain ${valid(nearest)}`]),
    chain.map(({ subject }) => subject).join(' <- '),
    ...(own === undefined ? [] : [`client certificate \`${own.subject}\` ${valid(own)}`]),
  ].join('; ');
  if (own !== undefined && daysLeft(own) < RENEW_WITHIN_DAYS) {
    const hint = 'Replace `tls.cert` and `tls.key` of the route';
    return warning({ what: `${what}.`, hint: daysLeft(own) < 0 ? `${hint}.` : `${hint} before it ends.` });
  }
  const first = nearest ?? leaf;
  if (daysLeft(first) >= RENEW_WITHIN_DAYS) return ok(what);
  const hint = `The owner of the server must replace it before ${dayOf(first)}. After that, every request fails.`;
  return warning({ what: `${what}.`, hint });
}

function dayOf({ validUntilMs }: Certificate): string {
  return new Date(validUntilMs).toISOString().slice(0, 10);
}
