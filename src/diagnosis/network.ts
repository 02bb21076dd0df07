import type { CertificateFacts, Diagnosis, DiagnosisContext } from './diagnosis-context.ts';

interface NetworkContext {
  readonly host: string;
  /** Where the host is configured, such as `` `upstream` ``. */
  readonly where: string;
  readonly certificate: CertificateFacts | undefined;
}

interface Row {
  readonly code: string;
  readonly matches: RegExp;
  readonly what: (context: NetworkContext) => string;
  readonly hint: (context: NetworkContext) => string;
}

/** TLS alerts about the client's certificate (RFC 8446 6.2), with the names that OpenSSL has for them. */
export const CLIENT_CERTIFICATE_ALERT =
  /^ERR_SSL_.*ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)|UNKNOWN_CA)$/;

export const CERTIFICATE_REFUSED_HINT =
  'Check `tls.cert` and `tls.key`: the provider must have issued or registered the certificate, for this environment, and it must not have expired. If they are not set, the provider demands them.';

const EXTRA_CA = 'set `tls.ca` to its PEM file, or start Wakala with `NODE_EXTRA_CA_CERTS=/path/to/it.pem`';

/** The codes of Node, OpenSSL, the resolver and Wakala's own client. The first row that matches counts. */
const NETWORK: readonly Row[] = [
  {
    code: 'dns_no_such_name',
    matches: /^(ENOTFOUND|ENODATA)$/,
    what: ({ host }) => `DNS has no address for ${host}`,
    hint: ({ host, where }) =>
      `Check how the host is spelled in ${where}. If it is right, look it up on this machine with \`nslookup ${host.replace(/:\d+$/, '')}\`.`,
  },
  {
    code: 'dns_no_answer',
    matches: /^(EAI_.*|ETIMEOUT|ESERVFAIL|EREFUSED)$/,
    what: ({ host }) => `The DNS resolver of this machine did not respond, so ${host} cannot be found`,
    hint: () =>
      'Check the network of this machine and the resolver in /etc/resolv.conf. In Kubernetes, check the cluster DNS and the network policies for port 53.',
  },
  {
    code: 'connection_refused',
    matches: /^ECONNREFUSED$/,
    what: ({ host }) => `${host} refuses connections: nothing listens there`,
    hint: ({ where }) =>
      `Check host and port in ${where}. If they are right, the service is down or a firewall rejects the connection.`,
  },
  {
    code: 'unreachable',
    matches: /^(EHOSTUNREACH|ENETUNREACH|ENETDOWN|EHOSTDOWN|EADDRNOTAVAIL)$/,
    what: ({ host }) => `This machine has no network route to ${host}`,
    hint: ({ host }) =>
      `Check the network, the VPN and the firewall of this machine. They must let connections to ${host} out.`,
  },
  {
    code: 'timeout',
    matches: /^(ETIMEDOUT|.*_TIMEOUT)$/,
    what: ({ host }) => `${host} did not accept a connection in time`,
    hint: ({ host }) => connectTimeoutHint(host),
  },
  {
    code: 'connection_reset',
    matches: /^(ECONNRESET|EPIPE|ECONNABORTED|UND_ERR_SOCKET)$/,
    what: ({ host }) => `${host} closed the connection before it responded`,
    hint: () =>
      'If this happens every time, a firewall or a proxy on the way cuts the connection, or the provider does not allow the address of this machine. If it happens now and then, the provider restarts or is overloaded.',
  },
  {
    code: 'tls_expired',
    matches: /^CERT_HAS_EXPIRED$/,
    what: ({ host, certificate }) =>
      `The TLS certificate of ${host} ${certificate === undefined ? 'has expired' : `expired on ${dayOf(certificate.validUntilMs)}`}`,
    hint: ({ host }) =>
      `Check the date and time of this machine. If they are right, the owner of ${host} must renew the certificate.`,
  },
  {
    code: 'tls_not_yet_valid',
    matches: /^CERT_NOT_YET_VALID$/,
    what: ({ host, certificate }) =>
      `The TLS certificate of ${host} ${certificate === undefined ? 'is not valid yet' : `is not valid before ${dayOf(certificate.validFromMs)}`}`,
    hint: ({ host }) =>
      `Check the date and time of this machine, and turn on time synchronisation (NTP). If they are right, the owner of ${host} must replace the certificate.`,
  },
  {
    code: 'tls_other_name',
    matches: /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    what: ({ host, certificate }) =>
      `The TLS certificate of ${host} is for ${certificate === undefined ? 'another name' : certificate.names}`,
    hint: ({ where }) =>
      `Check how the host is spelled in ${where}. If the server is the right one and its certificate is for this name, set \`tls.server_name\`. If not, another server responds in its place: a captive portal, or a proxy that intercepts TLS.`,
  },
  {
    code: 'tls_untrusted',
    matches: /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
    what: ({ host }) => `The TLS certificate of ${host} is self-signed`,
    hint: ({ host }) =>
      `If you trust the certificate, ${EXTRA_CA}. If not, another server responds in the place of ${host}.`,
  },
  {
    code: 'tls_untrusted',
    matches: /SELF_SIGNED|UNABLE_TO_|^CERT_|^INVALID_CA$|SIGNATURE_FAILURE/,
    what: ({ host, certificate }) =>
      `This machine does not trust the issuer of the TLS certificate of ${host}${certificate?.issuer === undefined ? '' : `, \`${certificate.issuer}\``}`,
    hint: ({ host }) =>
      `If the issuer is the authority of your company, ${EXTRA_CA}. If not, the owner of ${host} must fix the certificate or its chain.`,
  },
  {
    code: 'tls_client_certificate',
    matches: /^ERR_SSL_.*ALERT_CERTIFICATE_REQUIRED$/,
    what: ({ host }) => `${host} demands a client certificate`,
    hint: () =>
      'Set `tls.cert` and `tls.key` to the certificate that the provider issued or registered, and to its key.',
  },
  {
    code: 'tls_client_certificate',
    matches: CLIENT_CERTIFICATE_ALERT,
    what: ({ host }) => `${host} does not accept the client certificate`,
    hint: () => CERTIFICATE_REFUSED_HINT,
  },
  {
    code: 'tls_failed',
    matches: /^ERR_SSL_.*ALERT_HANDSHAKE_FAILURE$/,
    what: ({ host }) => `${host} refused the TLS handshake`,
    hint: () =>
      'It may demand a client certificate: set `tls.cert` and `tls.key`. If it does not, it needs another name in the handshake (`tls.server_name`), or versions and ciphers of TLS that Wakala does not have.',
  },
  {
    code: 'tls_failed',
    matches: /^ERR_SSL_(.*ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)$/,
    what: ({ host }) => `${host} has none of the versions of TLS that Wakala accepts`,
    hint: ({ host }) =>
      `Wakala accepts TLS 1.2 and newer. If \`tls.min_version\` is set, check it. If not, the owner of ${host} must enable TLS 1.2.`,
  },
  {
    code: 'tls_failed',
    matches: /^ERR_SSL_.*UNRECOGNIZED_NAME$/,
    what: ({ host }) => `${host} does not know the name that Wakala sends in the TLS handshake`,
    hint: ({ where }) =>
      `Check the host in ${where}. If the server has another name, set \`tls.server_name\` to the one in its certificate.`,
  },
  {
    code: 'tls_failed',
    matches: /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/,
    what: ({ host }) => `${host} does not speak TLS on this port`,
    hint: ({ where }) => `Check the port in ${where}: it may be a port for \`http:\`.`,
  },
  {
    code: 'tls_failed',
    matches: /^(EPROTO|ERR_SSL_.*|ERR_TLS_.*)$/,
    what: ({ host }) => `The TLS handshake with ${host} failed`,
    hint: ({ where }) =>
      `Check host and port in ${where}. If they are right, a firewall or a proxy that intercepts TLS may interrupt the handshake.`,
  },
  {
    code: 'link_local_address',
    matches: /^LINK_LOCAL_ADDRESS$/,
    what: ({ host }) => `${host} leads to a link-local or cloud metadata address, where Wakala sends nothing`,
    hint: ({ where }) => `Check the host in ${where}. If it is the provider's, find out who changed its DNS entry.`,
  },
  {
    code: 'response_too_long',
    matches: /^RESPONSE_TOO_LONG$/,
    what: ({ host }) => `The response of ${host} to a token request is longer than 64 KiB`,
    hint: ({ where }) => `Check ${where}: another server may respond there.`,
  },
  {
    code: 'no_http',
    matches: /^UNEXPECTED_UPGRADE$/,
    what: ({ host }) => `${host} switched to another protocol without a request to upgrade`,
    hint: ({ where }) => `Check host and port in ${where}. If they are right, tell the provider.`,
  },
];

