/** Something that is wrong, in words for a person who never saw it before. */
export interface Advice {
  /** A short lasting name of the case. */
  readonly code: string;
  readonly what: string;
  readonly todo: string;
}

type Words = (host: string) => Omit<Advice, 'code'>;

const NO_NAME: Words = (host) => ({
  what: `No host is named ${host}: DNS does not know it.`,
  todo: `Check how the host is spelled in \`upstream\`, \`auth_server\` and \`oauth2\`. If it is right, ask from this machine with \`nslookup ${host}\`.`,
});

const NO_RESOLVER: Words = (host) => ({
  what: `The DNS resolver of this machine gives no answer, so ${host} cannot be found.`,
  todo: 'Check the network and the resolver of this machine (/etc/resolv.conf; in Kubernetes, the cluster DNS and network policies for port 53).',
});

const REFUSED: Words = (host) => ({
  what: `${host} refuses connections: nothing listens there.`,
  todo: 'The service is down, or the host or port in the configuration is wrong. Compare `upstream`, `auth_server` and `oauth2`, then look at the status page of the provider.',
});

const UNREACHABLE: Words = (host) => ({
  what: `There is no way from this machine to ${host}.`,
  todo: 'Check the network, the VPN and the firewall of this machine: it must be let out to that host.',
});

const TIMEOUT: Words = (host) => ({
  what: `${host} did not answer in time.`,
  todo: 'A firewall that drops connections looks the same as a service that is overloaded. Try it from another network; some providers let in only addresses they were told.',
});

const RESET: Words = (host) => ({
  what: `${host} broke the connection off.`,
  todo: 'If it happens on every try, something between here and the provider cuts it (a firewall, a proxy, a list of allowed addresses). If it happens now and then, the provider restarts or is overloaded.',
});

const EXPIRED: Words = (host) => ({
  what: `The TLS certificate of ${host} has expired, so nothing is sent to it.`,
  todo: 'Check the date and time of this machine first. If they are right, the owner of that host must renew the certificate.',
});

const NOT_YET: Words = (host) => ({
  what: `The TLS certificate of ${host} is not valid yet, so nothing is sent to it.`,
  todo: 'Most often the clock of this machine is behind: turn time synchronisation (NTP) on.',
});

const OTHER_NAME: Words = (host) => ({
  what: `The TLS certificate that answers at ${host} is for another name.`,
  todo: 'Check how the host is spelled in `upstream`, `auth_server` and `oauth2`. If it is right, something answers in its place: a captive portal or a proxy that opens TLS.',
});

const UNTRUSTED: Words = (host) => ({
  what: `The TLS certificate of ${host} is signed by nobody that this machine trusts.`,
  todo: 'A proxy of your company that opens TLS, or a test server with a certificate of its own? Give Node its root: `NODE_EXTRA_CA_CERTS=/path/to/root.pem`. Checking is never turned off.',
});

const NO_TLS: Words = (host) => ({
  what: `${host} and Wakala could not agree on TLS.`,
  todo: 'Check that the port speaks HTTPS, and that nothing between here and there opens TLS.',
});

const LINK_LOCAL: Words = (host) => ({
  what: `DNS leads ${host} to a link-local or cloud metadata address, where no token is sent.`,
  todo: 'Check the DNS of this machine: the name must lead to the provider.',
});

const NO_HTTP: Words = (host) => ({
  what: `${host} answered something that is no valid HTTP.`,
  todo: 'Check the port and the scheme (http or https) in the configuration. If they are right, tell the provider.',
});

const CASES: readonly (readonly [code: string, of: RegExp, words: Words])[] = [
  ['dns_no_such_name', /^ENOTFOUND$|^ENODATA$/, NO_NAME],
  ['dns_no_answer', /^EAI_/, NO_RESOLVER],
  ['connection_refused', /^ECONNREFUSED$/, REFUSED],
  ['unreachable', /^EHOSTUNREACH$|^ENETUNREACH$|^ENETDOWN$|^EHOSTDOWN$|^EADDRNOTAVAIL$/, UNREACHABLE],
  ['timeout', /^ETIMEDOUT$|_TIMEOUT$/, TIMEOUT],
  ['connection_reset', /^ECONNRESET$|^EPIPE$|^ECONNABORTED$|^UND_ERR_SOCKET$/, RESET],
  ['tls_expired', /^CERT_HAS_EXPIRED$/, EXPIRED],
  ['tls_not_yet_valid', /^CERT_NOT_YET_VALID$/, NOT_YET],
  ['tls_other_name', /^ERR_TLS_CERT_ALTNAME_INVALID$/, OTHER_NAME],
  ['tls_untrusted', /SELF_SIGNED|UNABLE_TO_|^CERT_|^INVALID_CA$|SIGNATURE_FAILURE/, UNTRUSTED],
  ['tls_failed', /^EPROTO$|^ERR_SSL_|^ERR_TLS_/, NO_TLS],
  ['link_local_address', /^LINK_LOCAL_ADDRESS$/, LINK_LOCAL],
  ['no_http', /^HPE_|^HTTPParserError$/, NO_HTTP],
];

/** What a network error's code says of a host; undefined for a code that says nothing. */
export function networkAdvice(code: string, host: string): Advice | undefined {
  const found = CASES.find(([, of]) => of.test(code));
  if (found === undefined) return undefined;
  const { what, todo } = found[2](host);
  return { code: found[0], what: `${what.slice(0, -1)} (${code}).`, todo };
}
