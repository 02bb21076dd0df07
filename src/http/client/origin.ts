/** Scheme, host and port of a server. */
export interface Origin {
  readonly isTls: boolean;
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of the Host header, without the default port of the scheme. */
  readonly hostHeader: string;
}

/** @param text such as `https://api.example.com`. A path is ignored. */
export function originOf(text: string): Origin {
  const { protocol, hostname, port, host } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') throw new TypeError(`${protocol}// is not HTTP`);
  const isTls = protocol === 'https:';
  return {
    isTls,
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (isTls ? 443 : 80) : Number(port),
    hostHeader: host,
  };
}