/** A code that no row knows. */
const UNKNOWN: Omit<Row, 'matches'> = {
  code: 'unreachable',
  what: ({ host }) => `Wakala cannot reach ${host}`,
  hint: ({ where }) => `Check host and port in ${where}, and whether this machine can connect there.`,
};

/** @param error code of Node, OpenSSL, the resolver or Wakala's own client, such as `ECONNREFUSED` */
export function diagnoseNetwork(
  error: string,
  host: string,
  { key, certificate }: { readonly key?: string | undefined } & Pick<DiagnosisContext, 'certificate'>,
): Diagnosis {
  const row = NETWORK.find(({ matches }) => matches.test(error)) ?? UNKNOWN;
  const context = { host, where: whereOf(key), certificate };
  return { code: row.code, what: `${row.what(context)} (${error}).`, hint: row.hint(context) };
}

export function whereOf(key: string | undefined): string {
  return key === undefined ? 'the configuration' : `\`${key}\``;
}

export function connectTimeoutHint(host: string): string {
  return `A firewall that drops packets and a service that is overloaded look the same. Let connections to ${host} out of this machine, and ask the provider whether it must allow the address of this machine.`;
}

function dayOf(ms: number): string {
  return Number.isNaN(ms) ? 'an unknown day' : new Date(ms).toISOString().slice(0, 10);
}
